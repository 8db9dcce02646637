"""Networks as files: each gives the eager result at sizes that were not the traced one."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

import apnt
from apnt import _ext
from apnt.benchmarks.exported import Given, Offsets, load
from apnt.cli import app
from apnt.data.procedural import procedural_bracket
from apnt.errors import InputError
from apnt.export import FORMATS, export, to_program
from apnt.nn import APNTConfig, APNTFusion, subpixel
from apnt.nn.halving import sides
from apnt.nn.inputs import cut, enlarge, pad
from apnt.nn.matching import Match
from apnt.reference.window_match import TIE_ULPS
from apnt.tonemap import mu_law

pytestmark = pytest.mark.skipif(not _ext.LOADED, reason=str(_ext.MISSING))

SIZES = ((48, 64), (51, 37), (80, 96))
"""Height and width, pixels, none of them traced."""

TINY: dict[str, Any] = {"channels": (8, 8, 8), "mef_blocks": 1, "radii": (1, 1, 1), "aligned": True}
PHOTOGRAPHS: dict[str, Any] = {
    "subpixel": True,
    "consistency": True,
    "merge": True,
    "confidence": True,
    "border": 8,
    "confidence_channels": 4,
}

slow = pytest.mark.skipif(
    os.environ.get("APNT_TEST_EXPORT") != "1", reason="minutes of compiling, for APNT_TEST_EXPORT=1"
)


def network(**changes: Any) -> APNTFusion:
    """A small network whose output is more than the medium exposure."""
    torch.manual_seed(0)
    made = APNTFusion(APNTConfig(**{**TINY, **changes})).eval()
    torch.nn.init.normal_(made.fusion.head.weight, std=0.05)
    return made


def bracket(height: int, width: int) -> tuple[Tensor, Tensor]:
    """A made scene: its features have no ties, as those of noise do."""
    high = max(height, 64)
    scene = procedural_bracket(1, high, max(width, high * 5 // 4 + 1))  # made scenes are large and wide
    ldr, times = scene.tensors(torch.device("cpu"))
    return ldr[..., :height, :width].contiguous(), times


def trained() -> APNTFusion:
    """``default`` without ``reach``: unlike with random weights, no match is decided by the last digits.

    Graphs of networks with ``reach`` do not take pictures as small as these.
    """
    packaged = APNTFusion.from_pretrained("default")
    model = APNTFusion(replace(packaged.config, reach=0)).eval()
    model.load_state_dict(packaged.state_dict())
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def difference(run: Any, model: APNTFusion, size: tuple[int, int]) -> float:
    """Largest difference of ``run`` from the eager result."""
    inputs = bracket(*size)
    with torch.no_grad():
        return float((run(*inputs) - model(*inputs)).abs().max())


def with_offsets(model: APNTFusion, offsets: list[Tensor], inputs: tuple[Tensor, Tensor]) -> Tensor:
    """The eager result with these matches of the short exposure, as ``return_maps`` gives them."""
    matches = model._matches

    def given(*args: Any) -> list[Match]:
        short, *others = matches(*args)
        for level, (own, wanted) in enumerate(zip(short.offsets, offsets, strict=True)):
            border, (height, width) = model.config.border >> level, wanted.shape[-2:]
            own[..., border : border + height, border : border + width] = wanted
        return [short, *others]

    with mock.patch.object(model, "_matches", given):
        result: Tensor = model(*inputs)
    return result


def assert_same(run: Any, model: APNTFusion, size: tuple[int, int]) -> None:
    """A program's offsets are those of eager mode, and its radiance is within 1e-4."""
    inputs = bracket(*size)
    with torch.no_grad(), Offsets() as ours:
        result = run(*inputs)
    with torch.no_grad(), Offsets() as eager:
        expected = model(*inputs)
    assert len(ours.found) == len(eager.found) > 0
    assert all(torch.equal(a, b) for a, b in zip(ours.found, eager.found, strict=True))
    assert (result - expected).abs().max() <= 1e-4


@pytest.mark.parametrize("size", [(16, 16), (17, 22), (24, 31)])
def test_graphs_pad_cut_and_enlarge_as_eager_does(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(1, 3, 3, *size)

    def made() -> list[torch.Tensor]:
        return [pad(x, 8), pad(x, 4, 8), pad(x, 8, 8), cut(x, 9, 11), cut(x, 9, 11, 5), enlarge(x[0], 2)]

    eager = made()
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    for expected, actual in zip(eager, made(), strict=True):
        assert torch.equal(actual, expected)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``network()`` as a file, by the command."""
    folder = tmp_path_factory.mktemp("exported")
    network().save(folder / "tiny.safetensors")
    output = folder / "out" / "a.pt2"
    output.parent.mkdir()
    done = CliRunner().invoke(app, ["export", str(folder / "tiny.safetensors"), "-o", str(output)])
    assert done.exit_code == 0, done.output
    assert "a.pt2" in done.output
    return output


def test_program_of_any_size(exported: Path) -> None:
    assert [p.name for p in exported.parent.iterdir()] == ["a.pt2"]
    model, run = network(), torch.export.load(exported).module()
    for size in SIZES:
        assert_same(run, model, size)
    with pytest.raises(AssertionError, match=r"15.*>= 16|16"):
        run(torch.zeros(1, 3, 3, 15, 40), torch.ones(1, 3))


def test_command(exported: Path) -> None:
    weights, output = str(exported.parents[1] / "tiny.safetensors"), str(exported)
    done = CliRunner().invoke(app, ["export", weights, "-o", output])
    assert done.exit_code == 2
    assert "replace it with --force" in done.output
    done = CliRunner().invoke(app, ["export", weights])
    assert "export must know where the file goes: add -o" in done.output


def test_program_of_all_options(monkeypatch: pytest.MonkeyPatch) -> None:
    # Windows of 9 pixels, each of which is a part of the graph, in place of 25.
    monkeypatch.setattr(subpixel, "_RADIUS", 1)
    model = network(stride=2, **PHOTOGRAPHS)
    run = to_program(model).module()
    for size in SIZES:
        assert_same(run, model, size)


def test_program_of_trained_weights_is_that_of_either_layout() -> None:
    model = trained()
    run = to_program(model).module()
    for size in ((72, 96), (101, 67)):
        assert_same(run, model, size)
        assert_same(run, model.to(memory_format=torch.contiguous_format), size)  # type: ignore[call-overload]
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def test_bf16_is_that_of_autocast() -> None:
    # In the layout of the program: bfloat16 sums in another order round to other features.
    model = network()
    run = to_program(model, precision="bf16").module()
    for size in SIZES[:2]:
        eager = torch.autocast("cpu", torch.bfloat16)(model)
        assert_same(run, eager, size)
        assert difference(run, model, size) > 1e-4


@pytest.mark.parametrize("propagate", [False, True])
def test_reach_is_a_branch_for_every_size(propagate: bool) -> None:
    # What comes after the matches, and so after the branches, is that of the other programs.
    after = {"ms_hdr": False, "motion_attention": False, "scale_attention": False}
    model = network(reach=80, border=8, propagate=propagate, **after)
    shortest, longest = sides(model.config, 256)
    assert (shortest, longest) == (32, 256)
    run = to_program(model, longest=256).module()
    # Radiance alone: no dispatch mode sees into the branches.
    for size in ((64, 48), (91, 70), (200, 253)):  # none, one and two halvings
        assert difference(run, model, size) <= 1e-4
    assert model.longest == 16384
    with pytest.raises(InputError, match="longest must be at most 16384 pixels, got 70000"):
        to_program(model, longest=70000)


def test_one_compilation_for_every_reach() -> None:
    """On whichever side of its branches; halved twice, these hold fewer and more than 20480 numbers."""
    torch._dynamo.reset()
    model = network(channels=(8, 16, 16), reach=140, propagate=True, flow=True)
    model.longest = 512
    run = torch.compile(model, dynamic=True, fullgraph=True, backend="eager")
    for size in ((160, 176), (316, 346), (144, 160)):
        assert difference(run, model, size) <= 1e-4
    entries = torch._dynamo.eval_frame._debug_get_cache_entry_list(APNTFusion.forward)
    assert len(entries) == 1


def test_one_compilation_for_five_sizes() -> None:
    torch._dynamo.reset()
    model = trained()
    run = torch.compile(model, dynamic=True, fullgraph=True, backend="aot_eager")
    for size in ((176, 208), (181, 177), (192, 192), (177, 230), (211, 176)):
        inputs = bracket(*size)
        with torch.no_grad():
            result, found = run(*inputs, return_maps=True)
            _, own = model(*inputs, return_maps=True)
            expected = with_offsets(model, found["offset"], inputs)
        # Matches are eager mode's but for ties, and with them so is the radiance.
        for ours, theirs in zip(found["offset"], own["offset"], strict=True):
            assert (ours != theirs).any(dim=1).sum() <= 1
        for score, best in zip(found["score"], own["score"], strict=True):
            assert (score - best).abs().max() <= TIE_ULPS * torch.finfo(torch.float32).eps
        assert (result - expected).abs().max() <= 1e-4
    entries = torch._dynamo.eval_frame._debug_get_cache_entry_list(APNTFusion.forward)
    assert len(entries) == 1


def assert_same_in_onnx(model: APNTFusion, sizes: tuple[tuple[int, int], ...], path: Path) -> None:
    """A file in ONNX Runtime finds eager mode's matches but for ties, and gives what that gives with them."""
    pytest.importorskip("onnxruntime", reason="pip install 'apnt[onnx]'")
    onnx = pytest.importorskip("onnx", reason="pip install 'apnt[onnx]'")
    pytest.importorskip("onnxscript", reason="pip install 'apnt[onnx]'")
    export(model, path, format="onnx")
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    file = onnx.load(path)
    onnx.checker.check_model(file, full_check=True)
    assert {entry.domain: entry.version for entry in file.opset_import} == {"": 20}
    assert {entry.key for entry in file.metadata_props} >= {"apnt_config", "precision"}
    run = load(path, "onnx")
    for size in sizes:
        inputs = bracket(*size)
        result, found = run(*inputs)
        with torch.no_grad(), Given(found) as given:
            expected = model(*inputs)
        assert len(given.behind) == sum(offset is not None for offset in found) >= 6
        assert max(given.behind) <= TIE_ULPS * torch.finfo(torch.float32).eps
        assert (mu_law(result) - mu_law(expected)).abs().max() <= 1e-4


def test_onnx(tmp_path: Path) -> None:
    assert_same_in_onnx(network(), SIZES, tmp_path / "a.onnx")


@slow
def test_onnx_of_all_options(tmp_path: Path) -> None:
    assert_same_in_onnx(network(stride=2, **PHOTOGRAPHS), SIZES, tmp_path / "a.onnx")


@slow
def test_onnx_of_trained_weights(tmp_path: Path) -> None:
    assert_same_in_onnx(trained(), ((64, 80), (75, 69), (200, 264)), tmp_path / "a.onnx")


@slow
def test_aoti(tmp_path: Path) -> None:
    model = network()
    path = export(model, tmp_path / "a.pt2", format="aoti")
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt2"]
    run = torch._inductor.aoti_load_package(str(path))
    for size in SIZES:
        assert difference(run, model, size) <= 1e-4


@slow
def test_aoti_in_bf16_is_as_near_to_fp32_as_autocast(tmp_path: Path) -> None:
    # Fused operations round to bf16 less often than eager ones, so the two are not the same.
    model = network()
    run = torch._inductor.aoti_load_package(
        str(export(model, tmp_path / "a.pt2", format="aoti", precision="bf16"))
    )
    for size in SIZES:
        inputs = bracket(*size)
        with torch.no_grad():
            exact = model(*inputs)
            with torch.autocast("cpu", torch.bfloat16):
                rounded = model(*inputs)
            ours, autocast = ((mu_law(x) - mu_law(exact)).square().mean() for x in (run(*inputs), rounded))
        assert 0 < ours <= 1.2 * autocast


def test_a_program_loads_after_import_apnt_alone(tmp_path: Path) -> None:
    ldr = torch.rand(1, 8, 9, 4)
    offset = torch.zeros(1, 2, 9, 4, dtype=torch.int32)

    class Swap(torch.nn.Module):
        def forward(self, x: Tensor, at: Tensor) -> Tensor:
            return apnt.ops.patch_swap(x, at)

    torch.export.save(torch.export.export(Swap(), (ldr, offset)), tmp_path / "swap.pt2")
    code = (
        f"import {{0}}, {{1}}; run = torch.export.load({str(tmp_path / 'swap.pt2')!r}).module()\n"
        "print(run(torch.ones(1, 8, 9, 4), torch.zeros(1, 2, 9, 4, dtype=torch.int32)).sum().item())"
    )
    package = str(Path(apnt.__file__).parents[1])
    for order in (("apnt", "torch"), ("torch", "apnt")):
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {package!r})\n{code.format(*order)}"],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert (done.stdout.strip(), done.returncode) == ("288.0", 0), done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "tflite"}, "format must be one of pt2, aoti, onnx, got 'tflite'"),
        ({"precision": "fp16"}, "precision of format pt2 must be fp32 or bf16, got 'fp16'"),
        ({"format": "onnx", "precision": "bf16"}, "precision of format onnx must be fp32, got 'bf16'"),
        ({"format": "onnx"}, "must end in .onnx, got"),
        ({"longest": 20}, "longest must be from 32 to 16384 pixels, got 20"),
    ],
)
def test_wrong_requests_are_named(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        export(network(), tmp_path / "a.pt2", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_formats_of_the_command_are_those_that_there_are() -> None:
    from apnt.cli.export import Format

    assert [kind.value for kind in Format] == list(FORMATS)


@pytest.mark.parametrize("format", ["pt2", "aoti"])
def test_a_full_disk_is_an_error_of_the_system(tmp_path: Path, format: str) -> None:
    """In a process of its own, for torch's writers end one where the disk is full."""
    code = (
        "import signal, resource, sys; from pathlib import Path; import torch, torch._inductor\n"
        "from apnt.export.write import FORMATS\n"
        "put = lambda content: content.write(bytes(10_000))\n"
        "torch.export.save = lambda program, content, **_: put(content)\n"
        "torch._inductor.aoti_compile_and_package = lambda program, package_path, **_: put(package_path)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: FORMATS[sys.argv[1]].write(None, Path(sys.argv[2]), {})\n"
        "except OSError as error: print(error.errno)"
    )
    package = str(Path(apnt.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code, format, str(tmp_path / "a.pt2")],
        capture_output=True, text=True, timeout=100, check=False,
        env={**os.environ, "PYTHONPATH": package},
    )  # fmt: skip
    assert done.stdout == f"{errno.EFBIG}\n", done.stderr
