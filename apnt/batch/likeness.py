"""How much two photographs look alike, whatever their exposures and the camera's curve."""

from __future__ import annotations

import math

import cv2
import numpy as np

from apnt.prepare.scene import rank_correlation

LIKE = 0.4
"""From here on two photographs show one scene. Of 15 real brackets, neighbouring exposures have 0.44 and more
(in 11 of them 0.78 and more); of two frames of different ones 99 in 100 have less than 0.39."""

_KNOWN = (0.02, 0.97)  # values of a pixel that is neither black nor saturated
_FEWEST = 100  # pixels that are known in both, or nothing is said
_LARGE = 1 / 12  # of the longer side: standard deviation of what is taken away
_CONTRAST = 0.01  # standard deviation of what is left: below, as of a wall, ranks are noise
_DARKEST = 0.004


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Rank correlation of details, the best within one pixel of shift.

    Large shapes are taken away first: light above and dark below are common to photographs of anything.

    Args:
        first, second: (h, w) display-referred in [0, 1], some 50 pixels along the longer side, of one shape.

    Returns:
        From -1 to 1; NaN where too little is neither black nor saturated in both.
    """
    known = np.logical_and.reduce([(_KNOWN[0] < f) & (f < _KNOWN[1]) for f in (first, second)])
    if known.sum() < _FEWEST:
        return math.nan
    one, other = (_details(f, known) for f in (first, second))
    if min(one[known].std(), other[known].std()) < _CONTRAST:
        return math.nan
    best = -1.0
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            both = known & np.roll(known, (dy, dx), (0, 1))
            if both.sum() >= _FEWEST:
                best = max(best, rank_correlation(one[both], np.roll(other, (dy, dx), (0, 1))[both]))
    return best


def _details(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The logarithm less its mean around, over pixels that are known."""
    log, weight = np.log(np.maximum(picture, _DARKEST)).astype(np.float32), known.astype(np.float32)
    sigma = max(picture.shape) * _LARGE
    around = cv2.GaussianBlur(log * weight, (0, 0), sigma) / np.maximum(
        cv2.GaussianBlur(weight, (0, 0), sigma), 1e-3
    )
    return log - around
