"""One value for all channels of a pixel."""

from __future__ import annotations

from functools import reduce

import numpy as np


def across(combine: np.ufunc, pixels: np.ndarray) -> np.ndarray:
    """(..., C) to (...): ``combine.reduce(pixels, axis=-1)``, which takes NumPy thirty times as long."""
    return np.asarray(reduce(combine, np.moveaxis(pixels, -1, 0)))
