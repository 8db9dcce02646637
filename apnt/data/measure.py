"""What the pixels of a bracket say about its exposures and its truth, against what its files say."""

from __future__ import annotations

import cv2
import numpy as np

from apnt.camera import GAMMA
from apnt.errors import InputError
from apnt.io.exposure import relative_times

_USABLE = (0.05, 0.9)  # display-referred values that are neither noise nor saturation
_FEWEST = 300  # values that have to be usable
_SPREAD = 1.0  # largest interquartile range of the exposures' ratio, stops: beyond, it is motion
_SIDE = 300  # pixels, about, to which pictures are made smaller: that forgives an alignment a few pixels off


def measured_stops(ldr: np.ndarray) -> tuple[float, float] | None:
    """How many stops the medium and the long frame lie above the short one, by their pixels.

    Args:
        ldr: (3, H, W, 3) display-referred, short to long.

    Returns:
        Medium and long, relative to the short frame: medians over the values that both frames of a pair
        record. None where there are too few, or where they disagree. Read through gamma 2.2, so that a
        camera's tone curve can shift it by a stop.
    """
    step = max(1, min(ldr.shape[1:3]) // _SIDE)
    size = (ldr.shape[2] // step, ldr.shape[1] // step)
    small = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in ldr]
    gaps = []
    for dark, bright in (small[:2], small[1:]):
        usable = (dark > _USABLE[0]) & (bright < _USABLE[1]) & (bright > _USABLE[0])
        if int(usable.sum()) < _FEWEST:
            return None
        stops = GAMMA * np.log2(bright[usable] / dark[usable])
        low, middle, high = np.percentile(stops, (25, 50, 75))
        if high - low > _SPREAD:
            return None
        gaps.append(float(middle))
    return gaps[0], gaps[0] + gaps[1]


def estimate_times(ldr: np.ndarray) -> np.ndarray:
    """Exposure times of three frames, relative to the short one, from their pixels alone.

    Args:
        ldr: (3, H, W, 3) display-referred, short to long.

    Returns:
        (3,) float64.

    Raises:
        InputError: the frames show too little of the same light, or measure as equal.
    """
    stops = measured_stops(ldr)
    if stops is None:
        raise InputError("exposures cannot be estimated, the frames show too little of the same light")
    return relative_times(stops=[0.0, *stops])


def measured_truth_scale(truth: np.ndarray, medium: np.ndarray, time: float) -> float | None:
    """How much brighter the truth is than the medium frame's radiance: 1 where both have the right scale.

    Args:
        truth: (H, W, 3) linear, at the medium frame's moment.
        medium: (H, W, 3) display-referred in [0, 1].
        time: of the medium frame, relative to the shortest.

    Returns:
        The median over values that the medium frame records well; None where there are too few.
    """
    rows, columns = (max(1, n // _SIDE) for n in truth.shape[:2])
    truth, medium = truth[::rows, ::columns], medium[::rows, ::columns]
    usable = (medium > _USABLE[0]) & (medium < _USABLE[1])
    if int(usable.sum()) < _FEWEST:
        return None
    return float(np.median(truth[usable] * time / medium[usable] ** GAMMA))
