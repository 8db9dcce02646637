"""How noisy the frames of a bracket are, from their own differences."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from apnt.bracket import Bracket
from apnt.camera import GAMMA
from apnt.data.synthetic import SensorNoise

LEAST = SensorNoise(shot=2e-5, read=3e-4)
"""What is assumed at least: cleaner cameras gain nothing, and rounding to 8 bits is about as large."""
USUAL = SensorNoise(shot=2e-4, read=1e-3)
"""Of an ordinary camera; assumed where the frames do not tell."""

_BLOCK = 8  # pixels
_BRIGHTEST = 0.9  # display-referred value from which a block may be clipped
_QUARTER = 0.87  # lower quartile of chi-square with 63 degrees of freedom, divided by its mean
_BINS = 16
_FEWEST = 30  # blocks in a bin
_MOST = 4_000_000  # pixels of a frame that are looked at: more tell nothing new


def estimate_noise(bracket: Bracket) -> SensorNoise:
    """Noise of one frame's linear signal, the same for all frames: variance ``shot * x + read**2``.

    Neighbouring frames, brought to one exposure, differ within a block of 8x8 pixels by the noise of both;
    what differs as a whole, such as a curve that is not quite right, is subtracted. Of the blocks of one
    brightness the lower quartile counts, so that texture which moved does not.
    """
    rows = [
        row for short, long in pairwise(range(len(bracket))) for row in _differences(bracket, short, long)
    ]
    if len(rows) < 2:
        return USUAL
    shot_term, read_term, variance = np.array(rows).T
    matrix = np.stack([shot_term, read_term], axis=1) / variance[:, None]  # relative errors count alike
    shot, read2 = np.linalg.lstsq(matrix, np.ones(len(rows)), rcond=None)[0]
    if shot < 0:
        shot, read2 = 0.0, float(np.median(variance / read_term))
    elif read2 < 0:
        shot, read2 = float(np.median(variance / shot_term)), 0.0
    return SensorNoise(max(float(shot), LEAST.shot), max(float(np.sqrt(read2)), LEAST.read))


def _differences(bracket: Bracket, short: int, long: int) -> list[tuple[float, float, float]]:
    """By brightness: the factors of ``shot`` and ``read**2``, and the variance that they explain."""
    ratio = float(bracket.times[short] / bracket.times[long])
    rows = min(bracket.size[0], max(_BLOCK, _MOST // bracket.size[1])) // _BLOCK * _BLOCK
    top = (bracket.size[0] - rows) // 2  # the middle of large photographs
    first, second = (bracket.ldr[k, top : top + rows] for k in (short, long))
    usable = _blocks(second).max(axis=(1, 3)) < _BRIGHTEST
    if bracket.valid is not None:
        both = bracket.valid[[short, long], top : top + rows].all(axis=0)
        usable &= _blocks(both[..., None]).all(axis=(1, 3))
    light = _blocks(first) ** GAMMA
    difference = light - ratio * _blocks(second) ** GAMMA
    mean, variance = light.mean(axis=(1, 3))[usable], difference.var(axis=(1, 3))[usable]
    edges = np.geomspace(1e-4, 1.0, _BINS + 1)
    edges[0] = 0.0
    place = np.digitize(mean, edges) - 1
    found = []
    for index in range(_BINS):
        here = place == index
        if here.sum() < _FEWEST:
            continue
        spread = float(np.quantile(variance[here], 0.25)) / _QUARTER
        if spread > 0:
            found.append((float(mean[here].mean()) * (1 + ratio), 1 + ratio**2, spread))
    return found


def _blocks(image: np.ndarray) -> np.ndarray:
    """(H, W, C) to (rows, block, columns, block, C), what does not fill a block left out."""
    rows, columns = image.shape[0] // _BLOCK, image.shape[1] // _BLOCK
    whole = image[: rows * _BLOCK, : columns * _BLOCK]
    return whole.reshape(rows, _BLOCK, columns, _BLOCK, image.shape[2])
