"""Roughly where the content of one exposure lies in another: whole-pixel shifts, enough for flat blocks.

Normalised cross-correlation over the pixels that are usable in both (Padfield 2012, "Masked object
registration in the Fourier domain"). Median threshold bitmaps (Ward 2003) need as many pixels below the
median as above it: where most of a frame is saturated they find shifts that are none.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from apnt.across import across

_PIXELS = 1 << 17  # frames are reduced to at most this many
_USABLE = (0.02, 0.98)
_DETAIL = 6.0  # reduced pixels; what is coarser than this is brightness, and says nothing of the position
_FARTHEST = 0.2  # of a side
_OVERLAP = 0.3  # least share of the usable pixels of the poorer frame that must meet usable ones
_GAIN = 0.05  # of the correlation, over that without any shift, and this many standard errors of that:
_ERRORS = 3.0
_ALIKE = 25.0  # reduced pixels that say about the same


def frame_shifts(ldr: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """(N, 2) int, pixels (dy, dx): how far the content of the middle frame is moved in each frame, about.

    0 where no shift explains a frame clearly better than none.
    """
    count, (height, width) = len(ldr), ldr[0].shape[:2]
    factor = max(1.0, np.sqrt(height * width / _PIXELS))
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    if min(size) < 32:
        return np.zeros((count, 2), int)
    scale = np.array([height / size[1], width / size[0]])
    details = [_detail(cv2.resize(frame, size, interpolation=cv2.INTER_AREA)) for frame in ldr]
    shifts = np.zeros((count, 2))
    middle = count // 2
    # Neighbours share the most usable pixels, so shifts are chained.
    for k in [*range(middle - 1, -1, -1), *range(middle + 1, count)]:
        towards = k + 1 if k < middle else k - 1
        shifts[k] = shifts[towards] + scale * _shift(*details[towards], *details[k])
    return np.round(shifts).astype(int)


def _detail(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fine detail of the log brightness, (h, w) float32, 0 where it is unusable, and where it is usable."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    mask = ((grey > _USABLE[0]) & (across(np.maximum, frame) < _USABLE[1])).astype(np.float32)
    level = np.log(grey + np.float32(0.02)) * mask
    return (level - _slope(level, mask)) * mask, mask


def _slope(level: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(h, w): the plane through the surroundings of each pixel, there, by least squares.

    A mean would do in the middle of what is usable. Beside what is not, its surroundings lie on one side,
    and a slope would pass for detail: frames that hold gradients alone would be shifted as far as they may.

    Args:
        level: (h, w) float32, 0 where the mask is.
        mask: (h, w) float32, 1 = usable.
    """
    reach = int(3 * _DETAIL)
    place = np.arange(-reach, reach + 1, dtype=np.float32) / np.float32(_DETAIL)
    weights = [np.exp(-(place**2) / 2) * place**power for power in range(3)]

    def moment(image: np.ndarray, x: int, y: int) -> np.ndarray:
        return cv2.sepFilter2D(image, cv2.CV_32F, weights[x], weights[y], borderType=cv2.BORDER_CONSTANT)

    one, x, y = (moment(mask, *power) for power in ((0, 0), (1, 0), (0, 1)))
    xx, xy, yy = (moment(mask, *power) for power in ((2, 0), (1, 1), (0, 2)))
    one, xx, yy = one + 1, xx + 1, yy + 1  # so that few pixels have no slope, and none no value
    # The first unknown of the normal equations, by the first column of the inverse of their matrix.
    inverse = xx * yy - xy * xy, xy * y - x * yy, x * xy - xx * y
    right = (moment(level, *power) for power in ((0, 0), (1, 0), (0, 1)))
    value = sum(a * b for a, b in zip(inverse, right, strict=True))
    return np.asarray(value / (one * inverse[0] + x * inverse[1] + y * inverse[2]))


def _shift(first: np.ndarray, seen: np.ndarray, second: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """(2,) float (dy, dx) from the first to the second; 0 where it cannot be told."""
    near, count = correlations(first, seen, second, usable)
    reach = [n // 2 for n in near.shape]
    peak = np.unravel_index(np.argmax(near), near.shape)
    still = near[reach[0], reach[1]]
    error = (1 - still**2) * np.sqrt(_ALIKE / count[peak])
    if near[peak] < still + _GAIN + _ERRORS * error:
        return np.zeros(2)
    return np.array([_finer(near, peak, axis) - reach[axis] for axis in (0, 1)])


def correlations(
    first: np.ndarray, seen: np.ndarray, second: np.ndarray, usable: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of the first with the second under every shift of up to :data:`_FARTHEST` of a side either way.

    Args:
        first, second: (h, w) float32, 0 where a pixel is not usable.
        seen, usable: (h, w) float32, 1 where a pixel of the first and of the second is.

    Returns:
        (2 * reach + 1, 2 * reach + 1) correlations, -1 where too few usable pixels meet, and their number;
        no shift is in the middle.
    """
    reach = [int(_FARTHEST * n) for n in first.shape]
    rows, columns = (np.arange(-r, r + 1) for r in reach)
    # Larger shifts come round at the other end, and as far from the window as this.
    shape = [cv2.getOptimalDFTSize(n + r) for n, r in zip(first.shape, reach, strict=True)]
    a, a2, m = (np.fft.rfft2(x, shape).conj() for x in (first, first * first, seen))
    b, b2, n = (np.fft.rfft2(x, shape) for x in (second, second * second, usable))

    def within(x: np.ndarray) -> np.ndarray:
        return np.asarray(np.fft.irfft(np.fft.ifft(x, axis=0)[rows], shape[1])[:, columns])

    count, sum_a, sum_b, sum_a2, sum_b2, product = map(within, (m * n, a * n, m * b, a2 * n, m * b2, a * b))
    count = np.maximum(count, 1.0)
    variance = np.maximum(sum_a2 - sum_a**2 / count, 0) * np.maximum(sum_b2 - sum_b**2 / count, 0)
    enough = count >= max(_OVERLAP * min(seen.sum(), usable.sum()), 64.0)
    return np.where(enough, (product - sum_a * sum_b / count) / np.sqrt(variance + 1e-9), -1.0), count


def _finer(values: np.ndarray, peak: tuple[np.intp, ...], axis: int) -> float:
    """Position of the maximum along one axis, from the parabola through the peak and its neighbours."""
    line = values[:, peak[1]] if axis == 0 else values[peak[0]]
    position = int(peak[axis])
    if not 0 < position < len(line) - 1:
        return float(position)
    before, here, after = line[position - 1 : position + 2]
    bend = before - 2 * here + after
    return position + (0.5 * (before - after) / bend if bend < 0 else 0.0)
