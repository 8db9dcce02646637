"""The patches of a field of offsets by where they land, for sums over them in a fixed order.

Matches may crowd: all patches may land on one place. A list of more than one block of patches is a crowd: its
sums are taken piece by piece, a program each, and then added, so that no program works for all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from apnt.kernels.language import ceil_div, jit, sum_dtype, tl
from apnt.kernels.pixels import blocks, channels_of_program, load_features


class Crowds(NamedTuple):
    """The lists that are longer than a piece. There is room for all that may be; empty ones begin and end at
    0."""

    number: Tensor
    """(N * (H + 2*half) * (W + 2*half),) int32: of each place's crowd, -1 where its list is short."""
    piece_begin: Tensor
    piece_end: Tensor
    """(pieces,): where in the order each piece begins and ends."""
    begin: Tensor
    end: Tensor
    """(crowds,): the pieces of each crowd."""


class Landings(NamedTuple):
    order: Tensor
    """(N*H*W,) int64: indices of the patches, by image, place of their new centre, and themselves."""
    start: Tensor
    """(N * (H + 2*half) * (W + 2*half) + 1,): where in ``order`` the patches of a new centre begin; centres
    up to half a patch outside the image count, the others come last."""
    crowds: Crowds | None
    """None where the maps are too small for any."""


def landings(offset: Tensor, patch_size: int, piece: int) -> Landings:
    """Order the patches of ``offset`` (N, 2, H, W) by their new centres; pieces have ``piece`` patches."""
    n, _, h, w = offset.shape
    half = patch_size // 2
    high, wide = h + 2 * half, w + 2 * half
    places = n * high * wide
    index = torch.int32 if places < 2**31 else torch.int64
    y = torch.arange(half, h + half, device=offset.device).view(h, 1)
    x = torch.arange(half, w + half, device=offset.device)
    at_y, at_x = y + offset[:, 0], x + offset[:, 1]  # int64, in a frame of `half` pixels around the image
    image = torch.arange(n, device=offset.device).view(n, 1, 1)
    inside = (at_y >= 0) & (at_y < high) & (at_x >= 0) & (at_x < wide)
    place = torch.where(inside, (image * high + at_y) * wide + at_x, places).to(index).flatten()
    place, order = torch.sort(place, stable=True)
    every = torch.arange(places + 1, device=offset.device, dtype=index)
    start = torch.searchsorted(place, every, out_int32=index == torch.int32)
    return Landings(order, start, crowds(start, n * h * w, piece) if h * w > piece else None)


def crowds(start: Tensor, patches: int, piece: int) -> Crowds:
    """Cut the long lists of ``start`` into pieces, without asking the device how many there are."""
    count = start[1:] - start[:-1]
    is_crowd = count > piece
    pieces = torch.where(is_crowd, (count + piece - 1) // piece, 0)
    # Up to and including each place.
    all_crowds, all_pieces = is_crowd.cumsum(0), pieces.cumsum(0)
    # A crowd has more than `piece` patches, so fewer than twice its share of pieces.
    number = torch.arange(2 * patches // piece, device=start.device)
    owner = torch.searchsorted(all_pieces, number, right=True).clamp_max(count.numel() - 1)
    rank = number - all_pieces[owner] + pieces[owner]
    there = number < all_pieces[-1]
    begin = start[owner] + rank * piece
    end = torch.minimum(begin + piece, start[owner + 1])
    which = torch.arange(1, patches // piece + 1, device=start.device)
    at = torch.searchsorted(all_crowds, which).clamp_max(count.numel() - 1)
    last = torch.where(which <= all_crowds[-1], all_pieces[at], 0)
    return Crowds(
        torch.where(is_crowd, all_crowds - 1, -1).int(),
        torch.where(there, begin, 0).long(),
        torch.where(there, end, 0).long(),
        torch.where(last > 0, last - pieces[at], 0),
        last,
    )


@jit
def landed_term(
    values,
    share,
    weight,
    image,
    plane,
    k,
    uy,
    ux,
    channel,
    is_channel,
    live,
    h,
    w,
    values_n,
    values_c,
    values_y,
    values_x,
    WEIGHT: tl.constexpr,
    SHARE: tl.constexpr,
    SUM: tl.constexpr,
):
    """Values (BLOCK_C, BLOCK_P) at pixel (uy, ux) of patches k, weighted; zero outside the image."""
    y, x = (k // w + uy).to(tl.int64), (k % w + ux).to(tl.int64)
    inside = live & (y >= 0) & (y < h) & (x >= 0) & (x < w)
    mask = is_channel & inside[None, :]
    term = load_features(values, image, channel, y, x, values_n, values_c, values_y, values_x, mask, SUM)
    if SHARE:
        at = image * plane + y * w + x
        term *= tl.load(share + at, mask=inside, other=0)[None, :]
    if WEIGHT:
        term *= tl.load(weight + image * plane + k, mask=inside, other=0)[None, :]
    return term


@jit
def piece_kernel(
    values,
    order,
    begin,
    end,
    weight,
    share,
    norm_term,
    sums,
    c,
    h,
    w,
    values_n,
    values_c,
    values_y,
    values_x,
    PATCH: tl.constexpr,
    WEIGHT: tl.constexpr,
    SHARE: tl.constexpr,
    NORM_TERM: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """sums (pieces, PATCH * PATCH * C + 1): of a piece's patches, the terms of collect_kernel at each pixel
    of the patch and channel; then that of the norm terms."""
    HALF: tl.constexpr = PATCH // 2
    piece = tl.program_id(0).to(tl.int64)
    channel, _ = channels_of_program(c, BLOCK_C)
    plane = tl.cast(h, tl.int64) * w
    first, last = tl.load(begin + piece), tl.load(end + piece)
    channels = tl.cast(c, tl.int64)
    to = sums + piece * (PATCH * PATCH * channels + 1)
    if first < last:
        entry = first + tl.arange(0, BLOCK_P)
        live = entry < last
        image = tl.load(order + first) // plane
        k = (tl.load(order + entry, mask=live, other=0) - image * plane).to(tl.int32)
        for uy in range(-HALF, HALF + 1):
            for ux in range(-HALF, HALF + 1):
                term = landed_term(
                    values, share, weight, image, plane, k, uy, ux, channel, (channel < c)[:, None], live,
                    h, w, values_n, values_c, values_y, values_x, WEIGHT, SHARE, SUM,
                )  # fmt: skip
                u = (uy + HALF) * PATCH + ux + HALF
                tl.store(to + u * channels + channel, tl.sum(term, 1), mask=channel < c)
        if NORM_TERM:
            total = tl.sum(tl.load(norm_term + image * plane + k, mask=live, other=0), 0)
            tl.store(to + PATCH * PATCH * channels, total)


@jit
def crowd_kernel(
    pieces,
    begin,
    end,
    sums,
    c,
    PATCH: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """sums (crowds, PATCH * PATCH * C + 1): of the pieces of each crowd."""
    crowd = tl.program_id(0).to(tl.int64)
    columns = PATCH * PATCH * tl.cast(c, tl.int64) + 1
    column = tl.program_id(1).to(tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)
    first, last = tl.load(begin + crowd), tl.load(end + crowd)
    if first < last:
        total = tl.zeros((BLOCK_C,), SUM)
        while first < last:
            row = first + tl.arange(0, BLOCK_P)
            mask = (row < last)[None, :] & (column < columns)[:, None]
            total += tl.sum(tl.load(pieces + row[None, :] * columns + column[:, None], mask=mask, other=0), 1)
            first += BLOCK_P
        tl.store(sums + crowd * columns + column, total, mask=column < columns)


def sum_crowds(
    values: Tensor, order: Tensor, found: Crowds, factors: list[Tensor], options: dict[str, Any]
) -> Tensor:
    """(crowds, PATCH * PATCH * C + 1), unwritten where there is none.

    Args:
        values: (N, C, H, W).
        factors: weight, share and norm term, (N, H, W).
        options: constants of collect_kernel.
    """
    _, c, h, w = values.shape
    size = blocks(c, h, w)
    columns = options["PATCH"] ** 2 * c + 1
    of_pieces, sums = (
        values.new_empty((x.numel(), columns), dtype=sum_dtype(values.dtype))
        for x in (found.piece_begin, found.begin)
    )
    piece_kernel[of_pieces.shape[0], ceil_div(c, size["BLOCK_C"])](
        values,
        order,
        found.piece_begin,
        found.piece_end,
        *factors,
        of_pieces,
        c,
        h,
        w,
        *values.stride(),
        **options,
        **size,
    )
    crowd_kernel[sums.shape[0], ceil_div(columns, size["BLOCK_C"])](
        of_pieces, found.begin, found.end, sums, c, PATCH=options["PATCH"], SUM=options["SUM"], **size
    )
    return sums
