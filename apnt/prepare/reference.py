"""Which frame of a bracket the others are aligned to, and whether another one would show more."""

from __future__ import annotations

import numpy as np

from apnt import scratch
from apnt.across import across
from apnt.camera import GAMMA, SATURATION

_STEP = 4  # every so many-th pixel, row and column, counts
_GOOD = (0.1, 0.9)  # display-referred values that are well exposed
_NEARLY = 0.95  # of the most well-exposed values: frames that are as good
_DARK = 2.0 ** (-2.5 / GAMMA)  # value that hardly a pixel of a dark frame exceeds: 2.5 stops below white
_BRIGHTEST = 98  # per cent
_BURNT = 1e-3  # share of saturated pixels from which a frame is no reference for a dark one


def choose_reference(ldr: np.ndarray, times: np.ndarray, valid: np.ndarray | None = None) -> int:
    """The frame whose moment the result should show where nobody says: before frames are aligned to it.

    Of three frames the middle one. Of any other number the one with the most well-exposed values, between
    0.1 and 0.9; of frames that come within a twentieth of the most, the one nearest to the middle of the
    bracket's exposures. The first and the last are taken only of two: both neighbours help the network.

    Args:
        ldr: (N, H, W, 3), display-referred in [0, 1], short to long.
        times: (N,), ascending.
        valid: (N, H, W) bool, False where a frame holds no data.
    """
    if len(ldr) == 3:
        return 1
    inner = range(1, len(ldr) - 1) if len(ldr) > 2 else range(len(ldr))
    shares = {}
    for k in inner:
        pixels = scratch.every(ldr[k], _STEP)
        good = ((pixels > _GOOD[0]) & (pixels < _GOOD[1])).mean(axis=-1)
        shares[k] = float((good if valid is None else good * valid[k, ::_STEP, ::_STEP]).mean())
    most = max(shares.values())
    middle = np.log2(times[0] * times[-1]) / 2
    near = [k for k in inner if shares[k] >= _NEARLY * most]
    return min(near, key=lambda k: abs(float(np.log2(times[k]) - middle)))


def longest_shows_more(ldr: np.ndarray, valid: np.ndarray | None = None) -> bool:
    """Whether of three frames the middle one is dark throughout and the longest hardly saturated anywhere.

    Such a bracket was exposed for less than it had: what moves is lost in the noise of the middle frame.

    Args:
        ldr: (3, H, W, 3), display-referred in [0, 1], short to long.
        valid: (3, H, W) bool, False where a frame holds no data.
    """
    middle, longest = (across(np.maximum, scratch.every(frame, _STEP)) for frame in ldr[1:])
    if valid is not None:
        middle, longest = middle[valid[1, ::_STEP, ::_STEP]], longest[valid[2, ::_STEP, ::_STEP]]
    if not middle.size or not longest.size:
        return False
    return bool(np.percentile(middle, _BRIGHTEST) < _DARK and (longest >= SATURATION).mean() < _BURNT)
