"""The response of the camera that took a bracket, estimated from the bracket."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from apnt.camera import GAMMA
from apnt.errors import InputError
from apnt.io.exposure import MAX_FRAMES
from apnt.prepare.blocks import BINS, Pairs, find_pairs, joined, of_brackets
from apnt.prepare.fit import (
    EXPOSURE_ERROR,
    ONE_CURVE,
    OWN_BALANCE,
    OWN_CURVES,
    Assumption,
    Fit,
    fit_curves,
    group_share,
)
from apnt.prepare.prior import LEVELS, TERMS, named_table
from apnt.prepare.quantiles import quantile_pairs
from apnt.prepare.response import NAMED, Response

_FEWEST = 60.0  # pairs, those of a group counting as three at most: less says little about three curves
_LEAST_LEVELS = 4  # steps of brightness, of 48, between which one pair of frames ties light: less is no curve
_FEW = 200.0  # flat pairs, those of a group counting as three at most, beside which ranks say nothing new
# Share of the pairs of all colours below which colours may contradict each other between frames; greys have
# to agree better by so much, and to be so many, to tell the curve alone.
_MIXED, _GREYS_AGREE, _FEWEST_GREYS = 0.85, 0.03, 30
_LEAST_AGREEMENT = 0.25  # share of the pairs that fit one curve: below, frames contradict each other
_EXCUSED = 2.5  # a named curve may need gains that are this much larger than the free one's
# By this part more, at most by so much, and this beside, a named curve may miss the groups than the free one.
_ACCEPTED = (0.35, 0.01, 0.005)
_BALANCED = 0.03  # log gain of a channel beside its frame's from which the white balance must have changed
_NAMED_FAR = 0.1  # median relative difference between a named curve and the free one
_FEWER_AGREE = 0.05  # share of the pairs that may contradict a named curve and not the free one
_GAIN_TOLERANCE = 0.06  # smaller log gains beside a named curve are noise: on val-v1, whose are 0, up to 0.05
_ODD_CHANNEL = 0.25  # log light; channels that are further apart at mid-grey differ by how they clip
_MIDDLE = slice(51, 205)  # levels 0.2 to 0.8: where grey is to stay grey
_KNEE = 247  # level from which a curve may be bent so that grey stays grey
_SUPPORT = 10  # pairs beyond the lowest and the highest covered level
_RANGE = (0.02, 0.9)  # of linear light: where the expected error is stated
# Growth of the expected errors with the share of pairs that contradict the curve, by benchmarks/response.py.
_DISAGREEMENT = 8.0
_ONE = 1.0  # expected error of one pair; where few blocks are flat, those few are often not what they seem
_MEDIAN = 0.6745  # median of the absolute value of a standard normal variable
_UNKNOWN_ERROR = 0.35  # of gamma 2.2 as the light of the prior's cameras, where nothing is known


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a bracket says about the response of its camera.

    Attributes:
        response: the curves, for all frames.
        gains: (N, 3) float64: frame k recorded ``gains[k]`` times the light that its exposure time says, so
            radiance is ``response.linear(ldr[k]) / (times[k] * gains[k])``; the middle frame's are 1.
        error: expected relative error of the linear values: half of the levels from 2 % to 90 % of the linear
            range are expected to be off by less, a factor that all frames and channels share set aside.
        scale_error: expected relative error of that factor: of where 1 is. It changes no radiance relative to
            another.
        levels: (3, 2) lowest and highest display-referred value of red, green and blue that pairs support;
            outside, the curve is what cameras usually have. NaN where there is no support.
        pairs: how many pairs of values were found, of blocks that are flat and usable in two frames.
        agreement: share of the pairs that agree with the response; moving objects and shifts do not.
        note: a sentence, where the response is assumed and not estimated, or supported by little; else None.
    """

    response: Response
    gains: np.ndarray
    error: float
    scale_error: float
    levels: np.ndarray
    pairs: int
    agreement: float
    note: str | None = None


def estimate_response(
    ldr: np.ndarray,
    times: np.ndarray,
    valid: np.ndarray | None = None,
    exposure_error: float = EXPOSURE_ERROR,
    pairs: Pairs | None = None,
) -> Estimate:
    """Estimate which linear light the values of a bracket stand for, per channel.

    Blocks that are flat in two frames give pairs of values of the same light, whose ratio is that of the
    exposures (Debevec and Malik 1997). Three frames leave a family of curves open, of which a prior over
    camera curves chooses (as Grossberg and Nayar 2004 do); motion, misalignment and saturation are rejected
    robustly. Where a named curve explains the pairs as well, it is taken, exactly.

    Args:
        ldr: (N, H, W, 3) float32, display-referred in [0, 1], by ascending exposure, N from 2 to 15.
        times: (N,) relative exposure times, above 0, ascending; errors of a few percent are estimated too.
        valid: (N, H, W) bool, False where a frame holds no data; None = all of it does.
        exposure_error: standard deviation of the relative errors of the times. The larger it is, the less the
            frames say: exposures that are off by a power fit a curve of that power as well.
        pairs: what :func:`apnt.prepare.blocks.find_pairs` finds, where that is known already.

    Raises:
        InputError: shapes that do not fit, values outside [0, 1], times that do not ascend, or an error that
            is not between 0 and 1.
    """
    times = _checked(ldr, times, valid)
    _check_error(exposure_error)
    return _estimate(*_evidence(ldr, times, valid, pairs), [times], exposure_error)


def estimate_camera(
    brackets: Iterable[tuple[np.ndarray, np.ndarray]], exposure_error: float = EXPOSURE_ERROR
) -> Estimate:
    """Estimate one response from several brackets of one camera, which together say more than each alone.

    Args:
        brackets: ``ldr`` and ``times`` of each, as for :func:`estimate_response`; one is held at a time.
        exposure_error: as for :func:`estimate_response`.

    Returns:
        The estimate, its gains those of all frames, bracket after bracket, each relative to its middle frame.

    Raises:
        InputError: no bracket, or one that :func:`estimate_response` would refuse.
    """
    _check_error(exposure_error)
    found, times = [], []
    for ldr, given in brackets:
        times.append(_checked(ldr, given, None))
        found.append(_evidence(ldr, times[-1], None))
    if not found:
        raise InputError("brackets must be at least one, got none")
    counts = [len(t) for t in times]
    coloured, neutral = (of_brackets(list(pairs), counts) for pairs in zip(*found, strict=True))
    return _estimate(coloured, neutral, times, exposure_error)


def _evidence(
    ldr: np.ndarray, times: np.ndarray, valid: np.ndarray | None, flat: Pairs | None = None
) -> tuple[Pairs, Pairs]:
    """What a curve is to explain: pairs of all colours, and of greys alone; with ranks where they are few.

    ``flat`` is what :func:`find_pairs` finds, where that is known already.
    """
    flat = find_pairs(ldr, times, valid) if flat is None else flat
    neutral = flat.chosen(flat.neutral)
    few = [group_share(pairs).sum() < _FEW for pairs in (flat, neutral)]
    ranks = quantile_pairs(ldr, times, valid) if any(few) else joined([])
    return (
        joined([flat, ranks]) if few[0] else flat,
        joined([neutral, ranks]) if few[1] else neutral,
    )


def _levels_tied(pairs: Pairs) -> int:
    """Steps of brightness of the pair of frames that has most, median of the channels."""
    groups = np.unique(pairs.group)
    found = []
    for channel in range(3):
        frames = groups[groups // BINS % 3 == channel] // BINS
        found.append(np.unique(frames, return_counts=True)[1].max(initial=0))
    return int(np.median(found))


def _estimate(coloured: Pairs, neutral: Pairs, brackets: list[np.ndarray], exposure_error: float) -> Estimate:
    """The estimate from pairs of the frames of all brackets; ``brackets`` holds the times of each."""
    times = np.concatenate(brackets)
    pairs = coloured
    levels_tied = _levels_tied(pairs)
    if group_share(pairs).sum() < _FEWEST or levels_tied < _LEAST_LEVELS:
        return _assumed(
            len(times), pairs, 0.0,
            f"The curve is assumed to be gamma 2.2: only {len(pairs)} places on {levels_tied} of {BINS} "
            "steps of brightness are flat and well exposed in two frames.",
        )  # fmt: skip
    free, assumption = _free_fit(pairs, brackets, exposure_error)
    if free.agreement < _MIXED and (~neutral.ranked).sum() >= _FEWEST_GREYS:
        grey, of_grey = _free_fit(neutral, brackets, exposure_error, ONE_CURVE)
        if grey.agreement > free.agreement + _GREYS_AGREE:
            pairs, free, assumption = neutral, grey, of_grey
    agreement = free.agreement
    if agreement < _LEAST_AGREEMENT:
        return _assumed(
            len(times), pairs, agreement,
            f"The curve is assumed to be gamma 2.2: only {agreement:.0%} of the places agree with any one "
            "curve, as if exposures were wrong or everything moved.",
        )  # fmt: skip
    error, scale_error = _expected_errors(free)
    levels = _support(pairs, free)
    named = _named(pairs, times, free, exposure_error, assumption)
    if named is not None:
        name, fit = named
        gains = _relative(fit.gains, brackets)
        gains[np.abs(gains) < _GAIN_TOLERANCE] = 0.0
        difference = _difference(free, named_table(name))
        return Estimate(Response(name), np.exp(gains), difference, 0.0, levels, len(pairs), fit.agreement)
    table = balanced(np.stack([curve.table for curve in free.curves]))
    return Estimate(
        Response("estimated", table),
        np.exp(_relative(free.gains, brackets)),
        error,
        scale_error,
        levels,
        len(pairs),
        agreement,
        _doubt(levels, error),
    )


def _free_fit(
    pairs: Pairs, brackets: list[np.ndarray], exposure_error: float, assumption: Assumption = OWN_CURVES
) -> tuple[Fit, Assumption]:
    """Curves without a name; where the frames' white balance differs, of channels that are alike."""
    times = np.concatenate(brackets)
    free = fit_curves(pairs, times, exposure_error, assumption)
    if _imbalance(free, brackets) <= _BALANCED:
        return free, assumption
    return fit_curves(pairs, times, exposure_error, OWN_BALANCE), OWN_BALANCE


def balanced(table: np.ndarray) -> np.ndarray:
    """Curves whose channels agree about mid-grey, by bending only the ends of those that do not.

    Pairs cannot tell a factor between the light of two channels; the ends of the curves, which all reach 1 at
    the value 1, do. Cameras clip colours by rules of their own, so that one channel may come to its end well
    before the others: its curve then says that grey is coloured.

    Args:
        table: (3, LEVELS) ``light ** (1 / 2.2)``.

    Returns:
        The same, where channels differ from their median by less than about 20 % at mid-grey.
    """
    grey = GAMMA * np.log(table[:, _MIDDLE]).mean(axis=1)
    offset = grey - np.median(grey)
    # Small differences are those of the channels' curves, and stay; large ones go.
    shift = offset / (1 + (offset / _ODD_CHANNEL) ** 4) - offset
    if np.abs(shift).max() < 1e-3:
        return table
    factor = np.exp(shift / GAMMA)
    room = (0.5 + 0.5 * table[:, _KNEE]) / (table[:, _KNEE] * factor)  # leaves half of the way to 1
    factor *= min(1.0, room.min())
    bent = table * factor[:, None]
    share = np.linspace(0.0, 1.0, LEVELS - _KNEE)
    bent[:, _KNEE:] = bent[:, _KNEE, None] + (1 - bent[:, _KNEE, None]) * share
    return bent


def _checked(ldr: np.ndarray, times: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    if ldr.ndim != 4 or ldr.shape[-1] != 3 or not 2 <= len(ldr) <= MAX_FRAMES:
        raise InputError(f"ldr must have shape (N, H, W, 3) with N from 2 to {MAX_FRAMES}, got {ldr.shape}")
    if ldr.dtype.kind != "f":
        raise InputError(f"ldr must be float in [0, 1], got {ldr.dtype}")
    low, high = (float(ldr.min()), float(ldr.max())) if ldr.size else (0.0, 0.0)
    if not (low >= 0 and high <= 1):  # also where they are NaN
        raise InputError(f"ldr must lie in [0, 1], got {low:g} to {high:g}")
    times = np.asarray(times, dtype=np.float64)
    if times.shape != (len(ldr),):
        raise InputError(f"times must have shape ({len(ldr)},), one a frame, got {times.shape}")
    if not (np.isfinite(times).all() and (times > 0).all() and (np.diff(times) >= 0).all()):
        raise InputError(f"times must be above 0 and ascend, got {', '.join(f'{t:g}' for t in times)}")
    if valid is not None and (valid.shape != ldr.shape[:3] or valid.dtype != bool):
        raise InputError(f"valid must be bool of shape {ldr.shape[:3]}, got {valid.dtype} {valid.shape}")
    return times


def _check_error(exposure_error: float) -> None:
    if not 0 < exposure_error < 1:
        raise InputError(f"exposure_error must be above 0 and below 1, got {exposure_error}")


def _assumed(count: int, pairs: Pairs, agreement: float, note: str) -> Estimate:
    return Estimate(
        Response("gamma22"), np.ones((count, 3)), _UNKNOWN_ERROR, _UNKNOWN_ERROR, np.full((3, 2), np.nan),
        len(pairs), agreement, note,
    )  # fmt: skip


def _named(
    pairs: Pairs, times: np.ndarray, free: Fit, exposure_error: float, assumption: Assumption
) -> tuple[str, Fit] | None:
    """The named curve that explains the pairs as well as the free one; None where none does."""
    fits = {}
    for name in NAMED:
        table = named_table(name)
        if _difference(free, table) < _NAMED_FAR:  # no use in trying what is far from what was found
            fits[name] = fit_curves(pairs, times, exposure_error, assumption, table)
    fits = {name: fit for name, fit in fits.items() if fit.agreement > free.agreement - _FEWER_AGREE}
    if not fits:
        return None
    misfit = {name: sum(_misfit(pairs, fit)) for name, fit in fits.items()}
    best = min(misfit, key=lambda name: misfit[name])
    (residual, excuse), (least, least_excuse) = _misfit(pairs, fits[best]), _misfit(pairs, free)
    part, most, more = _ACCEPTED
    # A curve of another power excuses one wrong exposure by two wrong ones of half the size.
    fits_well = (
        residual <= least + min(part * least, most) + more and excuse <= _EXCUSED * least_excuse + more
    )
    return (best, fits[best]) if fits_well else None


def _misfit(pairs: Pairs, fit: Fit) -> tuple[float, float]:
    """Mean over the groups of their median residual, what of it is no noise; and the gains that excuse it."""
    _, group = np.unique(pairs.group, return_inverse=True)
    order = np.lexsort((fit.residuals, group))
    counts = np.bincount(group)
    starts = np.cumsum(counts) - counts
    middle = fit.residuals[order][starts + counts // 2]
    # A group of few may hold outliers alone.
    weight = np.where(counts >= 5, np.bincount(group, group_share(pairs)), 0.0)
    # Wrong exposures could excuse any power of a curve.
    excuse = np.abs(fit.gains - fit.gains.mean(axis=0)).mean()
    return float(np.average(np.minimum(np.abs(middle), 0.2), weights=weight + 1e-9)), float(excuse)


def _imbalance(fit: Fit, brackets: list[np.ndarray]) -> float:
    """The largest log gain of a channel beside that of its frame."""
    gains = _relative(fit.gains, brackets)
    return float(np.abs(gains - gains.mean(axis=1, keepdims=True)).max())


def _relative(gains: np.ndarray, brackets: list[np.ndarray]) -> np.ndarray:
    """Log gains relative to those of each bracket's middle frame."""
    counts = np.array([len(times) for times in brackets])
    middle = np.cumsum(counts) - counts + counts // 2
    return gains - np.repeat(gains[middle], counts, axis=0)


def _expected_errors(fit: Fit) -> tuple[float, float]:
    """Expected relative error of the light over the stated range, and of the factor that is common to it."""
    rows = []
    for channel, curve in enumerate(fit.curves):
        light = curve.table**GAMMA
        inside = np.flatnonzero((light >= _RANGE[0]) & (light <= _RANGE[1]))[::4]
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


def _difference(fit: Fit, table: np.ndarray) -> float:
    """Median relative difference of the light of a fit and of a (LEVELS,) curve, a common factor aside."""
    light = table**GAMMA
    inside = (light >= _RANGE[0]) & (light <= _RANGE[1])
    ratio = np.concatenate([GAMMA * np.log(curve.table[inside] / table[inside]) for curve in fit.curves])
    return float(np.median(np.abs(ratio - np.median(ratio))))


def _support(pairs: Pairs, fit: Fit) -> np.ndarray:
    """(3, 2) lowest and highest value of pairs that agree, a few beyond them set aside."""
    levels = np.full((3, 2), np.nan)
    for channel in range(3):
        own = (pairs.channel == channel) & (fit.weights > 0.25)
        if own.sum() > 2 * _SUPPORT:
            levels[channel] = np.sort(pairs.low[own])[_SUPPORT], np.sort(pairs.high[own])[-1 - _SUPPORT]
    return levels


def _doubt(levels: np.ndarray, error: float) -> str | None:
    """The sentence to an estimate that little supports."""
    if np.isnan(levels).any():
        return "One colour channel has too few well exposed places: its curve is taken to be as the others'."
    if error > 0.05:
        return f"The curve is supported by little, and linear values are expected to be off by {error:.0%}."
    return None
