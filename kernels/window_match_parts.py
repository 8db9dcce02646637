"""Common parts of both searches of op 1: products, sums over patches, order of candidates, output."""

from __future__ import annotations

from apnt.kernels.language import jit, tl


@jit
def shifted_sum(x, SIZE: tl.constexpr, SHIFT: tl.constexpr, PATCH: tl.constexpr):
    """x[i] + x[i + SHIFT] + ... + x[i + (PATCH - 1) * SHIFT] of a flat tensor; its last elements are
    meaningless."""
    total = x
    if PATCH > 1:
        index = tl.arange(0, SIZE)
        for i in tl.static_range(1, PATCH):
            total += tl.gather(x, tl.minimum(index + i * SHIFT, SIZE - 1), 0)
    return total


@jit
def rank_of(dy, dx, RY: tl.constexpr, RX: tl.constexpr, RANK: tl.constexpr):
    """Place of a displacement from the window's centre in the tie rule: by distance, then in raster order."""
    AREA: tl.constexpr = (2 * RY + 1) * (2 * RX + 1)
    dy, dx = dy.to(RANK), dx.to(RANK)
    return (dy * dy + dx * dx) * AREA + (dy + RY) * (2 * RX + 1) + dx + RX


@jit
def displacement_of(rank, LAST: tl.constexpr, RY: tl.constexpr, RX: tl.constexpr):
    """The displacement that has this rank; none for LAST, which is no candidate's."""
    AREA: tl.constexpr = (2 * RY + 1) * (2 * RX + 1)
    raster = tl.where(rank == LAST, RY * (2 * RX + 1) + RX, rank % AREA)
    return raster // (2 * RX + 1) - RY, raster % (2 * RX + 1) - RX


@jit
def round_to_tf32(x):
    """The nearest numbers with 10 bits of mantissa, ties away from zero. The tensor cores themselves
    truncate."""
    bits = x.to(tl.int32, bitcast=True)
    rounded = ((bits + 0x1000) & -0x2000).to(tl.float32, bitcast=True)
    return tl.where(x == x, rounded, x)


@jit
def operand(pointer, mask, CAST: tl.constexpr, PRECISION: tl.constexpr):
    """Features for a product of matrices, zero where masked."""
    value = tl.load(pointer, mask=mask, other=0)
    if CAST:
        value = value.to(tl.float32)
    if PRECISION == "tf32":
        value = round_to_tf32(value)
    return value


@jit
def products(
    pairs,
    from_target,
    in_target,
    target_c,
    from_source,
    in_source,
    source_c,
    C: tl.constexpr,
    KC: tl.constexpr,
    SUM: tl.constexpr,
    CAST: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """pairs (B, M, Q) + the products of target pixels (B, M, 1) and source pixels (B, 1, Q), over their
    channels."""
    k = tl.arange(0, KC)
    from_target = from_target + (k.to(tl.int64) * target_c)[None, None, :]  # (B, M, KC)
    from_source = from_source + (k.to(tl.int64) * source_c)[None, :, None]  # (B, KC, Q)
    for c in range(0, C, KC):
        in_t = in_target & (c + k < C)[None, None, :]
        in_s = in_source & (c + k < C)[None, :, None]
        t = operand(from_target + tl.cast(c, tl.int64) * target_c, in_t, CAST, PRECISION)
        s = operand(from_source + tl.cast(c, tl.int64) * source_c, in_s, CAST, PRECISION)
        pairs = tl.dot(t, s, pairs, input_precision=PRECISION, out_dtype=SUM)
    return pairs


@jit
def write_answer(offset, score, target_norm, image, plane, p, live, dy, dx, value, BY_TARGET: tl.constexpr):
    """Offsets (dy, dx) and scores of pixels p of an image."""
    if BY_TARGET:
        value *= tl.load(target_norm + image * plane + p, mask=live, other=0)
    tl.store(score + image * plane + p, value, mask=live)
    tl.store(offset + 2 * image * plane + p, dy.to(tl.int32), mask=live)
    tl.store(offset + (2 * image + 1) * plane + p, dx.to(tl.int32), mask=live)


@jit
def in_image(i, size):
    """Whether a row or column is one of the image's."""
    return (i >= 0) & (i < size)


@jit
def better(score, rank, best_score, best_rank):
    """Whether a candidate comes before another one."""
    return (score > best_score) | ((score == best_score) & (rank < best_rank))
