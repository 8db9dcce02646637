"""Norms of patches, (N, H, W), by which scores are divided."""

from __future__ import annotations

from torch import Tensor

from apnt.kernels.language import jit, on_device, sum_dtype, sum_type, tl
from apnt.kernels.pixels import blocks, box_sum_at, divide, load_features, pixel_grid, pixels_of_program

FLOOR = 1e-6
"""Smallest norm that a score is divided by."""


@jit
def squares_kernel(
    features,
    out,
    h,
    w,
    stride_n,
    stride_c,
    stride_y,
    stride_x,
    C: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """out (N, H, W) = sum over the channels of features**2; the order of additions is the same for all
    pixels."""
    image, plane, p, y, x, live = pixels_of_program(h, w, BLOCK_P)
    total = tl.zeros((BLOCK_C, BLOCK_P), SUM)
    for first in range(0, C, BLOCK_C):
        channel = (first + tl.arange(0, BLOCK_C)).to(tl.int64)
        mask = (channel < C)[:, None] & live[None, :]
        value = load_features(
            features, image, channel, y, x, stride_n, stride_c, stride_y, stride_x, mask, SUM
        )
        total += value * value
    tl.store(out + image * plane + p, tl.sum(total, 0), mask=live)


@jit
def reciprocal_norms_kernel(
    squares, out, h, w, PATCH: tl.constexpr, SUM: tl.constexpr, FLOOR: tl.constexpr, BLOCK_P: tl.constexpr
):
    """out (N, H, W) = 1 / max(FLOOR, root of the sum of squares over the patch)."""
    image, plane, p, y, x, live = pixels_of_program(h, w, BLOCK_P)
    total = box_sum_at(squares, image, plane, y, x, live, h, w, PATCH, SUM, BLOCK_P)
    norm = tl.maximum(tl.sqrt(total), FLOOR)
    one = tl.full((BLOCK_P,), 1, SUM)
    tl.store(out + image * plane + p, divide(one, norm, SUM), mask=live)


def squares(features: Tensor) -> Tensor:
    """Sum of the squares of each pixel's channels, (N, H, W)."""
    n, c, h, w = features.shape
    out = features.new_empty((n, h, w), dtype=sum_dtype(features.dtype))
    with on_device(features):
        squares_kernel[pixel_grid(features)](
            features,
            out,
            h,
            w,
            *features.stride(),
            C=c,
            SUM=sum_type(features.dtype),
            **blocks(c, h, w),
        )
    return out


def reciprocal_norms(features: Tensor, patch_size: int) -> Tensor:
    """One over the floored norm of the patch around each pixel, (N, H, W)."""
    sums = squares(features)
    h, w = sums.shape[1:]
    out = sums.new_empty(sums.shape)
    with on_device(features):
        reciprocal_norms_kernel[pixel_grid(out)](
            sums,
            out,
            h,
            w,
            PATCH=patch_size,
            SUM=sum_type(sums.dtype),
            FLOOR=FLOOR,
            BLOCK_P=blocks(1, h, w)["BLOCK_P"],
        )
    return out
