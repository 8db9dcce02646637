"""Where a bracket shows nothing that moved, seen at half size."""

from __future__ import annotations

import cv2
import numpy as np

from apnt import scratch
from apnt.across import across
from apnt.bracket import Bracket
from apnt.camera import GAMMA, SATURATION
from apnt.merge.compare import DARK, SYSTEMATIC_LIMIT, Frame, agreement, frame_of, meet
from apnt.merge.noise import FrameNoise
from apnt.strips import parts, strips

_REACH = 28  # pixels at half size, as far as something may have moved
_SOFT = 33  # pixels at half size over which the map falls off, so that it makes no edges
_ROWS, _PIXELS = 64, 1 << 19  # of a strip at half size, at least, and about
_HALO = 16  # rows at half size beyond a strip that its own depend on
_SPECK = 3  # pixels at half size a side: smaller contradictions are noise
_PAIRS = 2  # of frames that have to show the same: a lamp that moves lies where it was in one pair, at times
_SHOWN, _EDGE = 9, 5  # pixels at half size a side: that frames have to show, and over which that falls off
_BLACK = 0.2**GAMMA  # light of a frame's range below which it says no more than that there is no more


def still_map(bracket: Bracket, noise: FrameNoise) -> np.ndarray:
    """(ceil(H / 2), ceil(W / 2)) float32 in [0, 1]: 0 within 24 pixels of a contradiction, 1 from 88 on.

    Frames are compared with the reference and with the next longer one. They contradict each other where both
    are well exposed and differ, or where one is saturated and the other is darker than that. However near to
    a contradiction, it is 1 where three frames that are well exposed in a channel show the same, and no frame
    anything else: what moved is seen not to be there.
    """
    size = (-(-bracket.size[1] // 2), -(-bracket.size[0] // 2))

    small = [_reduced(frame, size) for frame in bracket.ldr]
    holds = [_holds(bracket, k, size) for k in range(len(bracket))]
    moved, shown = (np.zeros(size[::-1], np.uint8) for _ in range(2))
    for rows in parts(size[1], max(_ROWS, _PIXELS // size[0]), _HALO):

        def frame(k: int, rows: slice = rows.seen) -> Frame:
            return frame_of(small[k][rows], float(bracket.times[k]), noise, None, shortest=False)

        reference = frame(bracket.reference)
        before: Frame | None = None
        for k in range(len(bracket)):
            own = reference if k == bracket.reference else frame(k)
            for n, other in {k - 1: before, bracket.reference: reference}.items():
                if n == k or other is None:
                    continue
                both = holds[k][rows.seen] & holds[n][rows.seen]
                found = _contradiction(other, own, noise) & both
                moved[rows.own] |= _eroded(found, _SPECK)[rows.inner]
                clear = across(np.logical_or, _well_exposed(own) & _well_exposed(other)) & ~found & both
                shown[rows.own] += _eroded(clear, _SHOWN)[rows.inner]
            before = own
    near = cv2.dilate(moved, np.ones((2 * _REACH + 1,) * 2, np.uint8))
    still = 1 - cv2.blur(near.astype(np.float32), (_SOFT, _SOFT))
    seen = (shown >= _PAIRS) & (cv2.dilate(moved, np.ones((_SHOWN, _SHOWN), np.uint8)) == 0)
    return np.maximum(still, cv2.blur(seen.astype(np.float32), (_EDGE, _EDGE)))


def at_full_size(still: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """(h, w) of the map at pixels of the picture; both slices begin at an even one."""
    small = still[_halved(rows), _halved(columns)].repeat(2, axis=0).repeat(2, axis=1)
    return small[: rows.stop - rows.start, : columns.stop - columns.start]


def _halved(part: slice) -> slice:
    return slice(part.start // 2, -(-part.stop // 2))


def _eroded(where: np.ndarray, side: int) -> np.ndarray:
    """(h, w) uint8 of bool: 1 where all of a square is."""
    return cv2.erode(where.astype(np.uint8), np.ones((side, side), np.uint8))


def _well_exposed(frame: Frame) -> np.ndarray:
    """(h, w, 3) bool: neither saturated nor black."""
    return (frame.radiance < frame.top) & (frame.radiance >= np.float32(_BLACK / frame.time))


def _reduced(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w, 3): a frame (H, W, 3) at half size, width and height."""
    blown = scratch.empty(values.shape, np.float32)
    for rows in strips(len(values)):
        blown[rows] = values[rows] >= SATURATION
    small, clipped = (scratch.empty((*size[::-1], 3), np.float32) for _ in range(2))
    cv2.resize(values, size, small, interpolation=cv2.INTER_AREA)
    cv2.resize(blown, size, clipped, interpolation=cv2.INTER_AREA)
    # One saturated pixel of four makes a saturated one: their mean would be too dark.
    for rows in strips(len(small)):
        small[rows][clipped[rows] > 0] = 1
    return small


def _holds(bracket: Bracket, k: int, size: tuple[int, int]) -> np.ndarray:
    """(h, w) bool: where a frame holds data at half size, width and height."""
    if bracket.valid is None:
        return np.broadcast_to(True, size[::-1])
    known = scratch.empty(bracket.size, np.float32)
    known[...] = bracket.valid[k]
    return cv2.resize(known, size, interpolation=cv2.INTER_AREA) > 0.99


def _contradiction(first: Frame, second: Frame, noise: FrameNoise) -> np.ndarray:
    """(h, w) bool: where two frames cannot show the same light.

    Next to black files hold the camera's black level, curves are hardly known, and JPEG has no colours. Two
    frames that are ten stops apart would contradict each other wherever the longer one is saturated.
    """
    limit = np.minimum(first.limit, second.limit)
    least = np.maximum(_floor(first), _floor(second))
    dark = DARK * noise.read * (1 / first.time + 1 / second.time)
    allowed = np.float32(dark) + np.float32(SYSTEMATIC_LIMIT) * (first.systematic + second.systematic)
    one, other = meet(
        np.maximum(np.minimum(first.radiance, limit), least),
        np.maximum(np.minimum(second.radiance, limit), least),
        first.less,
        second.less,
    )
    return agreement(one, other, first.variance + second.variance, allowed) < 0.5


def _floor(frame: Frame) -> np.ndarray:
    """(h, w, 3): the light up to which a frame is black, where it is; 0 where it is not."""
    black = np.float32(_BLACK / frame.time)
    return np.where(frame.radiance < black, black, np.float32(0))
