"""Frames of a bracket as their camera shows them."""

from __future__ import annotations

import cv2
import numpy as np

from apnt.bracket import Bracket
from apnt.camera import GAMMA
from apnt.prepare.response import Response

_PLAIN = ("gamma22", "linear")  # curves after which light to the power of 1 / 2.2 is shown as it is
_SIDE = 640  # pixels: the longer side of a frame that a curve is read off


def as_shown(values: np.ndarray, response: Response) -> np.ndarray:
    """(..., 3) float32 in [0, 1]: what a camera writes of light to the power of ``1 / 2.2``, (..., 3)."""
    return values if response.name in _PLAIN else response.encode(values ** np.float32(GAMMA))


def longest(bracket: Bracket, response: Response) -> tuple[np.ndarray, float]:
    """What of the longest frame tells a camera's curve, which is one for all its exposures.

    Returns:
        (h, w, 3) float32 in [0, 1], aligned, as its camera shows it, of at most 640 pixels a side; and by how
        many stops it is longer than the reference frame.
    """
    small = bracket.ldr[-1]
    scale = _SIDE / max(bracket.size)
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in bracket.size)
        small = cv2.resize(small, (width, height), interpolation=cv2.INTER_AREA)
    stops = float(np.log2(bracket.times[-1] / bracket.times[bracket.reference]))
    return as_shown(np.clip(small, 0, 1), response), stops
