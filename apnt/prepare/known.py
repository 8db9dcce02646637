"""Whether the frames agree with a curve that their files or a user state, and with which exposures."""

from __future__ import annotations

import numpy as np

from apnt.camera import GAMMA
from apnt.prepare.blocks import Pairs
from apnt.prepare.fit import OWN_BALANCE, OWN_CURVES, Fit, fit_curves
from apnt.prepare.named import RANGE, misfit
from apnt.prepare.prior import LEVELS
from apnt.prepare.response import Response

_AGREES = 0.85  # share of the pairs that a curve has to explain
_MISFIT = 0.02  # log light by which it may miss the groups
BALANCED = 0.03
"""Log gain of a channel beside its frame's from which the white balance must have changed."""

_FAR = 2.0  # standard deviation of the log gains where exposures may be wrong by stops
_OFF = 0.17  # log gain, a quarter of a stop, by which more than one frame must be off to doubt the curve


def fit_known(known: Response, pairs: Pairs, times: np.ndarray, exposure_error: float) -> Fit | None:
    """Gains of the frames with a curve that is said to be known; None where it does not explain the pairs.

    Exposures are taken to be right to ``exposure_error`` at first, and to be wrong by stops where the curve
    explains the pairs only then: with a curve that is known the pixels say by how much.

    Args:
        known: the curve.
        pairs: of values of one place, not of equal rank.
        times: (N,) relative exposure times.
        exposure_error: standard deviation of their relative errors.
    """
    levels = np.repeat(np.linspace(0, 1, LEVELS, dtype=np.float32)[:, None], 3, axis=1)
    table = known.linear(levels).astype(np.float64).T ** (1 / GAMMA)
    for error in (exposure_error, _FAR):
        fit = fit_curves(pairs, times, error, OWN_CURVES, table)
        if imbalance(fit.gains - fit.gains[len(times) // 2]) > BALANCED:
            fit = fit_curves(pairs, times, error, OWN_BALANCE, table)
        if fit.agreement >= _AGREES and misfit(pairs, fit)[0] <= _MISFIT:
            return fit
    return None


def imbalance(gains: np.ndarray) -> float:
    """The largest log gain of a channel beside that of its frame, of (N, 3) relative to one frame's."""
    return float(np.abs(gains - gains.mean(axis=1, keepdims=True)).max())


def all_differ(gains: np.ndarray) -> bool:
    """Whether the exposures of more than one frame differ from what (N, 3) log gains say.

    So they do where the curve is another one: frames that are brighter than their exposures by a part of
    their own stops fit a curve of another power.
    """
    own = gains.mean(axis=1)
    rest = [float(np.ptp(np.delete(own, k))) for k in range(len(own))]
    return len(own) > 2 and min(rest) > _OFF


def light_apart(known: Response, measured: Response) -> float:
    """Median relative difference of the light of two curves, a factor aside."""
    levels = np.repeat(np.linspace(0, 1, LEVELS, dtype=np.float32)[1:, None], 3, axis=1)
    said, found = known.linear(levels), measured.linear(levels)
    inside = (found >= RANGE[0]) & (found <= RANGE[1]) & (said > 0)
    ratio = np.log(said[inside] / found[inside])
    return float(np.median(np.abs(ratio - np.median(ratio)))) if len(ratio) else 0.0
