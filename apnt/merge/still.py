"""Where a bracket shows nothing that moved, seen at half size."""

from __future__ import annotations

import cv2
import numpy as np

from apnt.bracket import Bracket
from apnt.camera import SATURATION
from apnt.merge.compare import DARK, SYSTEMATIC_LIMIT, Frame, agreement, frame_of
from apnt.merge.noise import FrameNoise

_REACH = 28  # pixels at half size, as far as something may have moved
_SOFT = 33  # pixels at half size over which the map falls off, so that it makes no edges
_SPECK = 3  # pixels at half size a side: smaller contradictions are noise


def still_map(bracket: Bracket, noise: FrameNoise) -> np.ndarray:
    """(ceil(H / 2), ceil(W / 2)) float32 in [0, 1]: 0 within 24 pixels of a contradiction, 1 from 88 on.

    Frames are compared with the reference and with the next longer one. They contradict each other where both
    are well exposed and differ, or where one is saturated and the other is darker than that.
    """
    size = (-(-bracket.size[1] // 2), -(-bracket.size[0] // 2))

    def reduced(k: int) -> Frame:
        values = bracket.ldr[k]
        small = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
        # One saturated pixel of four makes a saturated one: their mean would be too dark.
        clipped = cv2.resize(np.float32(values >= SATURATION), size, interpolation=cv2.INTER_AREA)
        small[clipped > 0] = 1
        return frame_of(small, float(bracket.times[k]), noise, None, shortest=False)

    reference = reduced(bracket.reference)
    before: tuple[Frame | None, np.ndarray] = (None, np.empty(0))
    moved = np.zeros(size[::-1], np.uint8)
    for k in range(len(bracket)):
        frame = reference if k == bracket.reference else reduced(k)
        holds = _holds(bracket, k, size)
        for other, other_holds in [before, (reference, _holds(bracket, bracket.reference, size))]:
            if other is frame or other is None:
                continue
            contradiction = _contradiction(other, frame, noise) & holds & other_holds
            moved |= cv2.erode(contradiction.astype(np.uint8), np.ones((_SPECK, _SPECK), np.uint8))
        before = (frame, holds)
    near = cv2.dilate(moved, np.ones((2 * _REACH + 1,) * 2, np.uint8))
    return 1 - cv2.blur(near.astype(np.float32), (_SOFT, _SOFT))


def _holds(bracket: Bracket, k: int, size: tuple[int, int]) -> np.ndarray:
    """(h, w) bool: where a frame holds data at half size, width and height."""
    if bracket.valid is None:
        return np.ones(size[::-1], bool)
    return cv2.resize(bracket.valid[k].astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.99


def _contradiction(first: Frame, second: Frame, noise: FrameNoise) -> np.ndarray:
    """(h, w) bool: where two frames cannot show the same light."""
    limit = np.minimum(first.limit, second.limit)
    dark = DARK * noise.read * (1 / first.time + 1 / second.time)
    allowed = np.float32(dark) + np.float32(SYSTEMATIC_LIMIT) * (first.systematic + second.systematic)
    one, other = np.minimum(first.radiance, limit), np.minimum(second.radiance, limit)
    return agreement(one, other, first.variance + second.variance, allowed) < 0.5
