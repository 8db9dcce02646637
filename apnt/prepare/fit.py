"""The curve that explains pairs of values: robust maximum a posteriori, by Gauss-Newton steps.

For two values ``a`` (shorter) and ``b`` (longer exposure) of the same light in channel ``c``

    f_c(b) - f_c(a) = log(t_b / t_a) + q_bc - q_ac,    f_c = log linear light, q = log gains

with the prior of :mod:`apnt.prepare.prior` on each channel's curve, channels alike, and gains near 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from apnt.camera import GAMMA
from apnt.prepare.blocks import Pairs
from apnt.prepare.prior import LEVELS, TERMS, camera_prior

EXPOSURE_ERROR = 0.01
"""Standard deviation of a frame's log gain before any data: shutters are not exact, nor are their numbers."""

BALANCE_ERROR = 0.005
"""The same of one channel's log gain beside that: a white balance that follows the scene."""

ALIKE = 0.95
"""Correlation of the coefficients of two channels before any data."""

_TAILS = 20.0  # degrees of freedom of gains: a frame may well be far off, most are not
_VALUE_ERROR = 0.3 / 255  # of a block's mean: rounding and JPEG
_EDGE_ERROR = 0.4  # of a block's mean, relative to its standard deviation: misalignment
_LOG_ERROR = 0.01  # of any pair: what else differs between frames
_GROUP_SIZE = 3.0  # pairs of a group err together: all of them count as much as this many
_STEPS = (1e9, 1e9, 8.0, 6.0, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0)  # where robust weights fall, in sigmas
_FIXED_GAINS = 4  # steps in which exposures count as exact, so that outliers are not taken for gains


class Curve(NamedTuple):
    """One channel's curve and its derivatives at the levels: (LEVELS,) and (LEVELS, TERMS)."""

    table: np.ndarray
    jacobian: np.ndarray

    @classmethod
    def of(cls, coefficients: np.ndarray) -> Curve:
        """The curve with these (TERMS,) coefficients of the prior's basis."""
        prior = camera_prior()
        slope = np.exp(prior.mean + prior.basis @ coefficients)
        rise = np.concatenate([[0.0], np.cumsum(slope)])
        change = np.concatenate([np.zeros((1, TERMS)), np.cumsum(slope[:, None] * prior.basis, axis=0)])
        table = rise / rise[-1]
        return cls(table, (change - table[:, None] * change[-1]) / rise[-1])

    def at(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Log light, its derivative in the value, and those in the coefficients: (R,), (R,), (R, TERMS)."""
        position = values * (LEVELS - 1)
        index = np.minimum(position.astype(int), LEVELS - 2)
        share = position - index
        light = self.table[index] * (1 - share) + self.table[index + 1] * share
        slope = (self.table[index + 1] - self.table[index]) * (LEVELS - 1)
        jacobian = self.jacobian[index] * (1 - share)[:, None] + self.jacobian[index + 1] * share[:, None]
        return GAMMA * np.log(light), GAMMA * slope / light, GAMMA * jacobian / light[:, None]


class Fit(NamedTuple):
    """Curves and gains, and how well they explain the pairs.

    Attributes:
        curves: of red, green and blue.
        gains: (N, 3) log gains.
        covariance: (3 * TERMS, 3 * TERMS) of the coefficients, channel by channel.
        weights: (R,) robust weights of the pairs, from 0 (contradicts the others) to 1.
        residuals: (R,) log light of the longer frame, less what the shorter one says.
    """

    curves: tuple[Curve, Curve, Curve]
    gains: np.ndarray
    covariance: np.ndarray
    weights: np.ndarray
    residuals: np.ndarray


def fit_curves(
    pairs: Pairs,
    times: np.ndarray,
    exposure_error: float = EXPOSURE_ERROR,
    balance_error: float = BALANCE_ERROR,
    table: np.ndarray | None = None,
) -> Fit:
    """Fit curves and gains.

    Args:
        pairs: of values.
        times: (N,) relative exposure times.
        exposure_error, balance_error: as the constants of that name.
        table: (LEVELS,) ``light ** (1 / 2.2)`` of a known curve, the same for all channels: only gains are
            fitted then.
    """
    count, size = len(times), 3 * TERMS
    known = None if table is None else Curve(table, np.zeros((LEVELS, TERMS)))
    log_ratio = np.log(times[pairs.long] / times[pairs.short])
    share = group_share(pairs)
    # Seen from all frames alike: gains are errors of each, none of which is exact.
    alike = np.linalg.inv(np.full((3, 3), exposure_error**2) + balance_error**2 * np.eye(3))
    state = np.zeros(size + 3 * count)
    precision = np.zeros((len(state),) * 2)
    precision[:size, :size] = np.kron(
        np.linalg.inv(np.full((3, 3), ALIKE) + (1 - ALIKE) * np.eye(3)), np.eye(TERMS)
    )
    for number, reach in enumerate(_STEPS):
        curves, gains = _unpacked(state, known)
        residuals, sigma, rows = _linearised(pairs, curves, gains, log_ratio)
        weights = robust_weights(residuals / sigma, reach)
        normal, gradient = _normal_equations(pairs, rows, residuals, weights * share / sigma**2, count)
        if number < _FIXED_GAINS:
            normal[size:] = normal[:, size:] = gradient[size:] = 0
        odd = np.einsum("kc,cd,kd->k", gains, alike, gains)
        precision[size:, size:] = np.kron(np.diag((_TAILS + 3) / (_TAILS + odd)), alike)
        step = np.linalg.solve(normal + precision, -gradient - precision @ state)
        # A long step leaves the region where the model is nearly linear.
        state += step * min(1.0, 4.0 / max(np.abs(step[:size]).max(), 1e-9))
    covariance = np.linalg.inv(normal + precision)[:size, :size]
    curves, gains = _unpacked(state, known)
    residuals, sigma, _ = _linearised(pairs, curves, gains, log_ratio)
    return Fit(curves, gains, covariance, robust_weights(residuals / sigma, _STEPS[-1]), residuals)


def robust_weights(z: np.ndarray, reach: float) -> np.ndarray:
    """Geman-McClure weights of residuals in sigmas; with an endless reach those of least absolute values."""
    if reach > 1e6:
        return 1 / np.maximum(np.abs(z), 1.0)
    return 1 / (1 + (z / reach) ** 2) ** 2


def group_share(pairs: Pairs) -> np.ndarray:
    """(R,) how much each pair counts: pairs of a large group share what the group counts."""
    _, inverse, counts = np.unique(pairs.group, return_inverse=True, return_counts=True)
    return np.minimum(1.0, _GROUP_SIZE / counts)[inverse]


def _unpacked(state: np.ndarray, known: Curve | None) -> tuple[tuple[Curve, Curve, Curve], np.ndarray]:
    """Curves and gains of a vector of all unknowns."""
    red, green, blue = (known or Curve.of(c) for c in state[: 3 * TERMS].reshape(3, TERMS))
    return (red, green, blue), state[3 * TERMS :].reshape(-1, 3)


def _linearised(
    pairs: Pairs, curves: tuple[Curve, Curve, Curve], gains: np.ndarray, log_ratio: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Residuals (R,), their sigmas (R,) and their derivatives in the channel's coefficients (R, TERMS)."""
    residuals, sigma, rows = np.empty(len(pairs)), np.empty(len(pairs)), np.empty((len(pairs), TERMS))
    for channel, curve in enumerate(curves):
        own = pairs.channel == channel
        low, low_slope, low_rows = curve.at(pairs.low[own])
        high, high_slope, high_rows = curve.at(pairs.high[own])
        gain = gains[pairs.long[own], channel] - gains[pairs.short[own], channel]
        residuals[own] = high - low - log_ratio[own] - gain
        variance = (low_slope * _value_error(pairs.low_sigma[own])) ** 2
        variance += (high_slope * _value_error(pairs.high_sigma[own])) ** 2
        sigma[own] = np.sqrt(variance + _LOG_ERROR**2)
        rows[own] = high_rows - low_rows
    return residuals, sigma, rows


def _value_error(sigma: np.ndarray) -> np.ndarray:
    return np.hypot(_VALUE_ERROR, _EDGE_ERROR * sigma)


def _normal_equations(
    pairs: Pairs, rows: np.ndarray, residuals: np.ndarray, weights: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Newton matrix and gradient in coefficients and gains, without the prior."""
    size = 3 * TERMS + 3 * count
    normal, gradient = np.zeros((size, size)), np.zeros(size)
    for channel in range(3):
        own = pairs.channel == channel
        design = np.zeros((int(own.sum()), TERMS + count))
        design[:, :TERMS] = rows[own]
        here = np.arange(len(design))
        design[here, TERMS + pairs.long[own]] = -1
        design[here, TERMS + pairs.short[own]] = 1
        index = np.r_[channel * TERMS + np.arange(TERMS), 3 * TERMS + 3 * np.arange(count) + channel]
        weighted = design * weights[own, None]
        normal[np.ix_(index, index)] += weighted.T @ design
        gradient[index] += weighted.T @ residuals[own]
    return normal, gradient
