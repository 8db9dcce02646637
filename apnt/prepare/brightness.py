"""What the pixels of a bracket say about its exposures and the scale of its truth, whatever its files say."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from apnt.camera import GAMMA
from apnt.errors import InputError
from apnt.io.exposure import relative_times

_USABLE = (0.05, 0.9)  # display-referred values that are neither noise nor saturation
_FEWEST = 300  # usable values that a measurement needs
_SPREAD = 1.0  # largest interquartile range of the exposures' ratio, stops: above it, the frames show motion
_SIDE = 300  # approximate side of the reduced pictures, pixels: they tolerate a shift by a few full pixels


def measured_stops(ldr: np.ndarray) -> tuple[float, ...] | None:
    """How many stops all frames but the first lie above the first, by their pixels.

    Args:
        ldr: (N, H, W, 3) display-referred, by ascending exposure.

    Returns:
        N - 1 stops, added up from medians over the values that both of two neighbours record. None where
        these are too few or differ too much. The values are linearised by gamma 2.2, so
        that a camera's tone curve can shift the result by a stop.
    """
    step = max(1, min(ldr.shape[1:3]) // _SIDE)
    size = (ldr.shape[2] // step, ldr.shape[1] // step)
    small = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in ldr]
    stops_above = [0.0]
    for dark, bright in pairwise(small):
        usable = (dark > _USABLE[0]) & (bright < _USABLE[1]) & (bright > _USABLE[0])
        if int(usable.sum()) < _FEWEST:
            return None
        stops = GAMMA * np.log2(bright[usable] / dark[usable])
        low, middle, high = np.percentile(stops, (25, 50, 75))
        if high - low > _SPREAD:
            return None
        stops_above.append(stops_above[-1] + float(middle))
    return tuple(stops_above[1:])


def estimate_times(ldr: np.ndarray) -> np.ndarray:
    """Exposure times relative to the shortest, from the frames' pixels alone.

    Args:
        ldr: (N, H, W, 3) display-referred, by ascending exposure.

    Returns:
        (N,) float64. A camera's curve can shift each step by a stop.

    Raises:
        InputError: too few values are well exposed in two frames, or the measured exposures are equal.
    """
    stops = measured_stops(ldr)
    if stops is None:
        raise InputError("exposures cannot be estimated, the frames show too little of the same light")
    return relative_times(stops=[0.0, *stops])


def measured_truth_scale(truth: np.ndarray, reference: np.ndarray, time: float) -> float | None:
    """The ratio of the truth to the reference frame's radiance: 1 where both have the right scale.

    Args:
        truth: (H, W, 3) linear, at the reference frame's moment.
        reference: (H, W, 3) display-referred in [0, 1].
        time: of the reference frame, relative to the shortest.

    Returns:
        The median over values that the reference frame records well; None where there are too few.
    """
    rows, columns = (max(1, n // _SIDE) for n in truth.shape[:2])
    truth, reference = truth[::rows, ::columns], reference[::rows, ::columns]
    usable = (reference > _USABLE[0]) & (reference < _USABLE[1])
    if int(usable.sum()) < _FEWEST:
        return None
    return float(np.median(truth[usable] * time / reference[usable] ** GAMMA))
