"""Which response curves cameras have: a mean and the main directions of variation, before any data.

A curve is described by the logarithm of its slope in the unit ``light ** (1 / 2.2)``: any such function gives
an increasing curve from 0 to 1, and gamma 2.2 is the function 0.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from apnt.camera import GAMMA
from apnt.prepare.response import NAMED, named_light

LEVELS = 256
"""Evenly spaced values at which curves are tabulated; those of 8-bit files are among them."""

TERMS = 20
"""Directions of variation that are kept."""

TABLE = Path(__file__).with_name("camera_prior.npy")
"""What :func:`made_prior` gives: 3000 curves take longer to draw than photographs to read."""

_CURVES = 3000
_FINE = np.linspace(0.0, 1.0, 4097)
_SMOOTH = ((0.15, 0.30), (0.06, 0.10))  # (standard deviation of the log slope, correlation length in values)
_DARK = (1.0, 0.02)  # the same next to black, where curves differ most; falls off with this length


class Prior(NamedTuple):
    """Log slopes of camera curves, Gaussian: ``mean + basis @ coefficients``, standard normal coefficients.

    Attributes:
        mean: (LEVELS - 1,) log slope between neighbouring levels.
        basis: (LEVELS - 1, TERMS).
    """

    mean: np.ndarray
    basis: np.ndarray


@cache
def camera_prior() -> Prior:
    """The prior, read from :data:`TABLE`."""
    table = np.load(TABLE)  # (LEVELS - 1, 1 + TERMS)
    return Prior(np.ascontiguousarray(table[:, 0]), np.asfortranarray(table[:, 1:]))


def made_prior() -> Prior:
    """The prior, made: the family of :func:`camera_curves`, and any smooth deviation from it."""
    slopes = log_slopes(camera_curves(_CURVES, np.random.default_rng(0)))
    mean = slopes.mean(axis=0)
    middle = (np.arange(LEVELS - 1) + 0.5) / (LEVELS - 1)
    distance = middle[:, None] - middle
    covariance = np.cov(slopes, rowvar=False)
    for deviation, length in _SMOOTH:
        covariance += deviation**2 * np.exp(-0.5 * (distance / length) ** 2)
    dark = _DARK[0] * np.exp(-middle / _DARK[1])
    covariance += np.outer(dark, dark)
    # A constant log slope changes nothing, because curves end at 1.
    centre = np.eye(LEVELS - 1) - 1 / (LEVELS - 1)
    values, vectors = np.linalg.eigh(centre @ covariance @ centre)
    largest = np.argsort(values)[::-1][:TERMS]
    return Prior(mean, vectors[:, largest] * np.sqrt(values[largest]))


def camera_curves(count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw response curves as cameras have them.

    A base curve (gamma 1.8 to 2.6, sRGB or BT.709), on it a contrast curve (an S of any strength), a shoulder
    and a toe: what raw developers offer, in any combination.

    Returns:
        (count, LEVELS) ``light ** (1 / 2.2)`` at evenly spaced values, from 0 to 1.
    """
    bases = [_FINE ** (g / GAMMA) for g in np.linspace(1.8, 2.6, 9)]
    # In float64: processors differ in the last bit of a float32 power, which slopes between levels enlarge.
    bases += [named_light(name, _FINE) ** (1 / GAMMA) for name in ("srgb", "bt709")]
    weights = np.array([1.0] * 9 + [3.0, 2.0])
    curves = np.empty((count, LEVELS))
    levels = np.linspace(0.0, 1.0, LEVELS)
    for n in range(count):
        base = bases[rng.choice(len(bases), p=weights / weights.sum())]
        tone = _tone(rng)  # value over base value
        curves[n] = np.interp(np.interp(levels, tone, _FINE), _FINE, base)
    return curves


def _tone(rng: np.random.Generator) -> np.ndarray:
    """An increasing curve from 0 to 1 at ``_FINE``: contrast, shoulder and toe."""
    value = _FINE
    strength, pivot = abs(rng.normal(0.0, 3.0)), rng.uniform(0.25, 0.65)
    if strength > 0.1:
        logistic = 1 / (1 + np.exp(-strength * (value - pivot)))
        value = (logistic - logistic[0]) / (logistic[-1] - logistic[0])
    shoulder = abs(rng.normal(0.0, 1.0))
    if shoulder > 0.05:
        value = -np.expm1(-shoulder * value) / -np.expm1(-shoulder)
    toe = rng.normal(0.0, 0.15)
    value = value * (1 + toe * np.exp(-value / 0.15)) / (1 + toe * np.exp(-1 / 0.15))
    black = abs(rng.normal(0.0, 0.03))  # darker than this is cut to 0
    return np.maximum(value - black, 0.0) / (1 - black)


def log_slopes(curves: np.ndarray) -> np.ndarray:
    """(..., LEVELS) curves to (..., LEVELS - 1) log slopes; no slope is taken to be below a thousandth."""
    return np.log(np.maximum(np.diff(curves, axis=-1) * (curves.shape[-1] - 1), 1e-3))


def named_table(name: str) -> np.ndarray:
    """(LEVELS,) the named response in the unit of the tables."""
    assert name in NAMED
    return named_light(name, np.linspace(0.0, 1.0, LEVELS)) ** (1 / GAMMA)


if __name__ == "__main__":  # python -m apnt.prepare.prior, after a change of the family
    prior = made_prior()
    np.save(TABLE, np.column_stack([prior.mean, prior.basis]))
