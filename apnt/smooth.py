"""A step without a corner, by which something sets in."""

from __future__ import annotations

import numpy as np


def smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between; of the shape and type of ``value``."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)
