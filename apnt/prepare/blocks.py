"""Pairs of values that two frames of a bracket give to the same light: means of flat blocks."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import cv2
import numpy as np

from apnt.prepare.shift import frame_shifts
from apnt.strips import strips

BLOCK = 8
"""Pixels a side: JPEG's block, and large enough that a shift of a few pixels changes no flat block."""

USABLE = (0.012, 0.995)
"""Display-referred values that are neither black nor saturated, deviations within the block included."""

BINS = 48
"""Steps of the brighter value by which pairs are grouped."""

_FLAT = (0.012, 0.06)  # largest standard deviation of a block: constant, and relative to its mean
_NEUTRAL = 0.3  # largest spread of a block's channels, relative to the brightest
_LARGEST_RATIO = 2**6.5  # further apart, hardly a block is usable in both frames
_SMALLEST_RATIO = 2**0.4  # closer together, noise and exposure errors say more than the curve
_PARTNERS = 3  # longer frames that each frame is paired with
_STRIP = 32  # rows of blocks that are reduced at once
_ROWS = 24_000  # kept at most, over all pairs, channels and bins


@dataclass(frozen=True, eq=False)
class Pairs:
    """R pairs of values of the same light.

    Attributes:
        darker, brighter: (R,) index of the two frames.
        channel: (R,) 0, 1 or 2.
        low, high: (R,) display-referred mean of the block in the shorter and in the longer frame.
        low_sigma, high_sigma: (R,) standard deviation within the block.
        group: (R,) pairs of one group share frames, channel and brightness.
        neutral: (R,) bool, of light that is nearly grey in both frames.
        ranked: (R,) bool, of equal rank, and not of one place.
    """

    darker: np.ndarray
    brighter: np.ndarray
    channel: np.ndarray
    low: np.ndarray
    high: np.ndarray
    low_sigma: np.ndarray
    high_sigma: np.ndarray
    group: np.ndarray
    neutral: np.ndarray
    ranked: np.ndarray

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.darker)

    def chosen(self, which: np.ndarray) -> Pairs:
        """Those at ``which``: (R,) bool, or indices."""
        return Pairs(*(getattr(self, f.name)[which] for f in fields(self)))


def find_pairs(ldr: np.ndarray, times: np.ndarray, valid: np.ndarray | None) -> Pairs:
    """Means of the blocks that are flat and usable in two frames, for all useful pairs of frames.

    Every block is examined, so that small bright areas count; of blocks that say the same, few are kept.

    Args:
        ldr: (N, H, W, 3) float32 in [0, 1].
        times: (N,) relative exposure times.
        valid: (N, H, W) bool, False where a frame holds no data; None = all of it does.
    """
    if min(ldr.shape[1:3]) < BLOCK:
        return joined([])
    blocks = [
        _Blocks.of(frame[cut], None if valid is None else valid[k][cut])
        for k, (frame, cut) in enumerate(zip(ldr, _common(frame_shifts(ldr), ldr.shape[1:3]), strict=True))
    ]
    found = [
        _pairs_of(darker, brighter, blocks[darker], blocks[brighter])
        for darker, brighter in frame_pairs(times)
    ]
    return _thinned(joined(found))


def group_of(darker: int, brighter: int, channel: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(R,) number of the group of pairs: of their frames, channel and brightness."""
    return ((darker * 16 + brighter) * 3 + channel) * BINS + (high * BINS).astype(int)


def joined(found: list[Pairs]) -> Pairs:
    """All of the pairs, one after the other."""
    if not found:
        whole, real, no = np.zeros(0, int), np.zeros(0), np.zeros(0, bool)
        return Pairs(whole, whole, whole, real, real, real, real, whole, no, no)
    return Pairs(*(np.concatenate([getattr(p, f.name) for p in found]) for f in fields(Pairs)))


def of_brackets(found: list[Pairs], counts: list[int]) -> Pairs:
    """Pairs of several brackets, with frames numbered through.

    Args:
        found: of each bracket.
        counts: of each bracket's frames.
    """
    starts = np.cumsum([0, *counts[:-1]])
    groups = (16 * 16) * 3 * BINS  # in one bracket, at most
    return joined(
        [
            replace(
                pairs, darker=pairs.darker + s, brighter=pairs.brighter + s, group=pairs.group + n * groups
            )
            for n, (pairs, s) in enumerate(zip(found, starts, strict=True))
        ]
    )


def frame_pairs(times: np.ndarray) -> list[tuple[int, int]]:
    """Which frames to compare: (shorter, longer), each with its next few by exposure."""
    order = np.argsort(times, kind="stable")
    pairs = []
    for position, darker in enumerate(order):
        longer = [k for k in order[position + 1 :] if times[k] / times[darker] >= _SMALLEST_RATIO]
        near = [k for k in longer if times[k] / times[darker] <= _LARGEST_RATIO] or longer[:1]
        # Spread over the reachable ones: a wide ratio ties distant levels together.
        if near:
            take = np.unique(np.linspace(0, len(near) - 1, _PARTNERS).round().astype(int))
            pairs += [(int(darker), int(near[t])) for t in take]
    return pairs


def _common(shifts: np.ndarray, size: tuple[int, int]) -> list[tuple[slice, slice]]:
    """For each frame, the part that shows what all frames show, given their shifts."""
    first, last = -shifts.min(axis=0), np.array(size) - shifts.max(axis=0)
    if (last - first < np.array(size) // 2).any():  # nothing shifts a bracket that far: better none than this
        return [(slice(0, size[0]), slice(0, size[1]))] * len(shifts)
    return [
        (slice(first[0] + dy, last[0] + dy), slice(first[1] + dx, last[1] + dx)) for dy, dx in shifts.tolist()
    ]


class _Blocks(NamedTuple):
    """Blocks of a frame.

    Coloured light may contradict itself between frames: cameras mix the colours of their sensor before they
    apply the curve, and clip before and after.

    Attributes:
        mean, sigma: (h, w, 3) mean and standard deviation.
        usable: (h, w, 3) bool, flat and neither black nor saturated.
        neutral: (h, w, 1) bool, nearly grey, and no channel saturated.
    """

    mean: np.ndarray
    sigma: np.ndarray
    usable: np.ndarray
    neutral: np.ndarray

    @classmethod
    def of(cls, frame: np.ndarray, valid: np.ndarray | None) -> _Blocks:
        rows, columns = frame.shape[0] // BLOCK, frame.shape[1] // BLOCK
        frame = frame[: rows * BLOCK, : columns * BLOCK]
        mean, square = block_means(frame, BLOCK), block_means(frame, BLOCK, squared=True)
        sigma = np.sqrt(np.maximum(square - mean * mean, 0))
        usable = sigma < _FLAT[0] + _FLAT[1] * mean
        usable &= (mean - 2 * sigma > USABLE[0]) & (mean + sigma < USABLE[1])
        if valid is not None:
            known = block_means(valid[: rows * BLOCK, : columns * BLOCK], BLOCK)
            usable &= known[..., None] > 1 - 1e-4
        brightest = mean.max(axis=-1, keepdims=True)
        neutral = brightest - mean.min(axis=-1, keepdims=True) < _NEUTRAL * brightest
        neutral &= (mean + sigma).max(axis=-1, keepdims=True) < USABLE[1]
        return cls(mean, sigma, usable, neutral)


def block_means(image: np.ndarray, block: int, *, squared: bool = False) -> np.ndarray:
    """Means over blocks, of values (H, W) or (H, W, C) or of their squares; float32.

    Args:
        image: of whole blocks.
        block: pixels a side.
        squared: of squares.
    """
    mean = np.empty((image.shape[0] // block, image.shape[1] // block, *image.shape[2:]), np.float32)
    for rows in strips(len(mean), _STRIP):
        values = np.ascontiguousarray(image[rows.start * block : rows.stop * block], np.float32)
        size = (mean.shape[1], rows.stop - rows.start)
        mean[rows] = cv2.resize(values * values if squared else values, size, interpolation=cv2.INTER_AREA)
    return mean


def _pairs_of(darker: int, brighter: int, low: _Blocks, high: _Blocks) -> Pairs:
    usable = low.usable & high.usable
    channel = np.broadcast_to(np.arange(3), usable.shape)[usable]
    neutral = np.broadcast_to(low.neutral & high.neutral, usable.shape)[usable]
    ones = np.ones(len(channel), int)

    return Pairs(
        darker * ones,
        brighter * ones,
        channel,
        low.mean[usable].astype(np.float64),
        high.mean[usable].astype(np.float64),
        low.sigma[usable].astype(np.float64),
        high.sigma[usable].astype(np.float64),
        group_of(darker, brighter, channel, high.mean[usable]),
        neutral,
        np.zeros(len(channel), bool),
    )


def _thinned(pairs: Pairs) -> Pairs:
    """At most ``_ROWS`` pairs, groups of few kept whole."""
    if len(pairs) <= _ROWS:
        return pairs
    _, group, counts = np.unique(pairs.group, return_inverse=True, return_counts=True)
    order = np.random.default_rng(0).permutation(len(pairs))
    order = order[np.argsort(group[order], kind="stable")]
    rank = np.arange(len(pairs)) - np.repeat(np.cumsum(counts) - counts, counts)
    limit = _limit(counts)
    return pairs.chosen(np.sort(order[rank < limit]))


def _limit(counts: np.ndarray) -> int:
    """The largest number to keep of each group so that all together are at most ``_ROWS``."""
    ascending = np.sort(counts)
    kept_whole = np.concatenate([[0], np.cumsum(ascending)[:-1]])
    groups_left = np.arange(len(counts), 0, -1)
    room = (_ROWS - kept_whole) // groups_left
    return int(max(1, room[room <= ascending].max(initial=1)))
