"""Progressive neural texture matching (Fig. 3, eq. 5-8): coarse to fine through a feature pyramid."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from apnt import ops
from apnt.nn.inputs import cut, enlarge

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
) -> Match:
    """Match two pyramids from the coarsest level down; each level searches around the matches of the coarser.

    Args:
        source, target: three (N, C_l, H_l, W_l), each half the size of the one before.
        center: (N, 2, H_l, W_l) int32, where the search of the coarsest of ``levels`` begins; None = each
            pixel's own place.
        first: what the search of the coarsest of ``levels`` finds, where that is known already.
        radii: search radius of each level; the coarsest of ``levels`` always takes ``radii[2]``.
        levels: which levels are matched. The offsets of those that are coarser than the finest and left out
            are the finest's, scaled; a finest other than 0 leaves empty tensors below it.
        patch_size, normalize: see :func:`apnt.ops.window_match`.
    """
    offsets: dict[int, Tensor] = {}
    scores: dict[int, Tensor] = {}
    coarser: int | None = None
    if first is not None:
        coarser = max(levels)
        offsets[coarser], scores[coarser] = first
    for level in sorted(levels, reverse=True):
        if level in offsets:
            continue
        size = target[level].shape[-2:]
        if coarser is not None:
            center = upsample_offset(offsets[coarser], 2 ** (coarser - level), size)
        offsets[level], scores[level] = ops.window_match(
            source[level],
            target[level],
            center,
            radius=radii[2] if coarser is None else radii[level],
            patch_size=patch_size,
            normalize=normalize,
        )
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
) -> Tensor:
    """How far the match of a pixel's partner lies from the pixel, at half size, where it costs little.

    Args:
        source, target, radii, patch_size, normalize: of :func:`progressive_match`.
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
    ).offsets[1]
    there = match.offsets[1]
    height, width = there.shape[-2:]
    y = (torch.arange(height, device=there.device)[:, None] + there[:, 0]).clamp(0, height - 1)
    x = (torch.arange(width, device=there.device) + there[:, 1]).clamp(0, width - 1)
    place = (y * width + x).flatten(1)[:, None].expand(-1, 2, -1)
    returned = back.flatten(2).gather(2, place).unflatten(2, (height, width))
    return (there + returned).float().norm(dim=1)


def upsample_offset(offset: Tensor, factor: int, size: torch.Size) -> Tensor:
    """(N, 2, h, w) to (N, 2, H, W) by nearest neighbour, in pixels of the finer grid."""
    return cut(enlarge(offset, factor), *size) * factor
