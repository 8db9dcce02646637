"""Op 2, ``patch_swap`` (section III-B.3), and its gradient.

Both move features along the offsets. ``move_kernel`` gathers: out[x] is the mean over o of
source[x + offset[x - o]]. Its transpose adds to where ``move_kernel`` reads: ``scatter_kernel`` by atomic
additions, ``collect_kernel`` by gathering from a list of the patches that land on each pixel, in a fixed
order. The gradients of ``window_match`` are the same moves, with a weight for every patch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from apnt.kernels.landings import landed_term, landings, sum_crowds
from apnt.kernels.language import ceil_div, jit, on_device, stored_dtype, sum_dtype, sum_type, tl
from apnt.kernels.pixels import (
    blocks,
    box_sum_at,
    channels_of_program,
    divide,
    grid,
    load_features,
    pixel_grid,
    pixels_of_program,
)


@jit
def patch_read(offset, image, plane, y, x, live, uy, ux, h, w):
    """The patch that has (y, x) at (uy, ux): its index, and the position that its pixel (y, x) reads, if
    any."""
    ky, kx = y - uy, x - ux
    k = ky * w + kx
    inside = live & (ky >= 0) & (ky < h) & (kx >= 0) & (kx < w)
    at = offset + image * 2 * plane + k
    from_y = y + tl.load(at, mask=inside, other=0)
    from_x = x + tl.load(at + plane, mask=inside, other=0)
    inside = inside & (from_y >= 0) & (from_y < h) & (from_x >= 0) & (from_x < w)
    return k, from_y, from_x, inside


@jit
def move_kernel(
    source,
    offset,
    weight,
    own,
    norm_term,
    out,
    c,
    h,
    w,
    source_n,
    source_c,
    source_y,
    source_x,
    own_n,
    own_c,
    own_y,
    own_x,
    PATCH: tl.constexpr,
    MEAN: tl.constexpr,
    WEIGHT: tl.constexpr,
    NORM_TERM: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """out[x] = sum over o of weight[x - o] * source[x + offset[x - o]] - own[x] * (norm terms around x).

    MEAN divides by the number of reads instead. offset (N, 2, H, W), weight and norm_term (N, H, W) and
    out (N, C, H, W) are contiguous.
    """
    HALF: tl.constexpr = PATCH // 2
    image, plane, p, y, x, live = pixels_of_program(h, w, BLOCK_P)
    channel, is_channel = channels_of_program(c, BLOCK_C)
    here = is_channel & live[None, :]
    total = tl.zeros((BLOCK_C, BLOCK_P), SUM)
    count = tl.zeros((BLOCK_P,), tl.int32)
    for uy in range(-HALF, HALF + 1):
        for ux in range(-HALF, HALF + 1):
            k, from_y, from_x, inside = patch_read(offset, image, plane, y, x, live, uy, ux, h, w)
            mask = is_channel & inside[None, :]
            value = load_features(
                source, image, channel, from_y, from_x, source_n, source_c, source_y, source_x, mask, SUM
            )
            if WEIGHT:
                value *= tl.load(weight + image * plane + k, mask=inside, other=0)[None, :]
            total += value
            count += inside.to(tl.int32)
    if MEAN:
        total = divide(total, tl.maximum(count, 1).to(SUM)[None, :], SUM)
    if NORM_TERM:
        factor = box_sum_at(norm_term, image, plane, y, x, live, h, w, PATCH, SUM, BLOCK_P)
        total -= factor[None, :] * load_features(
            own, image, channel, y, x, own_n, own_c, own_y, own_x, here, SUM
        )
    to = out + (image * c + channel)[:, None] * plane + p[None, :]
    tl.store(to, total.to(out.dtype.element_ty), mask=here)


@jit
def share_kernel(offset, share, h, w, PATCH: tl.constexpr, SUM: tl.constexpr, BLOCK_P: tl.constexpr):
    """share (N, H, W) = 1 / the number of reads that move_kernel averages at each pixel."""
    HALF: tl.constexpr = PATCH // 2
    image, plane, p, y, x, live = pixels_of_program(h, w, BLOCK_P)
    count = tl.zeros((BLOCK_P,), tl.int32)
    for uy in range(-HALF, HALF + 1):
        for ux in range(-HALF, HALF + 1):
            read = patch_read(offset, image, plane, y, x, live, uy, ux, h, w)
            count += read[3].to(tl.int32)
    one = tl.full((BLOCK_P,), 1, SUM)
    tl.store(share + image * plane + p, divide(one, tl.maximum(count, 1).to(SUM), SUM), mask=live)


@jit
def scatter_kernel(
    values,
    offset,
    weight,
    share,
    own,
    norm_term,
    out,
    c,
    h,
    w,
    values_n,
    values_c,
    values_y,
    values_x,
    own_n,
    own_c,
    own_y,
    own_x,
    PATCH: tl.constexpr,
    WEIGHT: tl.constexpr,
    SHARE: tl.constexpr,
    NORM_TERM: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """out[x + offset[x - o]] += weight[x - o] * share[x] * values[x], and out[x] -= own[x] * (norm terms
    around x).

    By atomic additions to ``out`` (N, C, H, W), contiguous, of type SUM, which starts as zeros: their
    order, and so the last bits, differ from run to run.
    """
    HALF: tl.constexpr = PATCH // 2
    image, plane, p, y, x, live = pixels_of_program(h, w, BLOCK_P)
    channel, is_channel = channels_of_program(c, BLOCK_C)
    here = is_channel & live[None, :]
    value = load_features(values, image, channel, y, x, values_n, values_c, values_y, values_x, here, SUM)
    if SHARE:
        value *= tl.load(share + image * plane + p, mask=live, other=0)[None, :]
    to = out + (image * c + channel)[:, None] * plane
    for uy in range(-HALF, HALF + 1):
        for ux in range(-HALF, HALF + 1):
            k, from_y, from_x, inside = patch_read(offset, image, plane, y, x, live, uy, ux, h, w)
            term = value
            if WEIGHT:
                term = value * tl.load(weight + image * plane + k, mask=inside, other=0)[None, :]
            place = (from_y * w + from_x)[None, :]
            tl.atomic_add(to + place, term, mask=is_channel & inside[None, :], sem="relaxed")
    if NORM_TERM:
        factor = box_sum_at(norm_term, image, plane, y, x, live, h, w, PATCH, SUM, BLOCK_P)
        term = -factor[None, :] * load_features(
            own, image, channel, y, x, own_n, own_c, own_y, own_x, here, SUM
        )
        tl.atomic_add(to + p[None, :], term, mask=here, sem="relaxed")


@jit
def collect_kernel(
    values,
    order,
    start,
    number,
    crowds,
    weight,
    share,
    own,
    norm_term,
    out,
    c,
    h,
    w,
    values_n,
    values_c,
    values_y,
    values_x,
    own_n,
    own_c,
    own_y,
    own_x,
    CROWDS: tl.constexpr,
    PATCH: tl.constexpr,
    WEIGHT: tl.constexpr,
    SHARE: tl.constexpr,
    NORM_TERM: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """The sums of scatter_kernel, gathered for each pixel of the result in the order of ``landings``.

    norm_term (N, H, W) belongs to the patch with this old centre; in scatter_kernel it is the sum over the
    patches with this new centre. ``crowds`` has the sums of long lists, of which ``number`` tells the rows.
    """
    HALF: tl.constexpr = PATCH // 2
    image, plane, p, y, x, live = pixels_of_program(h, w, BLOCK_P)
    channel, is_channel = channels_of_program(c, BLOCK_C)
    here = is_channel & live[None, :]
    total = tl.zeros((BLOCK_C, BLOCK_P), SUM)
    factor = tl.zeros((BLOCK_P,), SUM)
    wide = w + 2 * HALF
    frame = image * (tl.cast(h, tl.int64) + 2 * HALF) * wide
    channels = tl.cast(c, tl.int64)
    for uy in range(-HALF, HALF + 1):
        for ux in range(-HALF, HALF + 1):
            # Patches that land with their centre here have this pixel at (uy, ux).
            place = frame + (y - uy + HALF) * wide + (x - ux + HALF)
            first = tl.load(start + place, mask=live, other=0).to(tl.int64)
            last = tl.load(start + place + 1, mask=live, other=0).to(tl.int64)
            if CROWDS:
                u = (uy + HALF) * PATCH + ux + HALF
                crowd = tl.load(number + place, mask=live, other=-1).to(tl.int64)
                row = crowds + crowd * (PATCH * PATCH * channels + 1)
                mask = is_channel & (crowd >= 0)[None, :]
                total += tl.load(row[None, :] + (u * channels + channel)[:, None], mask=mask, other=0)
                if NORM_TERM:
                    factor += tl.load(row + PATCH * PATCH * channels, mask=crowd >= 0, other=0)
                last = tl.where(crowd >= 0, first, last)
            while tl.max((last - first).to(tl.int32), 0) > 0:
                k = (tl.load(order + first, mask=first < last, other=0) - image * plane).to(tl.int32)
                term = landed_term(
                    values, share, weight, image, plane, k, uy, ux, channel, is_channel, first < last, h, w,
                    values_n, values_c, values_y, values_x, WEIGHT, SHARE, SUM,
                )  # fmt: skip
                total += term
                if NORM_TERM:
                    factor += tl.load(norm_term + image * plane + k, mask=first < last, other=0)
                first += 1
    if NORM_TERM:
        total -= factor[None, :] * load_features(
            own, image, channel, y, x, own_n, own_c, own_y, own_x, here, SUM
        )
    to = out + (image * c + channel)[:, None] * plane + p[None, :]
    tl.store(to, total.to(out.dtype.element_ty), mask=here)


def move(
    source: Tensor,
    offset: Tensor,
    patch_size: int,
    *,
    weight: Tensor | None = None,
    own: Tensor | None = None,
    norm_term: Tensor | None = None,
) -> Tensor:
    """:func:`move_kernel` on tensors: the mean of the reads, or with ``weight`` their weighted sum."""
    out = source.new_empty(source.shape, dtype=stored_dtype(source.dtype))
    own = source if own is None else own
    if out.numel():
        with on_device(source):
            move_kernel[grid(source)](
                source,
                offset,
                offset if weight is None else weight,
                own,
                offset if norm_term is None else norm_term,
                out,
                *source.shape[1:],
                *source.stride(),
                *own.stride(),
                PATCH=patch_size,
                MEAN=weight is None,
                WEIGHT=weight is not None,
                NORM_TERM=norm_term is not None,
                SUM=sum_type(source.dtype),
                **blocks(*source.shape[1:]),
            )
    return out.to(source.dtype)


def move_back(
    values: Tensor,
    offset: Tensor,
    patch_size: int,
    dtype: torch.dtype,
    deterministic: bool,
    *,
    weight: Tensor | None = None,
    share: Tensor | None = None,
    own: Tensor | None = None,
    norm_term: Tensor | None = None,
) -> Tensor:
    """:func:`scatter_kernel`, or :func:`collect_kernel` if it must be deterministic, on tensors.

    weight, share and norm_term are (N, H, W); a norm term belongs to a patch, by its old centre.

    Returns:
        (N, C, H, W) like ``values``, in ``dtype``; sums are rounded once.
    """
    own = values if own is None else own
    if not values.numel():
        return values.new_zeros(values.shape, dtype=dtype)
    if norm_term is not None and not deterministic:
        # The norm terms of the patches that land on a pixel, (N, H, W).
        norm_term = move_back(norm_term[:, None], offset, 1, norm_term.dtype, deterministic)[:, 0]
    # Pointers for None are not read.
    factors = [offset if x is None else x for x in (weight, share)]
    norm_terms = offset if norm_term is None else norm_term
    options: dict[str, Any] = {
        "PATCH": patch_size,
        "WEIGHT": weight is not None,
        "SHARE": share is not None,
        "NORM_TERM": norm_term is not None,
        "SUM": sum_type(values.dtype),
    }
    _, c, h, w = values.shape
    size = blocks(c, h, w)
    with on_device(values):
        if deterministic:
            out = values.new_empty(values.shape, dtype=stored_dtype(dtype))
            lists = landings(offset, patch_size, size["BLOCK_P"])
            number = crowds = lists.start  # not read
            if lists.crowds is not None:
                number = lists.crowds.number
                crowds = sum_crowds(values, lists.order, lists.crowds, [*factors, norm_terms], options)
            sizes = (c, h, w, *values.stride(), *own.stride())
            collect_kernel[grid(values)](
                values, lists.order, lists.start, number, crowds, *factors, own, norm_terms, out, *sizes,
                CROWDS=lists.crowds is not None, **options, **size,
            )  # fmt: skip
            return out.to(dtype)
        summed = sum_dtype(dtype)
        out = values.new_zeros(values.shape, dtype=dtype)
        # Half precision is summed in float32, a few channels at a time to save memory.
        step = c if dtype == summed else max(size["BLOCK_C"], ceil_div(c, 16))
        for first in range(0, c, step):
            part = slice(first, first + step)
            value, mine = values[:, part], own[:, part]
            total = out if dtype == summed else values.new_zeros(value.shape, dtype=summed)
            sizes = (value.shape[1], h, w, *value.stride(), *mine.stride())
            scatter_kernel[grid(value)](
                value, offset, *factors, mine, norm_terms, total, *sizes, **options, **size
            )
            if total is not out:
                out[:, part] = total
    return out


def patch_swap(source: Tensor, offset: Tensor, patch_size: int) -> Tensor:
    """Implementation of ``apnt_triton::patch_swap``."""
    return move(source, offset, patch_size)


def patch_swap_backward(grad_out: Tensor, offset: Tensor, patch_size: int, deterministic: bool) -> Tensor:
    """Implementation of ``apnt_triton::patch_swap_backward``."""
    n, _, h, w = grad_out.shape
    share = grad_out.new_empty((n, h, w), dtype=sum_dtype(grad_out.dtype))
    if share.numel():
        with on_device(grad_out):
            share_kernel[pixel_grid(share)](
                offset,
                share,
                h,
                w,
                PATCH=patch_size,
                SUM=sum_type(grad_out.dtype),
                BLOCK_P=blocks(1, h, w)["BLOCK_P"],
            )
    return move_back(grad_out, offset, patch_size, grad_out.dtype, deterministic, share=share)
