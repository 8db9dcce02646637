"""Whether two pictures of the same light agree, pixel by pixel, for all that frames are noisy and clipped."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from apnt.camera import GAMMA, SATURATION
from apnt.merge.noise import FrameNoise

CORRELATED = 3.0
"""By how much less noise averages out than white noise does: in JPEG files, neighbours are alike."""
NOISE_LIMIT = 3.0
"""Standard deviations of the noise of a mean that two pictures may differ by."""
SYSTEMATIC_LIMIT = 2.5
"""Standard deviations of what does not average out."""
RELATIVE = 0.06
"""Part of the light that frames may differ by: exposure times, curves and flare are not exact."""
DARK = 0.5
"""Read noise that the dark end may be off by, because it is clipped at black."""

_CLEAR, _CLIPPED = 0.80, 0.92  # display-referred: local mean from which a frame counts less, and not at all
_BOUND = 0.05  # what a bound counts for, of a value's precision
_SCALES = ((3, 0.35), (9, 0.1))
"""Pixels a side over which differences are averaged, and the part of an edge in both that may differ: every
alignment is off by a part of a pixel, and apertures blur."""


class Frame(NamedTuple):
    """Some rows of one frame.

    Attributes:
        radiance: (h, w, 3), 1 = saturation of the bracket's shortest frame.
        variance: (h, w, 3) of the radiance, all errors counted.
        systematic: (h, w, 3) standard deviation of what does not average out.
        weight: (h, w, 3) in [0, 1]: 0 where the frame is saturated or holds no data.
        less: (h, w, 3) by how much less the light may be: what a channel says beside a saturated one is a
            bound.
        top: (3,) light from which a channel counts as saturated.
        time: exposure time relative to the shortest frame.
    """

    radiance: np.ndarray
    variance: np.ndarray
    systematic: np.ndarray
    weight: np.ndarray
    less: np.ndarray
    top: np.ndarray
    time: float

    @property
    def precision(self) -> np.ndarray:
        """(h, w, 3): what it counts for in an average."""
        return self.weight / self.variance * np.where(self.less > 0, np.float32(_BOUND), np.float32(1))

    @property
    def limit(self) -> np.ndarray:
        """(h, w, 3): its light where it is saturated, which may be any more; infinity where it is not."""
        return np.where(self.radiance >= self.top, self.top, np.float32(np.inf))


def frame_of(
    values: np.ndarray, time: float, noise: FrameNoise, valid: np.ndarray | None, shortest: bool
) -> Frame:
    """Weigh the values of a frame.

    Args:
        values: (h, w, 3) display-referred.
        time: relative to the shortest frame.
        noise: of the bracket.
        valid: (h, w) bool, or None.
        shortest: its saturated pixels count, because no other frame knows more.
    """
    light = values ** np.float32(GAMMA)
    full = noise.ends.full ** np.float32(1 / GAMMA)  # values
    # Weights come from local means: a pixel's own noise in its own weight would bias the average.
    level = cv2.blur(light, (5, 5))
    systematic = noise.systematic(level)
    variance = (noise.variance(level) + systematic**2) * np.float32(1 / time**2)
    if shortest:
        weight = np.ones_like(light)
    else:
        of_full = cv2.blur(values, (3, 3)) * (np.float32(SATURATION) / full)
        weight = ramp(of_full, _CLEAR, _CLIPPED) * (values < full)
    if valid is not None:
        weight *= valid[..., None]
    scale = np.float32(1 / time)
    less = np.zeros_like(light)
    if noise.ends.beside.any() and not shortest:
        beside = largest((values >= full).astype(np.float32))
        beside = cv2.dilate(beside, np.ones((3, 3), np.uint8))[..., None]
        less = light * (beside * noise.ends.excess * scale)
    return Frame(light * scale, variance, systematic * scale, weight, less, noise.ends.full * scale, time)


def agreement(
    first: np.ndarray,
    second: np.ndarray,
    variance: np.ndarray,
    allowed: np.ndarray,
    relative: float = RELATIVE,
) -> np.ndarray:
    """(h, w) in [0, 1]: 1 where the local means of two images are the same in all colours.

    Args:
        first, second: (h, w, 3) radiance.
        variance: (h, w, 3) of a pixel's difference.
        allowed: (h, w, 3) difference that may remain however many pixels are averaged.
        relative: part of the light that may differ.
    """
    difference = first - second
    edges = np.minimum(_range(first), _range(second))
    worst = np.zeros(first.shape[:2], np.float32)
    for side, shift in _SCALES:
        size = (side, side)
        # Running sums leave a little less than nothing where there is nothing.
        spread = np.sqrt(np.maximum(cv2.blur(variance, size), 0)) * np.float32(CORRELATED**0.5 / side)
        most = np.float32(NOISE_LIMIT) * spread + cv2.blur(np.float32(relative) * first, size) + allowed
        most += np.float32(shift) * cv2.blur(edges, size)
        worst = np.maximum(worst, largest(np.abs(cv2.blur(difference, size)) / (most + np.float32(1e-12))))
    return ramp(worst, 1.0, 1.5)


def meet(
    first: np.ndarray, second: np.ndarray, first_less: np.ndarray, second_less: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Two images, each made darker towards the other by no more than it may be."""
    first = np.maximum(first - first_less, np.minimum(first, second))
    return first, np.maximum(second - second_less, np.minimum(second, first))


def ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """1 below ``low``, 0 above ``high``, smooth between."""
    t = np.clip((np.float32(high) - values) * np.float32(1 / (high - low)), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def largest(image: np.ndarray) -> np.ndarray:
    """(h, w): the largest of three colours, faster than ``max(axis=-1)``."""
    return np.maximum(np.maximum(image[..., 0], image[..., 1]), image[..., 2])


def smallest(image: np.ndarray) -> np.ndarray:
    """(h, w): the smallest of three colours."""
    return np.minimum(np.minimum(image[..., 0], image[..., 1]), image[..., 2])


def _range(image: np.ndarray) -> np.ndarray:
    """Largest minus smallest value of 3x3 pixels."""
    kernel = np.ones((3, 3), np.uint8)
    return cv2.dilate(image, kernel) - cv2.erode(image, kernel)
