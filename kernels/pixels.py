"""Division of the work into programs of BLOCK_P pixels of one image, in raster order, and BLOCK_C channels,
and their loads."""

from __future__ import annotations

from torch import Tensor

from apnt.kernels.language import INTERPRET, ceil_div, jit, power_of_two, tl


def blocks(c: int, h: int, w: int) -> dict[str, int]:
    """BLOCK_P and BLOCK_C. In the interpreter the number of programs decides the time, not their size."""
    if INTERPRET:
        return {"BLOCK_P": min(2048, power_of_two(h * w)), "BLOCK_C": min(16, power_of_two(c))}
    return {"BLOCK_P": 128, "BLOCK_C": 8}


def grid(x: Tensor) -> tuple[int, int]:
    """Programs for pixels and channels of ``x`` (N, C, H, W)."""
    n, c, h, w = x.shape
    size = blocks(c, h, w)
    return n * ceil_div(h * w, size["BLOCK_P"]), ceil_div(c, size["BLOCK_C"])


def pixel_grid(x: Tensor) -> tuple[int]:
    """Programs for pixels of ``x`` (N, ..., H, W), with all their channels."""
    h, w = x.shape[-2:]
    return (x.shape[0] * ceil_div(h * w, blocks(1, h, w)["BLOCK_P"]),)


@jit
def pixels_of_program(h, w, BLOCK_P: tl.constexpr):
    """Image, pixels of an image, index in the image, row and column of the program's pixels; where there is
    such a pixel."""
    plane = tl.cast(h, tl.int64) * w
    blocks = tl.cdiv(plane, BLOCK_P)
    pid = tl.program_id(0).to(tl.int64)
    image = pid // blocks
    p = (pid % blocks) * BLOCK_P + tl.arange(0, BLOCK_P)
    # An image has fewer than 2**31 pixels; 64-bit divisions are slow.
    short = p.to(tl.int32)
    return image, plane, p, (short // w).to(tl.int64), (short % w).to(tl.int64), p < plane


@jit
def channels_of_program(c, BLOCK_C: tl.constexpr):
    """The program's channels, (BLOCK_C), and where there is such a channel, (BLOCK_C, 1)."""
    channel = tl.program_id(1).to(tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)
    return channel, (channel < c)[:, None]


@jit
def load_features(
    features, image, channel, y, x, stride_n, stride_c, stride_y, stride_x, mask, SUM: tl.constexpr
):
    """Channels (BLOCK_C) of pixels (y, x), (BLOCK_C, BLOCK_P), zero where masked; features: (N, C, H, W)."""
    rows = features + image * stride_n + (channel * stride_c)[:, None]
    return tl.load(rows + (y * stride_y + x * stride_x)[None, :], mask=mask, other=0).to(SUM)


@jit
def box_sum_at(
    values, image, plane, y, x, live, h, w, PATCH: tl.constexpr, SUM: tl.constexpr, BLOCK_P: tl.constexpr
):
    """Sum of a map (N, H, W) over the patch around each pixel (y, x)."""
    HALF: tl.constexpr = PATCH // 2
    total = tl.zeros((BLOCK_P,), SUM)
    for uy in range(-HALF, HALF + 1):
        for ux in range(-HALF, HALF + 1):
            by, bx = y + uy, x + ux
            inside = live & (by >= 0) & (by < h) & (bx >= 0) & (bx < w)
            total += tl.load(values + image * plane + by * w + bx, mask=inside, other=0)
    return total


@jit
def divide(a, b, SUM: tl.constexpr):
    """a / b, rounded as in IEEE 754; Triton's own division of float32 is not."""
    if tl.float32 == SUM:
        return tl.div_rn(a, b + tl.zeros_like(a))
    else:
        return a / b
