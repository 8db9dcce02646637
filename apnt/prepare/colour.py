"""Whether the frames show the same colours: one of them may have been turned to grey, or rendered paler."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from apnt.camera import GAMMA

_SIDE = 48  # fields along the longer side: so coarse that noise is no colour
_KNOWN = (0.15, 0.9)  # values of a field that is neither dark nor saturated, in all channels
_FEWEST = 60  # fields that are known in two frames, or nothing is said about them
_COLOURED = 0.06  # log light that the channels of the more colourful frame spread by, or there is no colour
# Part of the other frame's spread below which a frame is paler, whatever it shows, and where both show the
# same colours (correlation). Real cameras: 0.6 and more, where noise reduction takes colour from dark frames.
_GREY, _PALE, _SAME = 1 / 3, 1 / 2, 0.8


def paler(ldr: np.ndarray) -> dict[int, int]:
    """Frames that show less than half of the colour of a neighbour, each with that neighbour.

    Args:
        ldr: (N, H, W, 3), light to the power of ``1 / 2.2``, by ascending exposure.
    """
    height, width = ldr.shape[1:3]
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    fields = [cv2.resize(f, size, interpolation=cv2.INTER_AREA).reshape(-1, 3) for f in ldr]
    found: dict[int, int] = {}
    for k, (first, second) in enumerate(pairwise(fields)):
        known = [((f > _KNOWN[0]) & (f < _KNOWN[1])).all(axis=1) for f in (first, second)]
        both = known[0] & known[1]
        if both.sum() < _FEWEST:
            continue
        one, other = _chroma(first[both]), _chroma(second[both])
        pale, rich = sorted((float(one.std()), float(other.std())))
        same = float((one * other).mean()) > _SAME * pale * rich
        if rich > _COLOURED and pale < rich * (_PALE if same else _GREY):
            less = k if one.std() < other.std() else k + 1
            found.setdefault(less, 2 * k + 1 - less)
    return found


def _chroma(fields: np.ndarray) -> np.ndarray:
    """(R, 3) log light of the channels beside their mean, the white balance set aside."""
    log = GAMMA * np.log(fields)
    log -= log.mean(axis=1, keepdims=True)
    return np.asarray(log - log.mean(axis=0))
