"""The tone curve that makes a scene fit a display: what is in the middle stays where it is."""

from __future__ import annotations

import cv2
import numpy as np

KNEE = -2.5
"""Stops below white from which highlights are compressed, where few lie above white."""

_KNEE_FALLS = 0.5  # stops by which the knee is lower for each stop above white: more light needs more room
_LOWEST_KNEE = -4.5

_LEAST = 0.3  # contrast of highlights of which the picture has none
_NEARBY = 0.4  # stops: standard deviation by which the histogram is made smooth

_SHADOW_SLOPE = (0.85, 0.65)  # contrast far below the middle, of a night and of a day
_SHADOWS = (0.25, 2.0)  # stops below the middle between which the contrast falls to that
_SEEN = -4.5  # stops below white: where the dark half of a picture is seen well
_LIFT, _MOST_LIFT = 1.0, 2.5  # share of what is missing to that, and stops
_MOST_TAKEN = 0.6  # share of the contrast between the dark half and the middle
_NIGHT, _DAY = -6.5, -3.0  # middles of pictures whose dark half is meant to be dark, and to be seen

_DUSK = -4.5  # middle below which a picture with burnt highlights has its lit parts raised
_RAISED = 0.45  # stops for each stop below that
_RISE, _STEEPER = 1.5, 0.6  # stops above the middle in which they are raised; added contrast, at most

_STEP = 1 / 16  # stops between the samples of the curve
_LOWEST = -40.0


class ToneCurve:
    """Stops below the display's white to stops below the display's white, increasing.

    Steeper than 1 only where lit parts of a night are raised.

    Between a knee and ``top``, which comes to ``ceiling``, the room is shared out by what the picture holds:
    the more pixels are of a brightness, the more of their contrast is kept, up to all of it (histogram
    adjustment with a ceiling: Ward Larson, Rushmeier and Piatko 1997). So a lit desk or a window keeps its
    contrast at the cost of the few pixels between it and the room around. A dark picture in which something
    is burnt out, a night with a lit house, has what lies between raised: trees and streets around the house.

    Below the middle of the picture the contrast falls a little, so that a display shows more of the shadows.
    The dark half of a bright picture is lifted so that it is seen, at the cost of contrast where the picture
    holds little. Both start from the middle, and do less the darker that is, so that a night stays one.
    """

    def __init__(self, sample: np.ndarray, top: float, middle: float, ceiling: float = 0.0) -> None:
        """Make the curve.

        Args:
            sample: stops, of any shape, of the picture, or of a fair share of its pixels.
            top: stops above white of the brightest light that is not given up; up to ``ceiling`` nothing is
                compressed.
            middle: stops of the picture's median.
            ceiling: the brightest that is shown, in stops above white: 0, or a display's headroom.
        """
        knee = max(KNEE - _KNEE_FALLS * max(top, 0.0), _LOWEST_KNEE)
        high = max(top, ceiling) + 8
        self.stops = np.arange(_LOWEST, high, _STEP)
        slope, population = np.ones(len(self.stops)), self._population(sample)
        raised = 0.0
        if top > ceiling:
            rising = (self.stops >= middle) & (self.stops < min(middle + _RISE, knee))
            if rising.any():
                most = _STEEPER * rising.sum() * _STEP
                raised = min(1.0, top - ceiling) * float(np.clip(_RAISED * (_DUSK - middle), 0, most))
                slope[rising] += raised / (rising.sum() * _STEP)
            between = (self.stops >= knee) & (self.stops < top)
            room = (ceiling - knee - raised) / _STEP
            slope[between] = _shared_out(population[between], room)
            slope[self.stops >= top] = _LEAST
        first = int(np.searchsorted(self.stops, knee))
        pivot = min(middle, knee)
        share = np.clip((pivot - _SHADOWS[0] - self.stops) / (_SHADOWS[1] - _SHADOWS[0]), 0, 1)
        day = daylight(pivot)
        slope -= (1 - np.interp(day, (0, 1), _SHADOW_SLOPE)) * share
        self._lift(slope, sample[sample < pivot], population, pivot, day)
        self.values = np.concatenate([[0.0], slope[:-1].cumsum() * _STEP])
        self.values += self.stops[first] + raised - self.values[first]

    def __call__(self, stops: np.ndarray | float) -> np.ndarray:
        """Any shape; float32."""
        return np.interp(stops, self.stops, self.values).astype(np.float32)

    def _lift(
        self, slope: np.ndarray, dark: np.ndarray, population: np.ndarray, pivot: float, day: float
    ) -> None:
        """Take contrast from where the picture holds little, so that its dark half comes to be seen."""
        if not dark.size:
            return
        seen = float(np.median(dark))
        lift = day * min(max(_LIFT * (_SEEN - seen), 0.0), _MOST_LIFT)
        low = min(seen, pivot - 1.0)
        between = (self.stops >= low) & (self.stops < pivot)
        lift = min(lift, _MOST_TAKEN * (pivot - low))
        room = min(slope[between].sum(), between.sum() - lift / _STEP)
        slope[between] = np.minimum(_shared_out(population[between], room), 1)
        below = self.stops < low  # blacks stay so
        slope[below] += min(lift, 1.0) * (1 - slope[below])

    def _population(self, sample: np.ndarray) -> np.ndarray:
        """How many pixels are of each brightness and those near it, (K,), of the sample."""
        ends = float(self.stops[0]), float(self.stops[-1] + _STEP)
        counts = np.histogram(sample, len(self.stops), ends)[0].astype(np.float32)
        return cv2.GaussianBlur(counts[None], (0, 0), _NEARBY / _STEP, borderType=cv2.BORDER_CONSTANT)[0]


def daylight(middle: float) -> float:
    """From 0 to 1: whether the dark half of a picture of this median, in stops, is meant to be seen."""
    return float(np.clip((middle - _NIGHT) / (_DAY - _NIGHT), 0, 1))


def _shared_out(population: np.ndarray, room: float) -> np.ndarray:
    """Slopes from ``_LEAST`` to 1 that grow with the population, (K,), and whose sum is the room.

    Where even the least slopes take more than the room, all are the same.
    """
    if room <= _LEAST * len(population):
        return np.full(len(population), room / len(population))
    low, high = 0.0, 1e9
    population = population / population.mean() if population.any() else np.ones(len(population))
    for _ in range(80):
        gain = 0.5 * (low + high)
        taken = np.clip(gain * population, _LEAST, 1).sum()
        low, high = (gain, high) if taken < room else (low, gain)
    return np.clip(low * population, _LEAST, 1)
