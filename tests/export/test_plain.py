"""The ops in plain operators beside the ops."""

from __future__ import annotations

import pytest
import torch

from apnt import ops
from apnt.export import plain


@pytest.mark.parametrize("normalize", ["search", "cosine", "paper", "none"])
@pytest.mark.parametrize(("radius", "patch_size"), [(0, 3), (2, 3), (3, 1), (1, 5)])
@pytest.mark.parametrize("centered", [False, True])
def test_window_match(centered: bool, radius: int, patch_size: int, normalize: str) -> None:
    torch.manual_seed(radius)
    source, target = torch.randn(2, 2, 5, 9, 13)
    center = torch.randint(-6, 7, (2, 2, 9, 13), dtype=torch.int32) if centered else None
    expected, best = ops.window_match(
        source, target, center, radius=radius, patch_size=patch_size, normalize=normalize
    )
    score, offset = plain.window_match(source, target, center, radius, patch_size, normalize)
    torch.testing.assert_close(score, best, rtol=1e-5, atol=1e-5)
    assert offset.dtype == torch.int32
    assert torch.equal(offset, expected)  # random features have no ties


def test_ties_go_to_the_nearest_then_in_raster_order() -> None:
    source, target = torch.ones(2, 1, 3, 8, 8)
    center = torch.zeros(1, 2, 8, 8, dtype=torch.int32)
    for where in (None, center):
        expected, _ = ops.window_match(source, target, where, radius=2, normalize="cosine")
        _, offset = plain.window_match(source, target, where, 2, 3, "cosine")
        assert torch.equal(offset, expected)


def test_a_window_beyond_the_image_keeps_to_it() -> None:
    source, target = torch.randn(2, 1, 3, 6, 7)
    center = torch.full((1, 2, 6, 7), 2**31 - 1, dtype=torch.int32)
    expected, _ = ops.window_match(source, target, center, radius=1)
    assert torch.equal(plain.window_match(source, target, center, 1)[1], expected)


@pytest.mark.parametrize("patch_size", [1, 3, 5])
def test_patch_swap(patch_size: int) -> None:
    source = torch.randn(2, 4, 9, 7)
    offset = torch.randint(-9, 10, (2, 2, 9, 7), dtype=torch.int32)
    expected = ops.patch_swap(source, offset, patch_size=patch_size)
    torch.testing.assert_close(plain.patch_swap(source, offset, patch_size), expected)
