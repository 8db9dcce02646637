"""Tone curves of cameras: smooth, strictly increasing, from [0, 1] onto [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

KNOTS = np.linspace(0.0, 1.0, 1025)
"""Display-referred levels at which a curve is given."""

_TERMS = 3


def curve_of(waves: Sequence[float]) -> np.ndarray:
    """The curve whose slope's logarithm is ``sum_k waves[k - 1] * cos(pi * k * x)`` up to a constant.

    Returns:
        (1025,) float64 values at evenly spaced display-referred levels.
    """
    log_slope = np.zeros_like(KNOTS)
    for k, amplitude in enumerate(waves, 1):
        log_slope += amplitude * np.cos(np.pi * k * KNOTS)
    slope = np.exp(log_slope)
    area = np.concatenate([[0.0], np.cumsum((slope[1:] + slope[:-1]) / 2)])
    return np.asarray(area / area[-1])


def tone_curve(rng: np.random.Generator, strength: float) -> np.ndarray:
    """Draw a curve: :func:`curve_of` normal amplitudes, the k-th of deviation ``strength / k``."""
    return curve_of([rng.normal(0.0, strength / k) for k in range(1, _TERMS + 1)])


def apply_curve(image: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """Map values in [0, 1] of any shape through a curve of :func:`tone_curve`; float32."""
    return np.interp(image, KNOTS, curve).astype(np.float32)


def undo_curve(image: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """The inverse of :func:`apply_curve`."""
    return np.interp(image, curve, KNOTS).astype(np.float32)
