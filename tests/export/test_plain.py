"""The ops in ONNX's operators, run by ONNX Runtime, beside the ops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from apnt import _ext, ops

runtime = pytest.importorskip("onnxruntime", reason="pip install 'apnt[onnx]'")
for package in ("onnx", "onnxscript"):
    pytest.importorskip(package, reason="pip install 'apnt[onnx]'")
pytestmark = pytest.mark.skipif(not _ext.LOADED, reason=str(_ext.MISSING))

SIZES = ((6, 31), (40, 27))
"""Height and width, pixels, none of them traced."""


class Match(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options

    def forward(self, source: Tensor, target: Tensor, center: Tensor | None = None) -> Any:
        return ops.window_match(source, target, center, **self.options)


class Swap(nn.Module):
    def __init__(self, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size

    def forward(self, source: Tensor, offset: Tensor) -> Tensor:
        return ops.patch_swap(source, offset, patch_size=self.patch_size)


def in_onnx(module: nn.Module, inputs: tuple[Tensor, ...], path: Path) -> Callable[..., list[np.ndarray]]:
    """The module as a file of any height and width, run by ONNX Runtime."""
    from apnt.export.write import FORMATS

    sizes = {2: Dim("height", min=6, max=999), 3: Dim("width", min=6, max=999)}
    program = torch.export.export(module, inputs, dynamic_shapes=tuple(sizes for _ in inputs))
    FORMATS["onnx"].write(program, path, {})
    session = runtime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda *args: session.run(None, dict(zip(names, (x.numpy() for x in args), strict=True)))


@pytest.mark.parametrize(
    ("radius", "patch_size", "normalize"),
    [(2, 3, "cosine"), (0, 3, "search"), (3, 1, "paper"), (1, 5, "none"), (6, 3, "cosine")],
)
@pytest.mark.parametrize("centered", [False, True])
def test_window_match(centered: bool, radius: int, patch_size: int, normalize: str, tmp_path: Path) -> None:
    torch.manual_seed(radius)

    def inputs(height: int, width: int) -> tuple[Tensor, ...]:
        features = tuple(torch.randn(2, 2, 5, height, width))
        center = torch.randint(-6, 7, (2, 2, height, width), dtype=torch.int32)
        return (*features, center) if centered else features

    model = Match(radius=radius, patch_size=patch_size, normalize=normalize)
    run = in_onnx(model, inputs(12, 16), tmp_path / "match.onnx")
    for size in SIZES:
        given = inputs(*size)
        expected, best = model(*given)
        offset, score = run(*given)
        assert offset.dtype == np.int32
        assert np.array_equal(offset, expected.numpy())  # random features have no ties
        np.testing.assert_allclose(score, best.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("centered", [False, True])
def test_ties_go_to_the_nearest_then_in_raster_order(centered: bool, tmp_path: Path) -> None:
    def inputs(height: int, width: int) -> tuple[Tensor, ...]:
        features = torch.full((1, 3, height, width), 0.7)
        center = torch.ones(1, 2, height, width, dtype=torch.int32)
        return (features, features, center) if centered else (features, features)

    model = Match(radius=2, normalize="cosine")
    run = in_onnx(model, inputs(12, 16), tmp_path / "match.onnx")
    for size in SIZES:
        assert np.array_equal(run(*inputs(*size))[0], model(*inputs(*size))[0].numpy())


def test_windows_far_outside_keep_to_the_image(tmp_path: Path) -> None:
    def inputs(height: int, width: int) -> tuple[Tensor, ...]:
        center = torch.full((1, 2, height, width), 2**31 - 1, dtype=torch.int32)
        center[:, :, ::2] = -(2**31)
        return (*torch.randn(2, 1, 3, height, width), center)

    model = Match(radius=1)
    run = in_onnx(model, inputs(12, 16), tmp_path / "match.onnx")
    given = inputs(9, 10)
    assert np.array_equal(run(*given)[0], model(*given)[0].numpy())


def test_pixels_are_taken_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from apnt.export import plain

    monkeypatch.setattr(plain, "CHUNK_BYTES", 40_000)  # some ten pixels
    center = torch.zeros(1, 2, 12, 16, dtype=torch.int32)
    given = (*torch.randn(2, 1, 4, 12, 16), center)
    run = in_onnx(Match(radius=2), given, tmp_path / "match.onnx")
    assert np.array_equal(run(*given)[0], Match(radius=2)(*given)[0].numpy())


@pytest.mark.parametrize("patch_size", [1, 3, 5])
def test_patch_swap(patch_size: int, tmp_path: Path) -> None:
    def inputs(height: int, width: int) -> tuple[Tensor, Tensor]:
        offset = torch.randint(-9, 10, (2, 2, height, width), dtype=torch.int32)
        offset[:, :, 0, 0] = 2**31 - 1
        return torch.randn(2, 4, height, width), offset

    model = Swap(patch_size)
    run = in_onnx(model, inputs(12, 16), tmp_path / "swap.onnx")
    for size in SIZES:
        given = inputs(*size)
        np.testing.assert_allclose(run(*given)[0], model(*given).numpy(), rtol=1e-5, atol=1e-6)
