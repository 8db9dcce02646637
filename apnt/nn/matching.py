"""Progressive neural texture matching (Fig. 3, eq. 5-8): coarse to fine through a feature pyramid."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from apnt import ops


class Match(NamedTuple):
    """Offsets and scores at full, half and quarter size.

    Attributes:
        offsets: three (N, 2, H_l, W_l) int32 (dy, dx) from each target pixel to its match in the source.
        scores: three (N, H_l, W_l); zeros where a level was not matched.
    """

    offsets: list[Tensor]
    scores: list[Tensor]


def progressive_match(
    source: list[Tensor],
    target: list[Tensor],
    *,
    radii: tuple[int, int, int],
    levels: tuple[int, ...] = (0, 1, 2),
    patch_size: int = 3,
    normalize: str = "search",
) -> Match:
    """Match two pyramids from the coarsest level down; each level searches around the matches of the coarser.

    Args:
        source, target: three (N, C_l, H_l, W_l), each half the size of the one before.
        radii: search radius of each level; the coarsest of ``levels`` always takes ``radii[2]``.
        levels: which levels are matched; must contain 0. The offsets of the others are those of level 0,
            scaled.
        patch_size, normalize: see :func:`apnt.ops.window_match`.
    """
    offsets: dict[int, Tensor] = {}
    scores: dict[int, Tensor] = {}
    coarser: int | None = None
    for level in sorted(levels, reverse=True):
        size = target[level].shape[-2:]
        center = None if coarser is None else upsample_offset(offsets[coarser], 2 ** (coarser - level), size)
        offsets[level], scores[level] = ops.window_match(
            source[level],
            target[level],
            center,
            radius=radii[2] if coarser is None else radii[level],
            patch_size=patch_size,
            normalize=normalize,
        )
        coarser = level
    for level in (1, 2):
        if level not in offsets:
            # Nearest neighbour, rounded half away from zero so that left and right are alike.
            step = 2**level
            whole = offsets[0][:, :, ::step, ::step]
            offsets[level] = (torch.sign(whole) * ((whole.abs() + step // 2) // step)).to(torch.int32)
            scores[level] = torch.zeros_like(scores[0][:, ::step, ::step])
    return Match([offsets[level] for level in range(3)], [scores[level] for level in range(3)])


def upsample_offset(offset: Tensor, factor: int, size: torch.Size) -> Tensor:
    """(N, 2, h, w) to (N, 2, H, W) by nearest neighbour, in pixels of the finer grid."""
    fine = offset.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)
    return fine[:, :, : size[0], : size[1]] * factor
