"""How noisy the frames of a bracket are, from their own differences."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from apnt.bracket import Bracket
from apnt.camera import GAMMA
from apnt.data.synthetic import SensorNoise
from apnt.merge.blocks import blocks, least_of, mean_of, most_of, variance_of
from apnt.merge.ends import Ends, channel_ends

LEAST = SensorNoise(shot=2e-5, read=3e-4)
"""What is assumed at least: cleaner cameras gain nothing, and rounding to 8 bits is about as large."""
MOST = SensorNoise(shot=2e-3, read=4e-3)
"""What is assumed at most: a phone at night. More is texture that moved."""
USUAL = SensorNoise(shot=2e-4, read=1e-3)
"""Of an ordinary camera; assumed where the frames do not tell."""

_BLOCK = 8  # pixels
_BRIGHTEST = 0.9  # display-referred value from which a block may be clipped
_QUARTER = 0.87  # lower quartile of chi-square with 63 degrees of freedom, divided by its mean
_MEDIAN = 0.6745  # median of the absolute value of a standard normal variable
_MOST_DARK, _MOST_BRIGHT = 0.001, 0.02  # an error beyond this much and this share of the signal is motion
_EDGES = np.geomspace(1e-4, 1.0, 17)[1:-1]
_FEWEST = 30  # blocks in a bin
_MOST = 1_000_000  # pixels of a frame that are looked at: more tell nothing new


class FrameNoise(NamedTuple):
    """Noise of the linear signal x in [0, 1] of any frame of a bracket.

    Attributes:
        shot, read: variance ``shot * x + read**2``, of one pixel beside the next.
        signal, error: what whole blocks are off by, at these signals, linear between: JPEG compression, and
            curves and exposure times that are not exact. It does not average out.
        ends: of its channels.
    """

    shot: float
    read: float
    signal: np.ndarray
    error: np.ndarray
    ends: Ends

    def variance(self, x: np.ndarray) -> np.ndarray:
        """Of one pixel: what averages out."""
        return np.float32(self.shot) * x + np.float32(self.read**2)

    def systematic(self, x: np.ndarray) -> np.ndarray:
        """Standard deviation of what does not average out."""
        return np.interp(x, self.signal, self.error).astype(np.float32)


def estimate_noise(bracket: Bracket) -> FrameNoise:
    """How far the frames of a bracket are off, the same for all of them.

    Neighbouring frames, brought to one exposure, differ within a block of 8x8 pixels by the noise of both,
    and from block to block by what else is wrong. Of the blocks of one brightness the lower quartile and the
    median count, so that what moved does not.
    """
    rows = [
        row
        for darker, brighter in pairwise(range(len(bracket)))
        for row in _differences(bracket, darker, brighter)
    ]
    if len(rows) < 2:
        return FrameNoise(*USUAL, np.array([0.0, 1.0]), np.zeros(2), channel_ends(bracket))
    signal, shot_term, read_term, variance, offset = np.array(rows).T
    matrix = np.stack([shot_term, read_term], axis=1) / variance[:, None]  # relative errors count alike
    shot, read2 = np.linalg.lstsq(matrix, np.ones(len(rows)), rcond=None)[0]
    if shot < 0:
        shot, read2 = 0.0, float(np.median(variance / read_term))
    elif read2 < 0:
        shot, read2 = float(np.median(variance / shot_term)), 0.0
    shot = float(np.clip(shot, LEAST.shot, MOST.shot))
    read = float(np.clip(np.sqrt(read2), LEAST.read, MOST.read))
    white = (shot * shot_term + read**2 * read_term) / _BLOCK**2
    error = np.sqrt(np.maximum(offset**2 - white, 0))
    most = _MOST_DARK + _MOST_BRIGHT * signal
    return FrameNoise(shot, read, *_by_brightness(signal, np.minimum(error, most)), channel_ends(bracket))


def _by_brightness(signal: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Medians of both over the pairs of frames, one for each brightness, ascending; 0 at no light."""
    place = np.digitize(signal, _EDGES)
    bins = np.unique(place)
    medians = [(float(np.median(signal[place == k])), float(np.median(error[place == k]))) for k in bins]
    levels, errors = np.array([(0.0, 0.0), *medians]).T
    return levels, errors


def _differences(bracket: Bracket, darker: int, brighter: int) -> list[tuple[float, ...]]:
    """By brightness: signal, factors of ``shot`` and ``read**2``, variance in a block, spread of blocks."""
    ratio = float(bracket.times[darker] / bracket.times[brighter])
    rows = min(bracket.size[0], max(_BLOCK, _MOST // bracket.size[1])) // _BLOCK * _BLOCK
    top = (bracket.size[0] - rows) // 2  # the middle of large photographs
    first, second = (bracket.ldr[k, top : top + rows] for k in (darker, brighter))
    usable = most_of(blocks(second, _BLOCK)) < _BRIGHTEST
    if bracket.valid is not None:
        both = bracket.valid[darker, top : top + rows] & bracket.valid[brighter, top : top + rows]
        usable &= least_of(blocks(both[..., None], _BLOCK))
    light = blocks(first, _BLOCK) ** np.float32(GAMMA)
    difference = light - np.float32(ratio) * blocks(second, _BLOCK) ** np.float32(GAMMA)
    signals, variances = mean_of(light)[usable], variance_of(difference)[usable]
    offset = np.abs(mean_of(difference)[usable])
    place = np.digitize(signals, _EDGES)
    found: list[tuple[float, ...]] = []
    for index in range(len(_EDGES) + 1):
        here = place == index
        if here.sum() < _FEWEST:
            continue
        spread = float(np.quantile(variances[here], 0.25)) / _QUARTER
        if spread > 0:
            signal, off = float(signals[here].mean()), float(np.median(offset[here])) / _MEDIAN
            found.append((signal, signal * (1 + ratio), 1 + ratio**2, spread, off))
    return found
