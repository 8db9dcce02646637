"""How well a fitted curve is known."""

from __future__ import annotations

import numpy as np

from apnt.camera import GAMMA
from apnt.prepare.blocks import Pairs
from apnt.prepare.fit import Fit
from apnt.prepare.named import RANGE
from apnt.prepare.prior import TERMS

DOUBTFUL = 0.05
"""Expected relative error of light from which a warning says it."""

_SUPPORT = 10  # pairs beyond the lowest and the highest covered level
# Growth of the expected errors with the share of pairs that contradict the curve, by benchmarks/response.py.
_DISAGREEMENT = 8.0
_ONE = 1.0  # expected error of one pair; where few blocks are flat, those few are often not what they seem
_MEDIAN = 0.6745  # median of the absolute value of a standard normal variable


def expected_errors(fit: Fit) -> tuple[float, float]:
    """Expected relative error of the light over the stated range, and of the factor that is common to it."""
    rows = []
    for channel, curve in enumerate(fit.curves):
        light = curve.table**GAMMA
        inside = np.flatnonzero((light >= RANGE[0]) & (light <= RANGE[1]))[::4]
        own = np.zeros((len(inside), 3 * TERMS))
        columns = slice(channel * TERMS, (channel + 1) * TERMS)
        own[:, columns] = GAMMA * curve.jacobian[inside] / curve.table[inside, None]
        rows.append(own)
    jacobian = np.concatenate(rows)
    common = jacobian.mean(axis=0)
    rest = jacobian - common
    deviation = np.sqrt(np.einsum("ij,jk,ik->i", rest, fit.covariance, rest))
    # The posterior takes the errors of groups for independent, and what moves or is shifted is not.
    factor = _MEDIAN * (1 + _DISAGREEMENT * max(0.0, 0.98 - fit.agreement))
    few = _ONE / np.sqrt(len(fit.weights))
    expected = factor * np.median(deviation), factor * np.sqrt(common @ fit.covariance @ common)
    return float(np.hypot(expected[0], few)), float(np.hypot(expected[1], few))


def supported_levels(pairs: Pairs, fit: Fit) -> np.ndarray:
    """(3, 2) lowest and highest value of pairs that agree, a few beyond them set aside."""
    levels = np.full((3, 2), np.nan)
    for channel in range(3):
        own = (pairs.channel == channel) & (fit.weights > 0.25)
        if own.sum() > 2 * _SUPPORT:
            levels[channel] = np.sort(pairs.low[own])[_SUPPORT], np.sort(pairs.high[own])[-1 - _SUPPORT]
    return levels


def doubt(levels: np.ndarray, error: float) -> str | None:
    """The sentence to an estimate that little supports."""
    if np.isnan(levels).any():
        return (
            "One colour channel has too few well exposed places: its curve is taken to be as the others', "
            f"and linear values are expected to be off by {error:.0%}."
        )
    if error > DOUBTFUL:
        return f"The curve is supported by little, and linear values are expected to be off by {error:.0%}."
    return None
