"""``apnt.fuse`` around the network: what the network gets, what the caller gets."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import apnt
from apnt.device import has_bf16
from apnt.errors import InputError


class MediumOnly(torch.nn.Module):
    """The medium exposure's radiance; remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(()))
        self.calls: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.state: list[bool] = []

    def forward(self, ldr: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        self.calls.append((ldr, times))
        self.state = [self.training, torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")]
        return self.gain * ldr[:, 1] ** 2.2 / times[:, 1, None, None, None]


def bracket() -> list[np.ndarray]:
    """Long, short, medium."""
    rng = np.random.default_rng(0)
    return [rng.integers(low, low + 60, (20, 33, 3), dtype=np.uint8) for low in (190, 0, 100)]


def test_sorted_scaled_and_returned() -> None:
    model = MediumOnly()
    images = bracket()
    radiance = apnt.fuse(images, times=[1 / 25, 1 / 400, 1 / 100], model=model)
    ldr, times = model.calls[0]
    assert ldr.shape == (1, 3, 3, 20, 33)
    assert ldr.dtype == times.dtype == torch.float32
    np.testing.assert_array_equal(times.numpy(), [[1, 4, 16]])
    for frame, image in zip(ldr[0], (images[1], images[2], images[0]), strict=True):
        np.testing.assert_allclose(frame.permute(1, 2, 0).numpy(), image / 255, atol=1e-6)
    assert radiance.shape == (20, 33, 3)
    assert radiance.dtype == np.float32
    assert radiance.flags.c_contiguous
    np.testing.assert_allclose(radiance, (images[2] / 255) ** 2.2 / 4, rtol=1e-5)


def test_stops_and_times_agree() -> None:
    by_times = apnt.fuse(bracket(), times=[16, 1, 4], model=MediumOnly())
    by_stops = apnt.fuse(bracket(), stops=[2, -2, 0], model=MediumOnly())
    np.testing.assert_array_equal(by_times, by_stops)


def test_paths(tmp_path: Path) -> None:
    paths = []
    for n, image in enumerate(bracket()):
        paths.append(tmp_path / f"{n}.png")
        cv2.imwrite(str(paths[-1]), image[..., ::-1])
    from_paths = apnt.fuse(paths, stops=[4, 0, 2], model=MediumOnly())
    np.testing.assert_array_equal(from_paths, apnt.fuse(bracket(), stops=[4, 0, 2], model=MediumOnly()))


def test_the_network_runs_without_gradients_and_is_left_as_it_was() -> None:
    model = MediumOnly().train()
    apnt.fuse(bracket(), stops=[4, 0, 2], model=model, precision="fp32")
    assert model.state == [False, True, False]
    assert model.training


def test_maps_come_with_the_image() -> None:
    config = apnt.APNTConfig(channels=(8, 8, 8), mef_blocks=1, aligned=True, confidence=True)
    model = apnt.APNTFusion(config)
    alone = apnt.fuse(bracket(), stops=[4, 0, 2], model=model, precision="fp32")
    image, maps = apnt.fuse(bracket(), stops=[4, 0, 2], model=model, precision="fp32", return_maps=True)
    np.testing.assert_array_equal(image, alone)
    assert maps is not None
    assert maps.error is not None
    assert maps.error.shape == (20, 33)
    assert (maps.error > 0).all()
    assert maps.reach == 8 * 4 + 2 * 2 + 2
    model = apnt.APNTFusion(replace(config, confidence=False))
    _, maps = apnt.fuse(bracket(), stops=[4, 0, 2], model=model, return_maps=True)
    assert maps is not None
    assert maps.error is None
    assert apnt.fuse(bracket(), stops=[4, 0, 2], method="weighted", return_maps=True)[1] is None


def test_reach_grows_with_the_picture() -> None:
    config = apnt.APNTConfig(channels=(8, 8, 8), mef_blocks=1, radii=(1, 2, 3), reach=64)
    frames = [np.tile(frame, (2, 4, 1)) for frame in bracket()]  # 40 x 132: halved twice
    _, maps = apnt.fuse(frames, stops=[4, 0, 2], model=apnt.APNTFusion(config), align="off", return_maps=True)
    assert maps is not None
    smallest = 3 * 4 + 2 * 2
    assert maps.reach == 2 * (2 * smallest + 2 * 2 + 2 * 4) + 2 * 2 + 2 * 4 + 1


def test_clamped() -> None:
    model = MediumOnly()
    model.gain.data.fill_(100.0)
    radiance = apnt.fuse(bracket(), stops=[4, 0, 2], model=model)
    assert radiance.max() == 1.0


class OneConvolution(MediumOnly):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 3, 1)
        self.seen = torch.float32

    def forward(self, ldr: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        result = self.layer(ldr[:, 1])
        self.seen = result.dtype
        return result


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp32", torch.float32), ("bf16", torch.bfloat16), ("auto", None)],
)
def test_precision(precision: str, dtype: torch.dtype | None) -> None:
    model = OneConvolution()
    radiance = apnt.fuse(bracket(), stops=[4, 0, 2], model=model, precision=precision, device="cpu")
    best = torch.bfloat16 if has_bf16(torch.device("cpu")) else torch.float32
    assert model.seen == (dtype or best)
    assert radiance.dtype == np.float32


@pytest.mark.parametrize(
    ("features", "precision", "slow"),
    [
        ({"avx512_f": False}, "bf16", True),
        ({"avx512_f": True}, "bf16", False),
        ({"avx512_f": False}, "auto", False),
        ({"bf16": True}, "bf16", False),
    ],
)
def test_slow_bf16_is_said(
    features: dict[str, bool], precision: str, slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processors without AVX-512 take several times as long in it; others, of ARM too, do not."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        apnt.fuse(bracket(), stops=[4, 0, 2], model=OneConvolution(), precision=precision, device="cpu")
    assert any("precision bf16 takes several times" in str(one.message) for one in said) == slow


def test_progress() -> None:
    steps: list[str] = []
    apnt.fuse(bracket(), stops=[4, 0, 2], model=MediumOnly(), progress=steps.append)
    assert steps == ["read", "fuse"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": "fp16"}, "precision must be one of auto, fp32, bf16, got 'fp16'"),
        ({"device": "potato"}, "device must be usable here, and potato is not"),
        ({"device": "meta"}, "device must be usable here, and meta is not"),
        ({"stops": [0, 2]}, "stops must be one number an image, 3, got 2"),
        ({"times": [1, 2, 4]}, "got both"),
        ({"stops": None}, "times or stops must be given for arrays"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        apnt.fuse(bracket(), **{"stops": [4, 0, 2], "model": MediumOnly(), **arguments})  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for CUDA where there is none")
def test_cuda_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"cuda is not .*: try cpu"):
        apnt.fuse(bracket(), stops=[4, 0, 2], model=MediumOnly(), device="cuda")


def test_not_finite() -> None:
    model = MediumOnly()
    model.gain.data.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="NaN or infinity: try precision fp32"):
        apnt.fuse(bracket(), stops=[4, 0, 2], model=model)


class OutOfMemory(MediumOnly):
    def forward(self, ldr: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        return torch.empty(1 << 60, dtype=torch.uint8)  # more than any address space


def test_out_of_memory() -> None:
    with pytest.raises(MemoryError, match="on cpu, for images of 33 x 20 pixels, needs more memory than"):
        apnt.fuse(bracket(), stops=[4, 0, 2], model=OutOfMemory(), device="cpu")


class Broken(MediumOnly):
    def forward(self, ldr: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("a bug")


def test_other_errors_of_the_network_are_not_hidden() -> None:
    model = Broken().train()
    with pytest.raises(RuntimeError, match="a bug"):
        apnt.fuse(bracket(), stops=[4, 0, 2], model=model)
    assert model.training
