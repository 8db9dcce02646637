"""Two frames brought to one exposure, so that what is saturated in one is saturated in both.

The shorter of two frames is taken to the exposure of the longer, and clips where the longer clips. Edges of
saturated areas are then the same edges in both, and can be compared like any other.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from apnt.across import across
from apnt.camera import GAMMA
from apnt.prepare.alignment.blocks import Picture

_LEVELS = 1024
_DARK = 0.02  # display-referred value below which noise and quantisation are all there is
_BRIGHT = 0.985  # display-referred value from which a channel holds nothing


def gamma_match(darker: float, brighter: float) -> np.ndarray:
    """The curves that take one exposure to a longer one where display values are light to the power 1 / 2.2.

    Args:
        darker, brighter: exposure times on any scale.

    Returns:
        (1024, 3) float32: for values i / 1023 of each channel of the shorter, the value in the longer.
    """
    curve = np.minimum(np.linspace(0, 1, _LEVELS) * (brighter / darker) ** (1 / GAMMA), 1)
    return np.stack([curve] * 3, axis=-1).astype(np.float32)


def histogram_match(darker: np.ndarray, brighter: np.ndarray) -> np.ndarray:
    """The monotone curve that gives a channel of one frame the histogram of another's.

    Args:
        darker, brighter: (H, W) float32 in [0, 1], of nearly the same content.

    Returns:
        (1024,): for values i / 1023 of ``darker``, the value in ``brighter``.
    """
    at = np.linspace(0, 1, 513)
    low, high = (np.quantile(channel[::2, ::2], at) for channel in (darker, brighter))
    middle, place = np.unique(low, return_inverse=True)  # a quantised dark has many equal values
    mean = np.bincount(place, weights=high) / np.bincount(place)
    return np.interp(np.linspace(0, 1, _LEVELS), middle, mean)


def aligned_match(darker: np.ndarray, brighter: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The curves of :func:`gamma_match` from frames that lie on each other: medians for values of ``darker``.

    Args:
        darker, brighter: (H, W, 3) float32 in [0, 1].
        known: (H, W) bool, where both hold data.
    """
    values = np.linspace(0, 1, _LEVELS)
    curves = []
    for channel, (a, b) in enumerate(zip(darker[known].T, brighter[known].T, strict=True)):
        place = np.minimum((64 * a).astype(np.uint8), 63)  # of 64 bins; small numbers sort by radix
        order = np.argsort(place, kind="stable")
        ends = np.cumsum([0, *np.bincount(place, minlength=64)])
        a, b = a[order], b[order]
        points = [(0.0, 0.0)]
        for low, high in pairwise(ends):
            if high - low > 50:
                points.append((float(np.median(a[low:high])), float(np.median(b[low:high]))))
        if len(points) < 6:
            curves.append(histogram_match(darker[..., channel], brighter[..., channel]))
            continue
        x, y = np.array(points).T
        curves.append(np.interp(values, x, np.maximum.accumulate(y)))
    return np.stack(curves, axis=-1).astype(np.float32)


def both_ends(darker: np.ndarray, brighter: np.ndarray, curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both frames at the exposure of the longer, clipped where the longer saturates and the shorter is dark.

    Args:
        darker, brighter: (h, w, 3) float32 in [0, 1].
        curve: (levels, 3), from :func:`aligned_match` or another; over [0, 1].

    Returns:
        ``darker`` and ``brighter``, (h, w, 3) float32.
    """
    index = np.round(np.maximum(darker, _DARK) * (len(curve) - 1)).astype(np.int32)
    floor = curve[round(_DARK * (len(curve) - 1))]
    raised = np.stack([curve[index[..., c], c] for c in range(3)], axis=-1)
    return np.minimum(raised, _BRIGHT), np.clip(brighter, floor, _BRIGHT)


def pyramid(frame: np.ndarray, known: np.ndarray, coarsest: int) -> list[Picture]:
    """Smoothed brightness at full size, half, quarter, ..., no shorter side below ``coarsest``."""
    grey = across(np.add, frame) / np.float32(3)
    share = known.astype(np.float32)
    levels = []
    while True:
        # The smoothing reaches two pixels over the edge of what is known.
        clear = cv2.erode((share > 0.999).astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=1) > 0
        levels.append(Picture(cv2.GaussianBlur(grey, (0, 0), 1.0), clear))
        half = (round(grey.shape[1] / 2), round(grey.shape[0] / 2))
        if min(half) < coarsest:
            return levels
        grey, share = (
            np.asarray(cv2.resize(plane, half, interpolation=cv2.INTER_AREA), dtype=np.float32)
            for plane in (grey, share)
        )
