"""Files of weights that lie: refused by their header, before memory is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from apnt import APNTFusion
from apnt.errors import InputError
from apnt.nn import APNTConfig, checkpoint
from apnt.nn.vgg import KEYS, vgg19_state

SMALL = APNTConfig(channels=(2, 2, 2), mef_blocks=1, reduction=2)


def changed(path: Path, text: str | None = None, **fields: Any) -> Path:
    """A checkpoint whose configuration is another one."""
    APNTFusion(SMALL).save(path)
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    notes = header["__metadata__"]
    notes[checkpoint.KEY] = text or json.dumps({**json.loads(notes[checkpoint.KEY]), **fields})
    new = json.dumps(header).encode()
    path.write_bytes(len(new).to_bytes(8, "little") + new + content[8 + size :])
    return path


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"channels": [10**6] * 3}, r"channels must be three numbers from 1 to 4096, got \(1000000, "),
        ({"channels": [2, 2]}, "channels must be three numbers"),
        ({"mef_blocks": 10**9}, "mef_blocks must be from 1 to 256, got 1000000000"),
        ({"radii": [2**80] * 3}, "radii must be three numbers from 0 to 1024"),
        ({"patch_size": 2**40 + 1}, "patch_size must be from 1 to 31"),
        ({"reduction": 10**30}, "reduction must be from 1 to 4096"),
        ({"gamma": 10**400}, "gamma must be from 0.01 to 100"),
        ({"gamma": float("inf")}, "gamma must be from 0.01 to 100"),
        ({"gamma": float("nan")}, "gamma must be from 0.01 to 100"),
        ({"threshold": 10**400}, "threshold must lie between 0 and 1"),
        ({"channels": "x" * 10_000}, "channels must be whole numbers, got 'xxx"),
        ({"x" * 10_000: 1}, "fields of APNTConfig, got the unknown"),
    ],
)
def test_fields_are_bounded(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        APNTFusion.from_pretrained(changed(tmp_path / "a.safetensors", **fields))
    assert "a.safetensors" in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    "text", ["[" * 60_000, "[" * 100_000, '{"gamma": ' + "1" * 5000 + "}", " " * 70_000 + "{}"]
)
def test_json_that_is_nested_or_huge(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="weights must carry a usable configuration"):
        APNTFusion.from_pretrained(changed(tmp_path / "a.safetensors", text))


@pytest.mark.parametrize("fields", [{"mef_blocks": 256, "channels": [4096] * 3}, {"mef_blocks": 2}])
def test_tensors_are_compared_before_the_network_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    path = changed(tmp_path / "a.safetensors", **fields)
    made = []
    original = APNTFusion.__init__

    def remember(self: APNTFusion, *args: Any, **options: Any) -> None:
        original(self, *args, **options)
        made.append(next(self.parameters()).device.type)

    monkeypatch.setattr(APNTFusion, "__init__", remember)
    with pytest.raises(InputError, match=r"tensors do not, the first .*: expected"):
        APNTFusion.from_pretrained(path)
    assert made == ["meta"]


def test_a_pipe_is_no_file_of_weights(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="weights must be"):
        APNTFusion.from_pretrained(tmp_path / "a.safetensors")


@pytest.mark.parametrize("suffix", [".pth", ".npz"])
def test_vgg19_of_other_shapes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".npz":
        np.savez(path, **{key: np.zeros(1, np.float32) for key in KEYS})
    else:
        torch.save({key: torch.zeros(1) for key in KEYS}, path)
    with pytest.raises(InputError, match=r"weight with shape \(64, 3, 3, 3\), and .* holds \(1,\)"):
        vgg19_state(path)


def test_vgg19_of_numbers(tmp_path: Path) -> None:
    torch.save(dict.fromkeys(KEYS, 5), tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"features\.0\.weight with shape .* holds int"):
        vgg19_state(tmp_path / "a.pth")


def test_vgg19_of_integers(tmp_path: Path) -> None:
    shapes = {key: torch.zeros((64, 3, 3, 3) if key == KEYS[0] else 1, dtype=torch.int32) for key in KEYS}
    torch.save(shapes, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"must hold floats features\.0\.weight"):
        vgg19_state(tmp_path / "a.pth")


def test_saved_twice_the_bytes_are_the_same(tmp_path: Path) -> None:
    network = APNTFusion(SMALL)
    notes = {f"note {n}": str(n) for n in range(20)}
    contents = set()
    for turn in range(5):
        path = tmp_path / f"{turn}.safetensors"
        network.save(path, dict(sorted(notes.items(), reverse=bool(turn % 2))))
        contents.add(path.read_bytes())
    assert len(contents) == 1
    again = APNTFusion.from_pretrained(path)
    assert all(
        torch.equal(a, b)
        for a, b in zip(again.state_dict().values(), network.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_weights_of_another_type(dtype: torch.dtype) -> None:
    network = APNTFusion(SMALL).eval().to(dtype)
    with pytest.raises(InputError, match=r"float32 weights, got torch\.\w+: call \.float\(\), .*autocast"):
        network(torch.rand(1, 3, 3, 16, 16).to(dtype), torch.tensor([[1.0, 4, 16]]).to(dtype))
    ldr, times = torch.rand(1, 3, 3, 16, 16), torch.tensor([[1.0, 4, 16]])
    assert network.float()(ldr.to(dtype), times).dtype == torch.float32


def test_empty_batch() -> None:
    with pytest.raises(InputError, match="ldr must hold at least one bracket"):
        APNTFusion(SMALL)(torch.rand(0, 3, 3, 16, 16), torch.rand(0, 3))
