"""The tone curve that makes a scene fit a display: what is in the middle stays where it is."""

from __future__ import annotations

import numpy as np

KNEE = -2.5
"""Stops below white from which highlights are compressed, where few lie above white."""

_KNEE_FALLS = 0.5  # stops by which the knee is lower for each stop above white: more light needs more room
_LOWEST_KNEE = -4.5

_SHADOW_SLOPE = 0.65  # contrast far below the middle
_SHADOWS = (0.25, 2.0)  # stops below the middle between which the contrast falls to that
_STEP = 1 / 16  # stops between the samples of the curve
_LOWEST = -40.0


class ToneCurve:
    """Stops below the display's white to stops below the display's white, increasing, slope at most 1.

    Above a knee, ``x / (1 + b x)`` with ``b`` such that ``top`` comes to ``ceiling``. Below the middle
    of the picture the contrast falls a little, so that a display shows more of the shadows. It starts from
    the middle, so that a night, whose middle is dark, stays one.
    """

    def __init__(self, top: float, middle: float, ceiling: float = 0.0) -> None:
        """Make the curve.

        Args:
            top: stops above white of the brightest light that is not given up; up to ``ceiling`` nothing is
                compressed.
            middle: stops of the picture's median.
            ceiling: the brightest that is shown, in stops above white: 0, or a display's headroom.
        """
        knee = max(KNEE - _KNEE_FALLS * max(top, 0.0), _LOWEST_KNEE)
        room, reach = ceiling - knee, top - knee
        bend = max(1 / room - 1 / reach, 0.0) if reach > room else 0.0
        high = max(top, ceiling) + 8
        self.stops = np.arange(_LOWEST, high, _STEP)
        x = np.maximum(self.stops - knee, 0)
        curve = np.minimum(self.stops, knee) + x / (1 + bend * x)
        pivot = min(middle, knee)
        share = np.clip((pivot - _SHADOWS[0] - self.stops) / (_SHADOWS[1] - _SHADOWS[0]), 0, 1)
        lift = (1 - _SHADOW_SLOPE) * share[::-1].cumsum()[::-1] * _STEP
        self.values = curve + lift

    def __call__(self, stops: np.ndarray | float) -> np.ndarray:
        """Any shape; float32."""
        return np.interp(stops, self.stops, self.values).astype(np.float32)
