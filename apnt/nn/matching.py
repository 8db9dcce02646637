"""Progressive neural texture matching (Fig. 3, eq. 5-8): coarse to fine through a feature pyramid."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from apnt import ops
from apnt.nn.inputs import cut, enlarge
from apnt.nn.rows import takes_strips
from apnt.ops import _backend

First = tuple[Tensor, Tensor]
"""Offsets (N, 2, H, W) and scores (N, H, W) of the coarsest level."""


class Match(NamedTuple):
    """Offsets and scores at full, half and quarter size.

    Attributes:
        offsets: three (N, 2, H_l, W_l) int32 (dy, dx) from each target pixel to its match in the source.
        scores: three (N, H_l, W_l); zeros where a level was not matched.
        fraction: (N, 2, H, W) what the finest offsets lack in fractions of a pixel; None where not asked for.
        distance: (N, H_1, W_1) of :func:`backward_distance`; None where not asked for.
    """

    offsets: list[Tensor]
    scores: list[Tensor]
    fraction: Tensor | None = None
    distance: Tensor | None = None


def progressive_match(
    source: list[Tensor],
    target: list[Tensor],
    *,
    center: Tensor | None = None,
    first: First | None = None,
    radii: tuple[int, int, int],
    levels: tuple[int, ...] = (0, 1, 2),
    patch_size: int = 3,
    normalize: str = "search",
    propagate: bool = False,
) -> Match:
    """Match two pyramids from the coarsest level down; each level searches around the matches of the coarser.

    Args:
        source, target: three (N, C_l, H_l, W_l), each half the size of the one before.
        center: (N, 2, H_l, W_l) int32, where the search of the coarsest of ``levels`` begins; None = each
            pixel's own place.
        first: what :func:`search_first` finds at the coarsest of ``levels``, where that is known already.
        radii: search radius of each level; the coarsest of ``levels`` takes that of :func:`search_first`.
        levels: which levels are matched. The offsets of those that are coarser than the finest and left out
            are the finest's, scaled; a finest other than 0 leaves empty tensors below it.
        patch_size, normalize: see :func:`apnt.ops.window_match`.
        propagate: whether :func:`propagated` follows the search of each level.
    """
    options: dict[str, Any] = {"patch_size": patch_size, "normalize": normalize}
    offsets: dict[int, Tensor] = {}
    scores: dict[int, Tensor] = {}
    coarser: int | None = None
    for level in sorted(levels, reverse=True):
        pair = source[level], target[level]
        if coarser is not None:
            begin = upsample_offset(offsets[coarser], 2 ** (coarser - level), target[level].shape[-2:])
            found = ops.window_match(*pair, begin, radius=radii[level], **options)
        elif first is not None:
            found = first
        else:
            found = search_first(*pair, center, radii=radii, propagate=propagate, **options)
        if propagate:
            found = propagated(*pair, found, FAR if coarser is None else NEAR, **options)
        offsets[level], scores[level] = found
        coarser = level
    for level in range(3):
        if level < min(levels):
            offsets[level], scores[level] = offsets[min(levels)][:, :, :0], scores[min(levels)][:, :0]
        elif level not in offsets:
            # Nearest neighbour, rounded half away from zero so that left and right are alike.
            step = 2**level
            whole = offsets[0][:, :, ::step, ::step]
            offsets[level] = (torch.sign(whole) * ((whole.abs() + step // 2) // step)).to(torch.int32)
            scores[level] = torch.zeros_like(scores[0][:, ::step, ::step])
    return Match([offsets[level] for level in range(3)], [scores[level] for level in range(3)])


def search_first(
    source: Tensor,
    target: Tensor,
    center: Tensor | None,
    *,
    radii: tuple[int, int, int],
    propagate: bool = False,
    **options: Any,
) -> First:
    """The search of the coarsest level.

    Args:
        source, target: (N, C, H, W).
        center: (N, 2, H, W) int32, from smaller pictures; None = each pixel's own place.
        radii: the last is that around a pixel's own place, the second that around ``center``.
        propagate: with ``center``, search around the pixel's own place, too: what is small, and moves little,
            is lost in smaller pictures.
        options: of :func:`apnt.ops.window_match`.
    """
    if center is None:
        return ops.window_match(source, target, None, radius=radii[2], **options)
    found = ops.window_match(source, target, center, radius=radii[1], **options)
    if propagate:
        found = _better(found, ops.window_match(source, target, None, radius=radii[2], **options))
    return found


def propagated(
    source: Tensor, target: Tensor, found: First, distances: tuple[int, ...], **options: Any
) -> First:
    """Matches, or those of the neighbours at some distances where these are better.

    What moves as one is then found as one, from where it is recognised to where it is saturated or flat.
    Propagation as in PatchMatch (Barnes et al., 2009), of all pixels at once. Beyond the paper.

    Args:
        source, target: (N, C, H, W).
        found: offsets and scores of a search.
        distances: to four neighbours each, pixels, one after the other.
        options: of :func:`apnt.ops.window_match`.
    """
    if takes_strips(source) and _backend.choose(None, source) == "cpp":
        # Candidates that are alike are scored once there, and few are not.
        pair = [x.contiguous(memory_format=torch.channels_last) for x in (source, target)]
        offsets, scores = found
        for distance in distances:
            scores, offsets = torch.ops.apnt.propagate(
                *pair, offsets, scores, distance, options["patch_size"], options["normalize"]
            )
        return offsets, scores
    for distance in distances:
        offsets = found[0]
        for dim in (2, 3):
            for by in (distance, -distance):
                tried = neighbours(offsets, dim, by)
                found = _better(found, ops.window_match(source, target, tried, radius=0, **options))
    return found


FAR, NEAR = (6, 2), (2,)
"""Distances of :func:`propagated` at the coarsest level, and at the others."""


def _better(first: First, second: First) -> First:
    # Beyond rounding: of equal patches the one that was found first stays. A literal, because torch.compile
    # makes inputs of numbers that have names, and branches of graphs take none.
    better = second[1] > first[1] + 1e-6
    return torch.where(better[:, None], second[0], first[0]), torch.where(better, second[1], first[1])


def neighbours(x: Tensor, dim: int, by: int) -> Tensor:
    """Of each pixel the value of the one ``by`` pixels further along ``dim``; the border's is continued."""
    size = x.shape[dim]
    return x.index_select(dim, (torch.arange(size, device=x.device) + by).clamp(0, size - 1))


def backward_distance(
    source: list[Tensor],
    target: list[Tensor],
    match: Match,
    *,
    center: Tensor | None = None,
    first: First | None = None,
    radii: tuple[int, int, int],
    patch_size: int = 3,
    normalize: str = "search",
    propagate: bool = False,
) -> Tensor:
    """How far the match of a pixel's partner lies from the pixel, at half size, where it costs little.

    Args:
        source, target, radii, patch_size, normalize, propagate: of :func:`progressive_match`.
        match: its result.
        center: (N, 2, H_2, W_2) int32, from source to target, where the way back begins; None = each
            pixel's own place.
        first: of :func:`progressive_match`, for the way back.

    Returns:
        (N, H_1, W_1) float32, pixels of half size.
    """
    back = progressive_match(
        target,
        source,
        center=center,
        first=first,
        radii=radii,
        levels=(1, 2),
        patch_size=patch_size,
        normalize=normalize,
        propagate=propagate,
    ).offsets[1]
    there = match.offsets[1]
    return (there + taken(back, there)).float().norm(dim=1)


def taken(x: Tensor, offset: Tensor) -> Tensor:
    """(N, C, H, W) at whole offsets (N, 2, H, W), int32 or float, from each pixel; at most at the border."""
    height, width = x.shape[-2:]
    own = torch.arange(height, device=x.device)[:, None], torch.arange(width, device=x.device)
    rows = (own[0] + offset[:, 0]).clamp(0, height - 1)
    columns = (own[1] + offset[:, 1]).clamp(0, width - 1)
    if takes_strips(x) and x.is_floating_point():  # whole pixels at once, and on all threads
        inside = torch.stack([rows - own[0], columns - own[1]], dim=1).to(torch.int32)
        return ops.patch_swap(x, inside, patch_size=1)
    rows, columns = rows.long(), columns.long()
    place = (rows * width + columns).flatten(1)[:, None].expand(-1, x.shape[1], -1)
    return x.flatten(2).gather(2, place).unflatten(2, (height, width))


def upsample_offset(offset: Tensor, factor: int, size: torch.Size) -> Tensor:
    """(N, 2, h, w) to (N, 2, H, W) by nearest neighbour, in pixels of the finer grid."""
    return cut(enlarge(offset, factor), *size) * factor
