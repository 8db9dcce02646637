"""``reach`` in graphs that take any size: how often pictures are halved is a branch of the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from apnt.errors import InputError
from apnt.nn.blocks import averaged
from apnt.nn.config import APNTConfig
from apnt.nn.inputs import cut, pad, padded_side
from apnt.nn.matching import First, progressive_match, search_first

LONGEST = 16384
"""Longest side of a picture, pixels, that graphs take: each doubling beyond ``reach`` is one more branch."""

_SHORTEST = 16  # what networks ask for


def sides(config: APNTConfig, longest: int | None = None) -> tuple[int, int]:
    """The shortest and the longest side, pixels, of pictures that a graph of the network takes.

    With ``reach``, the smallest of the halved pictures must be 8 pixels high and wide.

    Args:
        config: of the network.
        longest: that is wished; None = :data:`LONGEST`.

    Raises:
        InputError: ``longest`` is out of bounds.
    """
    longest = LONGEST if longest is None else longest
    if longest > LONGEST:  # the lower bound below is that of a side that can be
        raise InputError(f"longest must be at most {LONGEST} pixels, got {longest}")
    halvings, side = 0, inner_side(longest, config)
    while config.reach and side > config.reach:
        halvings, side = halvings + 1, _half(side)
    shortest = max(_SHORTEST, 8 * config.stride << halvings)
    if not 2 * shortest <= longest <= LONGEST:
        raise InputError(f"longest must be from {2 * shortest} to {LONGEST} pixels, got {longest}")
    return shortest, longest


def inner_side(side: int, config: APNTConfig) -> int:
    """Length, pixels of the network, of the longest side of a picture: whole blocks, with a border."""
    return padded_side(side, 4 * config.stride, config.border) // config.stride


def _half(side: int) -> int:
    """Length of a side of :func:`halved`."""
    return -(-side // 8) * 4


def halved(picture: Tensor) -> Tensor:
    """(N, 3, H, W) to half the size; 4 divides both sizes, the new one by :func:`pad`."""
    return pad(averaged(picture, 2)[:, None], 4)[:, 0]


def search_coarsest(
    features: Callable[[Tensor, Tensor], list[Tensor]],
    config: APNTConfig,
    pyramids: tuple[list[Tensor], list[Tensor]],
    pictures: tuple[Tensor, Tensor],
    level: Tensor,
    longest: int,
) -> tuple[First, First | None]:
    """The search at quarter size, which begins at the matches of halved pictures where these are too long.

    Args:
        features: picture and level to its matching features.
        config: of the network, with ``reach``.
        pyramids: features of source and medium exposure.
        pictures: their radiance, (N, 3, H, W) each.
        level: at which both are masked.
        longest: no picture is longer.

    Returns:
        Offsets and scores from the medium exposure to the source, and those of the way back, None where
        ``config.consistency`` does not ask for it.
    """
    search: dict[str, Any] = {
        "radii": config.radii, "propagate": config.propagate,
        "patch_size": config.patch_size, "normalize": config.normalize,
    }  # fmt: skip

    def both(source: Tensor, target: Tensor, centers: tuple[Tensor | None, ...]) -> list[Tensor]:
        pairs = ((source, target), (target, source))[: len(centers)]
        found = [search_first(*pair, center, **search) for pair, center in zip(pairs, centers, strict=True)]
        # Flat, because a branch may only return what is obviously without gaps.
        return [tensor.reshape(-1) for one in found for tensor in one]

    def at_once(source: Tensor, target: Tensor, *_: Tensor) -> list[Tensor]:
        return both(source, target, (None, None) if config.consistency else (None,))

    def after_halves(source: Tensor, target: Tensor, *rest: Tensor) -> list[Tensor]:
        halves, level = (halved(rest[0]), halved(rest[1])), rest[2]
        # As one batch: of a single small picture PyTorch's compiler asks how many numbers it has, and
        # compiles the network anew for others.
        found = [scale.chunk(2) for scale in features(torch.cat(halves), torch.cat((level, level)))]
        small = [scale[0] for scale in found], [scale[1] for scale in found]
        ways = search_coarsest(features, config, small, halves, level, _half(longest))
        pairs = zip((small, small[::-1]), ways, strict=True)
        centers = [
            progressive_match(*pair, first=first, levels=(1, 2), **search).offsets[1]
            for pair, first in pairs
            if first is not None
        ]
        # A row or column of the padding may be left.
        size = source.shape[-2:]
        return both(source, target, tuple(cut(center, *size) for center in centers))

    coarsest = pyramids[0][2], pyramids[1][2]
    if longest <= config.reach:
        found = at_once(*coarsest)
    else:
        # Copies, because what branches take may not lie in one memory, as two pictures of one batch do.
        operands = (*(tensor.clone() for tensor in (*coarsest, *pictures)), level)
        height, width = pictures[0].shape[-2:]
        fits = torch.sym_max(height, width) <= config.reach
        found = torch.cond(fits, at_once, after_halves, operands)
    n, _, *size = pyramids[0][2].shape
    ways = [
        (offset.view(n, 2, *size), score.view(n, *size))
        for offset, score in zip(found[::2], found[1::2], strict=True)
    ]
    return ways[0], ways[1] if config.consistency else None
