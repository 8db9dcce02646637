"""The curve that explains pairs of values: robust maximum a posteriori, by Gauss-Newton steps.

For two values ``a`` (shorter) and ``b`` (longer exposure) of the same light in channel ``c``

    f_c(b) - f_c(a) = log(t_b / t_a) + q_bc - q_ac,    f_c = log linear light, q = log gains

with the prior of :mod:`apnt.prepare.prior` on each channel's curve, channels alike, and gains near 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from apnt.camera import GAMMA
from apnt.prepare.blocks import Pairs
from apnt.prepare.prior import LEVELS, TERMS, camera_prior

EXPOSURE_ERROR = 0.01
"""Standard deviation of a frame's log gain before any data: shutters are not exact, nor are their numbers."""


class Assumption(NamedTuple):
    """What is expected of the channels before any data.

    Attributes:
        alike: correlation of the curves' coefficients of two channels.
        balance_error: standard deviation of one channel's log gain, beside that of its frame.
    """

    alike: float
    balance_error: float


OWN_CURVES = Assumption(alike=0.98, balance_error=0.005)
"""Channels have curves of their own, and the white balance is the same in all frames."""

OWN_BALANCE = Assumption(alike=0.999, balance_error=0.1)
"""Channels have one curve, nearly, and the white balance follows the scene."""

ONE_CURVE = Assumption(alike=0.9995, balance_error=0.005)
"""A camera that mixes colours has one curve for what comes out of it."""

_VALUE_ERROR = 0.3 / 255  # of a block's mean: rounding and JPEG
_EDGE_ERROR = 0.4  # of a block's mean, relative to its standard deviation: misalignment
_LOG_ERROR = 0.01  # of any pair: what else differs between frames
_GROUP_SIZE = 3.0  # pairs of a group err together: all of them count as much as this many
_STEPS = (
    1e9,
    1e9,
    1e9,
    8.0,
    8.0,
    6.0,
    4.0,
    3.0,
    3.0,
    3.0,
    3.0,
    3.0,
    3.0,
)  # where robust weights fall, in sigmas
_HALVINGS = 6  # of a step that makes it worse
_SIZE = 3 * TERMS
_AGREES = 0.25  # weight from which a pair agrees
_FIXED_GAINS = 4  # steps in which exposures count as exact, so that outliers are not taken for gains


class Place(NamedTuple):
    """Where values lie: (R,) the level below, and how far on the way to the next one."""

    below: np.ndarray
    share: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Place:
        """The places of (R,) values in [0, 1]."""
        position = values * (LEVELS - 1)
        below = np.minimum(position.astype(int), LEVELS - 2)
        return cls(below, position - below)


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

    def at(self, place: Place) -> tuple[np.ndarray, np.ndarray]:
        """Log light and its derivative in the value: both (R,)."""
        low, high = self.table[place.below], self.table[place.below + 1]
        light = low + (high - low) * place.share
        return GAMMA * np.log(light), GAMMA * (LEVELS - 1) * (high - low) / light

    def derivatives(self, place: Place) -> np.ndarray:
        """Of the log light in the coefficients: (R, TERMS)."""
        low, high = self.jacobian[place.below], self.jacobian[place.below + 1]
        light = self.table[place.below] * (1 - place.share) + self.table[place.below + 1] * place.share
        return GAMMA * (low + (high - low) * place.share[:, None]) / light[:, None]


class Fit(NamedTuple):
    """Curves and gains, and how well they explain the pairs.

    Attributes:
        curves: of red, green and blue.
        gains: (N, 3) log gains.
        covariance: (3 * TERMS, 3 * TERMS) of the coefficients, channel by channel.
        weights: (R,) robust weights of the pairs, from 0 (contradicts the others) to 1.
        residuals: (R,) log light of the longer frame, less what the shorter one says.
        agreement: share of the pairs of one place that agree, within three sigmas.
        cost: twice the negative log posterior, a constant aside: fits of the same pairs compare by it.
    """

    curves: tuple[Curve, Curve, Curve]
    gains: np.ndarray
    covariance: np.ndarray
    weights: np.ndarray
    residuals: np.ndarray
    agreement: float
    cost: float


def fit_curves(
    pairs: Pairs,
    times: np.ndarray,
    exposure_error: float | np.ndarray = EXPOSURE_ERROR,
    assumption: Assumption = OWN_CURVES,
    table: np.ndarray | None = None,
) -> Fit:
    """Fit curves and gains.

    Args:
        pairs: of values.
        times: (N,) relative exposure times.
        exposure_error: standard deviation of the log gain of a frame before any data, or (N,) of each.
        assumption: about the channels.
        table: (LEVELS,) or (3, LEVELS) ``light ** (1 / 2.2)`` of known curves: only gains are fitted then.
    """
    count = len(times)
    known = None
    if table is not None:
        red, green, blue = (
            Curve(own, np.zeros((LEVELS, TERMS))) for own in np.broadcast_to(table, (3, LEVELS))
        )
        known = red, green, blue
    data = [_Data.of(pairs, times, channel) for channel in range(3)]
    share = group_share(pairs)
    precision = _prior_precision(count, exposure_error, assumption)
    state = np.zeros(len(precision))
    for number, reach in enumerate(_STEPS):
        curves, gains = _unpacked(state, known)
        residuals, sigma = _residuals(data, curves, gains)
        weights = robust_weights(residuals / sigma, reach) * share / sigma**2
        normal, gradient = _normal_equations(data, curves, residuals, weights, count)
        if number < _FIXED_GAINS:
            normal[_SIZE:] = normal[:, _SIZE:] = gradient[_SIZE:] = 0
        step = np.linalg.solve(normal + precision, -gradient - precision @ state)

        def cost(state: np.ndarray) -> float:
            found = _residuals(data, *_unpacked(state, known))[0]
            return float(weights @ found**2 + state @ precision @ state)  # noqa: B023

        state = _descended(state, step, cost)
    covariance = np.linalg.inv(normal + precision)
    curves, gains = _unpacked(state, known)
    residuals, sigma = _residuals(data, curves, gains)
    weights = robust_weights(residuals / sigma, _STEPS[-1])
    judged = weights[pairs.ranked == pairs.ranked.all()]
    agreement = float((judged > _AGREES).mean())
    far = np.sqrt(weights) * (residuals / sigma) ** 2  # what Geman and McClure's weights are the slope of
    total = float((share * far).sum() + state @ precision @ state)
    return Fit(curves, gains, covariance[:_SIZE, :_SIZE], weights, residuals, agreement, total)


def _prior_precision(count: int, exposure_error: float | np.ndarray, assumption: Assumption) -> np.ndarray:
    """Inverse covariance of all unknowns before data."""
    alike = assumption.alike + (1 - assumption.alike) * np.eye(3)
    precision = np.zeros((_SIZE + 3 * count,) * 2)
    precision[:_SIZE, :_SIZE] = np.kron(np.linalg.inv(alike), np.eye(TERMS))
    balance = assumption.balance_error**2 * (np.eye(3) - 1 / 3)
    # All powers of a curve fit as well, given exposures of that power: gains have to be tight.
    for k, error in enumerate(np.broadcast_to(exposure_error, count)):
        own = slice(_SIZE + 3 * k, _SIZE + 3 * k + 3)
        precision[own, own] = np.linalg.inv(error**2 + balance)
    return precision


def _descended(state: np.ndarray, step: np.ndarray, cost: Callable[[np.ndarray], float]) -> np.ndarray:
    """The state after a step, shortened until it helps: far from the solution the model is not linear."""
    before = cost(state)
    for _ in range(_HALVINGS):
        if cost(state + step) < before:
            return state + step
        step = step / 2
    return state


def robust_weights(z: np.ndarray, reach: float) -> np.ndarray:
    """Geman-McClure weights of residuals in sigmas; with an endless reach those of least absolute values."""
    if reach > 1e6:
        return 1 / np.maximum(np.abs(z), 1.0)
    return 1 / (1 + (z / reach) ** 2) ** 2


def group_share(pairs: Pairs) -> np.ndarray:
    """(R,) how much each pair counts: pairs of a large group share what the group counts."""
    _, inverse, counts = np.unique(pairs.group, return_inverse=True, return_counts=True)
    return np.minimum(1.0, _GROUP_SIZE / counts)[inverse]


def _unpacked(
    state: np.ndarray, known: tuple[Curve, Curve, Curve] | None
) -> tuple[tuple[Curve, Curve, Curve], np.ndarray]:
    """Curves and gains of a vector of all unknowns."""
    gains = state[_SIZE:].reshape(-1, 3)
    if known is not None:
        return known, gains
    red, green, blue = (Curve.of(c) for c in state[:_SIZE].reshape(3, TERMS))
    return (red, green, blue), gains


class _Data(NamedTuple):
    """The pairs of one channel, as every step needs them; ``own`` are their positions among all pairs."""

    own: np.ndarray
    low: Place
    high: Place
    low_error: np.ndarray
    high_error: np.ndarray
    darker: np.ndarray
    brighter: np.ndarray
    log_ratio: np.ndarray

    @classmethod
    def of(cls, pairs: Pairs, times: np.ndarray, channel: int) -> _Data:
        own = np.flatnonzero(pairs.channel == channel)
        darker, brighter = pairs.darker[own], pairs.brighter[own]
        return cls(
            own,
            Place.of(pairs.low[own]),
            Place.of(pairs.high[own]),
            np.hypot(_VALUE_ERROR, _EDGE_ERROR * pairs.low_sigma[own]),
            np.hypot(_VALUE_ERROR, _EDGE_ERROR * pairs.high_sigma[own]),
            darker,
            brighter,
            np.log(times[brighter] / times[darker]),
        )


def _residuals(
    data: list[_Data], curves: tuple[Curve, Curve, Curve], gains: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals of all pairs and their expected standard deviation: both (R,)."""
    count = sum(len(d.own) for d in data)
    residuals, sigma = np.empty(count), np.empty(count)
    for channel, (d, curve) in enumerate(zip(data, curves, strict=True)):
        low, low_slope = curve.at(d.low)
        high, high_slope = curve.at(d.high)
        residuals[d.own] = high - low - d.log_ratio - gains[d.brighter, channel] + gains[d.darker, channel]
        variance = (low_slope * d.low_error) ** 2 + (high_slope * d.high_error) ** 2
        sigma[d.own] = np.sqrt(variance + _LOG_ERROR**2)
    return residuals, sigma


def _normal_equations(
    data: list[_Data],
    curves: tuple[Curve, Curve, Curve],
    residuals: np.ndarray,
    weights: np.ndarray,
    count: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Newton matrix and gradient in coefficients and gains, without the prior."""
    size = _SIZE + 3 * count
    normal, gradient = np.zeros((size, size)), np.zeros(size)
    for channel, (d, curve) in enumerate(zip(data, curves, strict=True)):
        design = np.zeros((len(d.own), TERMS + count))
        if curve.jacobian.any():  # it has none where it is known
            design[:, :TERMS] = curve.derivatives(d.high) - curve.derivatives(d.low)
        here = np.arange(len(design))
        design[here, TERMS + d.brighter] = -1
        design[here, TERMS + d.darker] = 1
        index = np.r_[channel * TERMS + np.arange(TERMS), _SIZE + 3 * np.arange(count) + channel]
        weighted = design * weights[d.own, None]
        normal[np.ix_(index, index)] += weighted.T @ design
        gradient[index] += weighted.T @ residuals[d.own]
    return normal, gradient
