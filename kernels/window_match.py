"""Op 1, ``window_match`` (eq. 5-8): the search. Its gradient is in ``window_match_backward.py``.

Both kernels multiply matrices of target pixels by matrices of source pixels, (pixels x channels) x
(channels x pixels), and so get the products of many pixel pairs at once. The score of a pair of patches is
the sum of the products of the pairs at the same place in both: in the flattened tensor of pairs these lie a
constant number of elements apart, so the box sum is a few shifted additions. All of it stays in registers
and shared memory.

Equal patches get equal scores, bit by bit, wherever they lie: every product is a sum over the channels in the
same order, every score a sum of products in the same order. A tie goes to the candidate of the lowest rank,
see ``rank_of``.

``shared_kernel``: windows around the pixels themselves. A program has a tile of TH x TW target pixels, of
which PATCH - 1 rows and columns are the border. For a displacement dy of the rows it multiplies each of its
TH target rows with the source row dy below, TH products of TW x SW pixels, and covers SW - TW + 1
displacements of the columns.

``centered_kernel``: windows around any centre. A program has BLOCKS blocks of 2 x 2 target pixels, each
with its border, and multiplies a block with the neighbourhood of the window of one of its pixels. The other
pixels of the block that have the same centre are matched with it; it continues with the other centres until
all pixels are matched. On a finer level all four have the same centre.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from apnt.kernels import norms
from apnt.kernels.language import (
    INTERPRET,
    ceil_div,
    jit,
    on_device,
    power_of_two,
    sum_dtype,
    sum_type,
    tl,
    triton,
)
from apnt.kernels.window_match_parts import (
    better,
    displacement_of,
    in_image,
    products,
    rank_of,
    shifted_sum,
    write_answer,
)

BLOCK = 2
"""Rows and columns of a block of pixels that may share a centre."""


@jit
def shared_kernel(
    source,
    target,
    source_norm,
    target_norm,
    offset,
    score,
    h,
    w,
    source_n,
    source_c,
    source_y,
    source_x,
    target_n,
    target_c,
    target_y,
    target_x,
    C: tl.constexpr,
    RY: tl.constexpr,
    RX: tl.constexpr,
    PATCH: tl.constexpr,
    BY_SOURCE: tl.constexpr,
    BY_TARGET: tl.constexpr,
    SUM: tl.constexpr,
    RANK: tl.constexpr,
    CAST: tl.constexpr,
    PRECISION: tl.constexpr,
    TH: tl.constexpr,
    TW: tl.constexpr,
    SW: tl.constexpr,
    KC: tl.constexpr,
):
    """source, target: (N, C, H, W) of any strides. source_norm, target_norm: (N, H, W), one over the norms;
    read if BY_SOURCE, BY_TARGET. offset (N, 2, H, W) int32 and score (N, H, W) are contiguous.
    """
    HALF: tl.constexpr = PATCH // 2
    OUT_H: tl.constexpr = TH - PATCH + 1
    OUT_W: tl.constexpr = TW - PATCH + 1
    STEP: tl.constexpr = SW - TW + 1  # columns of the window that one product covers
    PAIRS: tl.constexpr = TH * TW * SW
    LAST: tl.constexpr = (1 << 30) if tl.int32 == RANK else (1 << 62)

    plane = tl.cast(h, tl.int64) * w
    tiles_x = tl.cdiv(w, OUT_W)
    tiles = tiles_x * tl.cdiv(h, OUT_H)
    pid = tl.program_id(0)
    image = (pid // tiles).to(tl.int64)
    y0 = ((pid % tiles) // tiles_x) * OUT_H
    x0 = ((pid % tiles) % tiles_x) * OUT_W

    # Rows and columns of the image; the tile begins HALF above and left of its first output.
    # ty (TH): row of the target pixel, HALF below the first row of its patch.
    ty = y0 + tl.arange(0, TH)
    tx = x0 + tl.arange(0, TW)
    sx = x0 + tl.arange(0, SW)

    in_target = in_image(ty - HALF, h)[:, None, None] & in_image(tx - HALF, w)[None, :, None]
    rows, columns = (ty - HALF).to(tl.int64) * target_y, (tx - HALF).to(tl.int64) * target_x
    from_target = target + image * target_n + rows[:, None, None] + columns[None, :, None]  # (TH, TW, 1)

    best_score = tl.full((TH, TW, SW), -float("inf"), SUM)
    best_rank = tl.full((TH, TW, SW), LAST, RANK)
    for dy in range(-RY, RY + 1):
        for left in range(-RX, RX + 1, STEP):
            sy, at_x = ty - HALF + dy, sx + left  # rows of source pixels, columns of candidates
            in_source = in_image(sy, h)[:, None, None] & in_image(at_x - HALF, w)[None, None, :]
            rows_s, columns_s = sy.to(tl.int64) * source_y, (at_x - HALF).to(tl.int64) * source_x
            from_source = source + image * source_n + rows_s[:, None, None] + columns_s[None, None, :]
            pairs = products(
                tl.zeros((TH, TW, SW), SUM),
                from_target,
                in_target,
                target_c,
                from_source,  # (TH, 1, SW)
                in_source,
                source_c,
                C,
                KC,
                SUM,
                CAST,
                PRECISION,
            )
            flat = tl.reshape(pairs, (PAIRS,))
            flat = shifted_sum(flat, PAIRS, SW + 1, PATCH)
            flat = shifted_sum(flat, PAIRS, TW * SW, PATCH)
            value = tl.reshape(flat, (TH, TW, SW))

            # The pair of pixel (ty, tx) and candidate (ty + dy, at_x).
            at_y = ty + dy
            if BY_SOURCE:
                inside = in_image(at_y, h)[:, None] & in_image(at_x, w)[None, :]
                to = source_norm + image * plane + (at_y.to(tl.int64) * w)[:, None] + at_x[None, :]
                value *= tl.load(to, mask=inside, other=0)[:, None, :]
            step = sx[None, :] - tx[:, None]  # (TW, SW)
            legal_x = (step >= 0) & (step < STEP) & (left + step <= RX) & in_image(at_x, w)[None, :]
            legal = in_image(at_y, h)[:, None, None] & legal_x[None, :, :]
            rank = rank_of(tl.zeros_like(step) + dy, left + step, RY, RX, RANK)[None, :, :]
            # The comparison with minus infinity is false for NaN.
            wins = legal & (value > -float("inf")) & better(value, rank, best_score, best_rank)
            best_score = tl.where(wins, value, best_score)
            best_rank = tl.where(wins, rank, best_rank)

    top = tl.max(best_score, 2)
    top_rank = tl.min(tl.where(best_score == top[:, :, None], best_rank, LAST), 2)
    found_y, found_x = displacement_of(top_rank, LAST, RY, RX)
    live = (tl.arange(0, TH) < OUT_H)[:, None] & (tl.arange(0, TW) < OUT_W)[None, :]
    live = live & (ty < h)[:, None] & (tx < w)[None, :]
    p = (ty.to(tl.int64) * w)[:, None] + tx[None, :]
    write_answer(offset, score, target_norm, image, plane, p, live, found_y, found_x, top, BY_TARGET)


@jit
def centered_kernel(
    source,
    target,
    center,
    source_norm,
    target_norm,
    offset,
    score,
    h,
    w,
    source_n,
    source_c,
    source_y,
    source_x,
    target_n,
    target_c,
    target_y,
    target_x,
    C: tl.constexpr,
    RY: tl.constexpr,
    RX: tl.constexpr,
    PATCH: tl.constexpr,
    BY_SOURCE: tl.constexpr,
    BY_TARGET: tl.constexpr,
    SUM: tl.constexpr,
    RANK: tl.constexpr,
    CAST: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCKS: tl.constexpr,
    T: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    KC: tl.constexpr,
):
    """As shared_kernel; center (N, 2, H, W) int32 is contiguous.

    A block has T x T pixels, of which the first BLOCK + PATCH - 1 rows and columns count; a step multiplies
    them with SH x SW source pixels.
    """
    HALF: tl.constexpr = PATCH // 2
    STEP_Y: tl.constexpr = SH - (BLOCK + PATCH - 1) + 1
    STEP_X: tl.constexpr = SW - (BLOCK + PATCH - 1) + 1
    M: tl.constexpr = T * T
    Q: tl.constexpr = SH * SW
    LAST: tl.constexpr = (1 << 30) if tl.int32 == RANK else (1 << 62)

    plane = tl.cast(h, tl.int64) * w
    blocks_x = tl.cdiv(w, BLOCK)
    per_image = blocks_x * tl.cdiv(h, BLOCK)
    programs = tl.cdiv(per_image, BLOCKS)
    pid = tl.program_id(0)
    image = (pid // programs).to(tl.int64)
    block = (pid % programs) * BLOCKS + tl.arange(0, BLOCKS)  # (BLOCKS)
    y0, x0 = (block // blocks_x) * BLOCK, (block % blocks_x) * BLOCK
    y0, x0 = y0.to(tl.int64), x0.to(tl.int64)
    is_block = block < per_image

    m = tl.arange(0, M)
    my, mx = m // T, m % T
    q = tl.arange(0, Q)
    qy, qx = q // SW, q % SW

    # Target pixels, (BLOCKS, M), and the positions of their windows relative to them.
    y, x = y0[:, None] + my[None, :], x0[:, None] + mx[None, :]
    live = is_block[:, None] & (y < h) & (x < w) & ((my < BLOCK) & (mx < BLOCK))[None, :]
    at = center + 2 * image * plane + y * w + x
    ey = y + tl.load(at, mask=live, other=0)
    ex = x + tl.load(at + plane, mask=live, other=0)
    ey = tl.minimum(tl.maximum(ey, 0), h - 1) - y
    ex = tl.minimum(tl.maximum(ex, 0), w - 1) - x

    in_target = (in_image(y - HALF, h) & in_image(x - HALF, w) & is_block[:, None])[:, :, None]
    at = (y - HALF) * target_y + (x - HALF) * target_x
    from_target = target + image * target_n + at[:, :, None]  # (BLOCKS, M, 1)

    top_score = tl.full((BLOCKS, M), -float("inf"), SUM)
    top_rank = tl.full((BLOCKS, M), LAST, RANK)
    todo = live
    for lead in range(BLOCK * BLOCK):
        # Each block takes the centre of its pixel `lead`, if that is not matched yet.
        is_lead = todo & (m == (lead // BLOCK) * T + lead % BLOCK)[None, :]
        leads = tl.sum(is_lead.to(tl.int32), 1) > 0  # (BLOCKS)
        if tl.max(leads.to(tl.int32), 0) > 0:
            to_y = tl.sum(tl.where(is_lead, ey, 0), 1)
            to_x = tl.sum(tl.where(is_lead, ex, 0), 1)
            served = todo & leads[:, None] & (ey == to_y[:, None]) & (ex == to_x[:, None])
            todo = todo & (served == 0)
            for below in range(-RY, RY + 1, STEP_Y):
                for left in range(-RX, RX + 1, STEP_X):
                    # Candidates (BLOCKS, Q); source pixels lie HALF above and left of them.
                    at_y = (y0 + to_y + below)[:, None] + qy[None, :]
                    at_x = (x0 + to_x + left)[:, None] + qx[None, :]
                    sy, sx = at_y - HALF, at_x - HALF
                    in_source = (in_image(sy, h) & in_image(sx, w) & leads[:, None])[:, None, :]
                    from_source = source + image * source_n + (sy * source_y + sx * source_x)[:, None, :]
                    pairs = products(
                        tl.zeros((BLOCKS, M, Q), SUM),
                        from_target,
                        in_target,
                        target_c,
                        from_source,  # (BLOCKS, 1, Q)
                        in_source,
                        source_c,
                        C,
                        KC,
                        SUM,
                        CAST,
                        PRECISION,
                    )
                    flat = tl.reshape(pairs, (BLOCKS * M * Q,))
                    flat = shifted_sum(flat, BLOCKS * M * Q, Q + 1, PATCH)
                    flat = shifted_sum(flat, BLOCKS * M * Q, T * Q + SW, PATCH)
                    value = tl.reshape(flat, (BLOCKS, M, Q))

                    inside = in_image(at_y, h) & in_image(at_x, w) & leads[:, None]
                    if BY_SOURCE:
                        norm = tl.load(source_norm + image * plane + at_y * w + at_x, mask=inside, other=0)
                        value *= norm[:, None, :]
                    step_y, step_x = qy[None, :] - my[:, None], qx[None, :] - mx[:, None]  # (M, Q)
                    dy, dx = below + step_y, left + step_x
                    legal = (step_y >= 0) & (step_y < STEP_Y) & (dy <= RY)
                    legal = legal & (step_x >= 0) & (step_x < STEP_X) & (dx <= RX)
                    legal = legal[None, :, :] & inside[:, None, :]
                    # The comparison is false for NaN.
                    value = tl.where(legal & (value > -float("inf")), value, -float("inf"))
                    rank = rank_of(dy, dx, RY, RX, RANK)[None, :, :]
                    step_score = tl.max(value, 2)  # (BLOCKS, M)
                    tied = (value == step_score[:, :, None]) & (value > -float("inf"))
                    step_rank = tl.min(tl.where(tied, rank, LAST), 2)
                    wins = served & better(step_score, step_rank, top_score, top_rank)
                    top_score = tl.where(wins, step_score, top_score)
                    top_rank = tl.where(wins, step_rank, top_rank)

    found_y, found_x = displacement_of(top_rank, LAST, RY, RX)
    p = y * w + x
    dy, dx = ey + found_y, ex + found_x
    write_answer(offset, score, target_norm, image, plane, p, live, dy, dx, top_score, BY_TARGET)


Sizes = dict[str, int]
"""Sizes of a kernel's tiles, num_warps and num_stages."""


def shared_sizes(patch_size: int) -> list[Sizes]:
    """Sizes to choose from; every patch fits, and a radius of 8 is one product. The first is always valid."""
    border = power_of_two(patch_size + 1)
    th, tw = max(8, border), max(16, border)
    return [
        {"TH": rows, "TW": tw, "SW": 2 * tw, "KC": channels, "num_warps": warps, "num_stages": stages}
        for rows, channels, warps, stages in (
            (th, 16, 8, 1),
            (th, 16, 4, 1),
            (th, 16, 4, 2),
            (th, 32, 8, 2),
            (max(th // 2, border), 16, 4, 1),
            (2 * th, 16, 8, 1),
        )
    ]


def centered_sizes(patch_size: int) -> list[Sizes]:
    """Likewise; a radius of 2 with patches of up to 3 is one step."""
    t = max(4, power_of_two(BLOCK + patch_size - 1))
    side = max(8, t)
    pairs = t**2 * side**2  # of a block; about 4096 in a program
    plain = {"T": t, "SH": side, "SW": side, "KC": 16}
    return [
        {**plain, "BLOCKS": max(1, blocks * 1024 // pairs), "num_warps": warps, "num_stages": stages}
        for blocks, warps, stages in ((4, 8, 1), (2, 4, 1), (4, 4, 1), (4, 4, 2), (8, 8, 1))
    ]


def sizes_of(kernel: Any, patch_size: int) -> list[Sizes]:
    """Sizes to choose from for ``kernel``."""
    return shared_sizes(patch_size) if kernel is shared_kernel else centered_sizes(patch_size)


@functools.cache
def tuned(kernel: Any, patch_size: int) -> Any:
    """``kernel`` that tries its sizes on a GPU, once for each number of channels, radius, dtype and
    precision; Triton keeps what it found beside the compiled kernels, for processes that come later."""
    configs = []
    for sizes in sizes_of(kernel, patch_size):
        options = {name: sizes.pop(name) for name in ("num_warps", "num_stages")}
        configs.append(triton.Config(sizes, **options))
    keys = ["C", "RY", "RX", "PRECISION"]  # not the image's size: it is no constant of the code, either
    return triton.autotune(configs, key=keys, cache_results=True)(kernel)


def tunes() -> bool:
    """Whether sizes are chosen by measurement. They decide the order of additions, so the last bits."""
    return not INTERPRET and not torch.are_deterministic_algorithms_enabled()


def launch(
    kernel: Any, programs: Callable[[Sizes], int], patch_size: int, *args: Any, **options: Any
) -> None:
    """Start ``kernel`` with sizes that suit the GPU, in as many programs as these take."""

    def grid(sizes: Sizes) -> tuple[int]:
        return (programs(sizes),)

    if tunes():
        tuned(kernel, patch_size)[grid](*args, PATCH=patch_size, **options)
        return
    sizes = sizes_of(kernel, patch_size)[0]
    if INTERPRET and "BLOCKS" in sizes:  # a program costs much there, and its size little
        sizes["BLOCKS"] = min(64, power_of_two(programs({**sizes, "BLOCKS": 1})))
    kernel[grid(sizes)](*args, PATCH=patch_size, **options, **sizes)


def window_match(
    source: Tensor,
    target: Tensor,
    center: Tensor | None,
    radius: int,
    patch_size: int,
    normalize: str,
    tf32: bool,
) -> tuple[Tensor, Tensor]:
    """Implementation of ``apnt_triton::window_match``: score (N, H, W) and offset (N, 2, H, W)."""
    n, c, h, w = source.shape
    score = source.new_empty((n, h, w), dtype=sum_dtype(source.dtype))
    offset = source.new_empty((n, 2, h, w), dtype=torch.int32)
    if n == 0:
        return score, offset
    by_source, by_target = normalize in ("search", "cosine"), normalize in ("cosine", "paper")
    # No candidate is farther away than the size of the image.
    ry, rx = min(radius, h - 1), min(radius, w - 1)
    last_rank = (ry**2 + rx**2 + 1) * (2 * ry + 1) * (2 * rx + 1)
    options: dict[str, Any] = {
        "C": c,
        "RY": ry,
        "RX": rx,
        "BY_SOURCE": by_source,
        "BY_TARGET": by_target,
        "SUM": sum_type(source.dtype),
        "RANK": tl.int32 if last_rank < 1 << 30 else tl.int64,
        # The interpreter multiplies the bits of bfloat16 as integers.
        "CAST": INTERPRET and source.dtype == torch.bfloat16,
        # Most AMD GPUs have no TF32.
        "PRECISION": "tf32" if tf32 and source.dtype == torch.float32 and not torch.version.hip else "ieee",
    }
    with on_device(source):
        # A map that is not read may be any pointer.
        source_norm = norms.reciprocal_norms(source, patch_size) if by_source else score
        target_norm = norms.reciprocal_norms(target, patch_size) if by_target else score
        sizes = (h, w, *source.stride(), *target.stride())
        if center is None:

            def tiles(sizes: Sizes) -> int:
                border = patch_size - 1
                return n * ceil_div(h, sizes["TH"] - border) * ceil_div(w, sizes["TW"] - border)

            maps = (source_norm, target_norm, offset, score)
            launch(shared_kernel, tiles, patch_size, source, target, *maps, *sizes, **options)
        else:

            def groups(sizes: Sizes) -> int:
                return n * ceil_div(ceil_div(h, BLOCK) * ceil_div(w, BLOCK), sizes["BLOCKS"])

            maps = (center, source_norm, target_norm, offset, score)
            launch(centered_kernel, groups, patch_size, source, target, *maps, *sizes, BLOCK=BLOCK, **options)
    return score, offset
