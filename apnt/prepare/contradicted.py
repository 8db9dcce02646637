"""Exposures that do not fit each other: which frame's is wrong, and whether anything tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from apnt.prepare.blocks import Pairs
from apnt.prepare.expected import DOUBTFUL
from apnt.prepare.fit import Assumption, Fit, fit_curves
from apnt.prepare.named import difference

_CLEAR = 0.85  # share of the pairs that must agree before exposures are doubted
_ANY = 0.7  # standard deviation of the log gain of a frame whose exposure is taken to be wrong: a stop
_EXPLAINS = 20.0  # by which one wrong exposure must lower the cost; right ones change it by 4 at most
_LARGE = 0.07  # log gain, a tenth of a stop: shutters and their rounded numbers are as far off
_PART = 0.35  # of a wrong exposure that the frames show even against a fit that takes it to be right
_REST = 1 / 3  # of a wrong exposure that the other frames may differ by
# Of the cost, and of what the best gains: by so much an explanation may be worse than the best and be one.
_AS_GOOD = (12.0, 0.5)
_SURPRISING = 0.25  # stops by which no shutter is off: of three frames the prior over curves alone says it
_TRIED = 4  # frames of a bracket that are tried, those that the fit moved most


class Explanation(NamedTuple):
    """One frame whose exposure is wrong.

    Attributes:
        frame: which.
        stops: by which it is brighter than its exposure says.
        fit: with this frame's exposure left open.
        errors: (N,) standard deviations of the log gains that it was fitted with.
    """

    frame: int
    stops: float
    fit: Fit
    errors: np.ndarray


def explanations(
    pairs: Pairs, times: np.ndarray, fit: Fit, exposure_error: float, assumption: Assumption
) -> list[Explanation]:
    """Which single exposure may be wrong where the frames contradict their exposures.

    Of three frames a wrong exposure of one looks like half of it in another one, with a curve of another
    power; the prior over curves says which is likelier, and not always surely. Of two nothing tells.

    Args:
        pairs: of values of one bracket.
        times: (N,) of its frames.
        fit: where all exposures are taken to be right to ``exposure_error``.
        exposure_error, assumption: of this fit.

    Returns:
        Explanations, the likeliest first; none where exposures fit each other, or where too much moves.
    """
    moved = np.abs(fit.gains.mean(axis=1) - np.median(fit.gains))
    seen = float(np.ptp(fit.gains.mean(axis=1)))
    if len(times) < 3 or seen < _PART * _LARGE:
        return []
    # What moves and what only has the same rank contradicts itself, with exposures that are right.
    if pairs.ranked.any() or fit.agreement < _CLEAR:
        return []
    found = []
    for frame in np.argsort(moved)[::-1][:_TRIED]:
        errors = np.full(len(times), exposure_error)
        errors[frame] = _ANY
        tried = fit_curves(pairs, times, errors, assumption)
        own = tried.gains.mean(axis=1)
        others = np.delete(own, frame)
        log_gain = float(own[frame] - np.median(others))
        # One wrong exposure explains it all, and the frames showed it against a fit that took it for right.
        if np.ptp(others) < _REST * abs(log_gain) and _LARGE < abs(log_gain) < seen / _PART:
            found.append(Explanation(int(frame), log_gain / np.log(2), tried, errors))
    if not found:
        return []
    found.sort(key=lambda each: (abs(each.stops) > 1, each.fit.cost))
    best, gained = found[0], fit.cost - found[0].fit.cost
    if gained < _EXPLAINS:
        return []
    return [each for each in found if each.fit.cost < best.fit.cost + max(_AS_GOOD[0], _AS_GOOD[1] * gained)]


def spread(found: list[Explanation]) -> float:
    """The largest median relative difference of light between the likeliest explanation and the others."""
    table = np.stack([curve.table for curve in found[0].fit.curves])
    return max((difference(each.fit, table) for each in found[1:]), default=0.0)


def which_is_wrong(wrong: Sequence[tuple[int, float]], error: float, names: Sequence[str]) -> str | None:
    """The sentence to exposures that do not fit each other, where nothing tells surely which is wrong.

    Args:
        wrong: frames and the stops by which each is brighter than its exposure says, the likeliest first.
        error: expected relative error of the light.
        names: of the frames.

    Returns:
        None where one explanation is left and surprises nobody, or where all of them mean the same light.
    """
    if len(wrong) == 1 and len(names) == 3 and abs(wrong[0][1]) > _SURPRISING:
        frame, stops = wrong[0]
        return (
            f"{names[frame]} is taken to be {abs(stops):.2f} stops {brighter_or_darker(stops)} than its "
            "exposure says, because three frames fit a camera's curve better so. If its exposure is right, "
            "the light changed between the frames, and what is found of it may be far off: insist on the "
            "exposures with --trust-exposures, or give the --curve."
        )
    if len(wrong) < 2 or error <= DOUBTFUL:
        return None
    ways = [
        f"{names[frame]} is {abs(stops):.2f} stops {brighter_or_darker(stops)} than its exposure says"
        for frame, stops in wrong
    ]
    return (
        "The exposures do not fit each other, and the pixels hardly tell which is wrong: "
        f"{', or '.join(ways)}. The first is taken, and light may be off by {error:.0%}: correct the "
        "exposure that is wrong."
    )


def brighter_or_darker(stops: float) -> str:
    """The word for a difference."""
    return "brighter" if stops > 0 else "darker"
