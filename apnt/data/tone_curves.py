"""Tone curves of cameras: smooth, strictly increasing, from [0, 1] onto [0, 1]."""

from __future__ import annotations

import numpy as np

KNOTS = np.linspace(0.0, 1.0, 1025)
"""Display-referred levels at which a curve is given."""

_TERMS = 3


def tone_curve(rng: np.random.Generator, strength: float) -> np.ndarray:
    """Draw a smooth, strictly increasing curve from [0, 1] onto [0, 1].

    The logarithm of its slope is ``sum_k a_k * cos(pi * k * x)`` up to a constant, ``k`` from 1 to 3, with
    normal ``a_k`` of standard deviation ``strength / k``.

    Returns:
        (1025,) float64 values at evenly spaced display-referred levels.
    """
    log_slope = np.zeros_like(KNOTS)
    for k in range(1, _TERMS + 1):
        log_slope += rng.normal(0.0, strength / k) * np.cos(np.pi * k * KNOTS)
    slope = np.exp(log_slope)
    area = np.concatenate([[0.0], np.cumsum((slope[1:] + slope[:-1]) / 2)])
    return area / area[-1]


def apply_curve(image: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """Map values in [0, 1] of any shape through a curve of :func:`tone_curve`; float32."""
    return np.interp(image, KNOTS, curve).astype(np.float32)


def undo_curve(image: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """The inverse of :func:`apply_curve`."""
    return np.interp(image, curve, KNOTS).astype(np.float32)
