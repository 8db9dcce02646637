"""Pairs of values that two frames of a bracket give to the same share of their pixels.

Where hardly a place is flat, as in grass or at night, pairs of blocks are missing. The brightest tenth of one
frame is still the brightest tenth of the other, whatever moves within the picture (Grossberg and Nayar 2003):
a pair for every level, less exact than one of a flat block, and independent of shifts.
"""

from __future__ import annotations

import cv2
import numpy as np

from apnt.prepare.blocks import USABLE, Pairs, frame_pairs, group_of, joined

_SIDE = 4  # pixels of a block's side: less noise, and still the picture's distribution
_FEWEST = 1000  # blocks of which a distribution can be told
_MOST = 100_000  # blocks that are ranked: more tell nothing new
_STEP = 1 / 48  # between the levels of the longer frame
_LEVELS = np.arange(0.05, 0.9, _STEP)
_DARKEST = 0.02  # share of the blocks that are darker than any level counted
_BRIGHTEST = 20  # blocks that are brighter than any level counted: fewer are chance
_SPREAD = 0.25  # standard deviation that stands for what a pair may be off by, relative to its value


def quantile_pairs(ldr: np.ndarray, times: np.ndarray, valid: np.ndarray | None) -> Pairs:
    """Values of equal rank, of all useful pairs of frames; some 100 of three frames.

    Args:
        ldr: (N, H, W, 3) float32 in [0, 1].
        times: (N,) relative exposure times.
        valid: (N, H, W) bool, False where a frame holds no data; None = all of it does.
    """
    size = (ldr.shape[2] // _SIDE, ldr.shape[1] // _SIDE)
    if min(size) == 0:
        return joined([])
    known = np.ones(size[::-1], bool)
    if valid is not None:
        everywhere = np.asarray(valid.all(axis=0), np.float32)
        known = cv2.resize(everywhere, size, interpolation=cv2.INTER_AREA) > 1 - 1e-4
    if known.sum() < _FEWEST:
        return joined([])
    step = -(-int(known.sum()) // _MOST)
    ranked = []
    for frame in ldr:
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        ranked.append(np.sort(small[known][::step], axis=0))  # (blocks, 3)
    return joined(
        [
            _pairs_of(darker, brighter, channel, ranked[darker][:, channel], ranked[brighter][:, channel])
            for darker, brighter in frame_pairs(times)
            for channel in range(3)
        ]
    )


def _pairs_of(darker: int, brighter: int, channel: int, low: np.ndarray, high: np.ndarray) -> Pairs:
    """Pairs of one channel; ``low`` and ``high`` are the frames' values, ascending."""
    rank = np.unique(np.searchsorted(high, _LEVELS))
    rank = rank[(rank > _DARKEST * len(high)) & (rank < len(high) - _BRIGHTEST)]
    rank = rank[(low[rank] > USABLE[0]) & (high[rank] > low[rank])]
    ones = np.ones(len(rank), int)
    first, second = low[rank].astype(np.float64), high[rank].astype(np.float64)
    return Pairs(
        darker * ones, brighter * ones, channel * ones, first, second, _SPREAD * first, _SPREAD * second,
        group_of(darker, brighter, channel * ones, second), ones.astype(bool), ones.astype(bool),
    )  # fmt: skip
