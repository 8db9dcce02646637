"""Matches that spread to neighbours: the compiled library's against the same in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import pytest
import torch
from torch import Tensor

from apnt import _ext, ops
from apnt.nn import matching
from apnt.nn.matching import First, propagated

LAST = torch.channels_last
SHAPES = [(2, 16, 31, 43), (1, 5, 20, 17), (1, 64, 13, 10), (2, 3, 2, 2), (1, 1, 1, 7), (1, 7, 9, 1)]


@pytest.fixture(params=["portable", "avx2", "avx512", "avx512_bf16"])
def _instructions(request: pytest.FixtureRequest, hold_to: Callable[[str], None]) -> None:
    hold_to(request.param)


def case(shape: tuple[int, ...], dtype: torch.dtype, normalize: str) -> tuple[Tensor, Tensor, First]:
    """Features that moved by (2, -3), with noise, and a search around places that are often wrong."""
    torch.manual_seed(shape[2])
    source = torch.randn(shape)
    target = source.roll((-2, 3), (2, 3)) + 0.5 * torch.randn(shape)
    source, target = source.to(dtype), target.to(dtype)
    center = torch.randint(-5, 6, (shape[0], 2, *shape[2:]), dtype=torch.int32)
    found = ops.window_match(source, target, center, radius=1, normalize=normalize)
    return source, target, found


def by_pytorch(
    source: Tensor, target: Tensor, found: First, distances: tuple[int, ...] = (6, 2), **options: object
) -> First:
    with mock.patch.object(matching, "takes_strips", return_value=False):
        return propagated(source, target, found, distances, **options)


@pytest.mark.usefixtures("_instructions")
@pytest.mark.parametrize("normalize", ["search", "cosine", "paper", "none"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_equals_the_search_of_each_neighbour(dtype: torch.dtype, normalize: str) -> None:
    changed = 0
    for shape in SHAPES:
        source, target, found = case(shape, dtype, normalize)
        options = {"patch_size": 3, "normalize": normalize}
        offsets, scores = by_pytorch(source, target, found, **options)
        with torch.no_grad():
            ours = propagated(source, target, found, (6, 2), **options)
        assert torch.equal(ours[0], offsets)
        torch.testing.assert_close(ours[1], scores, rtol=1e-5, atol=1e-5)
        changed += int((offsets != found[0]).sum())
    assert changed > 1000


def test_patches_of_five_pixels_and_cut_features() -> None:
    if not _ext.LOADED:
        pytest.skip(str(_ext.MISSING))
    source, target, found = case((1, 16, 31, 43), torch.float32, "cosine")
    options = {"patch_size": 5, "normalize": "cosine"}
    source, target = source[..., 3:25, 2:40].to(memory_format=LAST), target[..., 3:25, 2:40]
    found = ops.window_match(source, target, found[0][..., 3:25, 2:40], radius=0, **options)
    wanted = by_pytorch(source, target, found, (3,), **options)
    with torch.no_grad():
        ours = propagated(source, target, found, (3,), **options)
    assert torch.equal(ours[0], wanted[0])
    torch.testing.assert_close(ours[1], wanted[1])


def test_what_is_not_a_number_is_no_match() -> None:
    if not _ext.LOADED:
        pytest.skip(str(_ext.MISSING))
    source, target, found = case((1, 16, 31, 43), torch.float32, "cosine")
    source[0, 3, 10:14, 20:26] = torch.nan
    options = {"patch_size": 3, "normalize": "cosine"}
    found = ops.window_match(source, target, found[0], radius=0, **options)
    wanted = by_pytorch(source, target, found, **options)
    with torch.no_grad():
        ours = propagated(source, target, found, (6, 2), **options)
    assert torch.equal(ours[0], wanted[0])
    torch.testing.assert_close(ours[1], wanted[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": torch.zeros(1, 16, 8, 9)}, "source and target must be channels-last"),
        ({"target": torch.zeros(1, 16, 8, 8).to(memory_format=LAST)}, "target must have source's shape"),
        ({"offset": torch.zeros(1, 2, 8, 9)}, "offset must be an int32 tensor"),
        ({"score": torch.zeros(1, 9, 8)}, "score must have the score's shape"),
        ({"distance": 0}, "distance must be positive, got 0"),
        ({"patch_size": 2}, "patch_size must be odd, got 2"),
        ({"normalize": "l2"}, "normalize must be search, cosine, paper or none, got l2"),
    ],
)
def test_direct_calls_are_checked(change: dict[str, object], message: str) -> None:
    if not _ext.LOADED:
        pytest.skip(str(_ext.MISSING))
    features = torch.zeros(1, 16, 8, 9).to(memory_format=LAST)
    arguments = {
        "source": features, "target": features, "offset": torch.zeros(1, 2, 8, 9, dtype=torch.int32),
        "score": torch.zeros(1, 8, 9), "distance": 1, "patch_size": 3, "normalize": "cosine",
    } | change  # fmt: skip
    with pytest.raises(RuntimeError, match=message):
        torch.ops.apnt.propagate(*arguments.values())
