"""The response of the camera that took a bracket, estimated from the bracket."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from apnt.errors import InputError
from apnt.io.exposure import MAX_FRAMES
from apnt.prepare.blocks import BINS, Pairs, find_pairs, joined, of_brackets
from apnt.prepare.channels import balanced
from apnt.prepare.contradicted import Explanation, explanations, spread
from apnt.prepare.expected import DOUBTFUL, doubt, expected_errors, supported_levels
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
from apnt.prepare.known import BALANCED, all_differ, fit_known, imbalance, light_apart
from apnt.prepare.named import difference, named_curve
from apnt.prepare.prior import named_table
from apnt.prepare.quantiles import quantile_pairs
from apnt.prepare.response import Response

_FEWEST = 60.0  # pairs, those of a group counting as three at most: less says little about three curves
_LEAST_LEVELS = 4  # steps of brightness, of 48, between which one pair of frames ties light: less is no curve
_FEW = 200.0  # flat pairs, those of a group counting as three at most, beside which ranks say nothing new
# Share of the pairs of all colours below which colours may contradict each other between frames; greys have
# to agree better by so much, and to be so many, to tell the curve alone.
_MIXED, _GREYS_AGREE, _FEWEST_GREYS = 0.85, 0.03, 30
_LEAST_AGREEMENT = 0.25  # share of the pairs that fit one curve: below, frames contradict each other
_GAIN_TOLERANCE = 0.06  # smaller log gains beside a named curve are noise: on val-v1, whose are 0, up to 0.05
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
        wrong: which frames' exposures may be wrong, the likeliest first, and by how many stops each is
            brighter than its exposure says; the gains are those of the first. Empty where exposures fit each
            other, or a known curve leaves no doubt.
        contradicted: where a known curve does not fit the frames with their exposures, the curve that does;
            None where it does fit, or where nothing tells.
    """

    response: Response
    gains: np.ndarray
    error: float
    scale_error: float
    levels: np.ndarray
    pairs: int
    agreement: float
    note: str | None = None
    wrong: tuple[tuple[int, float], ...] = ()
    contradicted: Response | None = None


def estimate_response(
    ldr: np.ndarray,
    times: np.ndarray,
    valid: np.ndarray | None = None,
    exposure_error: float = EXPOSURE_ERROR,
    pairs: Pairs | None = None,
    known: Response | None = None,
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
        known: the response, where it is known: where it explains the pairs, with these exposures or others,
            only gains are estimated.

    Raises:
        InputError: shapes that do not fit, values outside [0, 1], times that do not ascend, or an error that
            is not between 0 and 1.
    """
    times = _checked(ldr, times, valid)
    _check_error(exposure_error)
    coloured, neutral = _evidence(ldr, times, valid, pairs)
    if known is None:
        return _estimate(coloured, neutral, [times], exposure_error)
    found = _of_known(known, coloured, times, exposure_error)
    if found is not None and not all_differ(np.log(found.gains)):
        return found
    measured = _estimate(coloured, neutral, [times], exposure_error)
    apart = light_apart(known, measured.response)
    contradicted = measured.note is None and apart > max(DOUBTFUL, 2 * measured.error)
    return replace(found or measured, contradicted=measured.response if contradicted else None)


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
    levels = supported_levels(pairs, free)
    named = named_curve(pairs, times, free, exposure_error, assumption)
    wrong: list[Explanation] = []
    if named is None and len(brackets) == 1 and exposure_error >= EXPOSURE_ERROR:
        wrong = explanations(pairs, times, free, exposure_error, assumption)
        for each in wrong:
            named = named or named_curve(pairs, times, each.fit, each.errors, assumption)
        if wrong:
            free = wrong[0].fit
    if named is not None:
        name, fit = named
        gains = _relative(fit.gains, brackets)
        gains[np.abs(gains) < _GAIN_TOLERANCE] = 0.0
        error = 0.0 if wrong else difference(free, named_table(name))
        return Estimate(Response(name), np.exp(gains), error, 0.0, levels, len(pairs), fit.agreement)
    error, scale_error = expected_errors(free)
    error = max(error, spread(wrong)) if wrong else error
    table = balanced(np.stack([curve.table for curve in free.curves]))
    return Estimate(
        Response("estimated", table),
        np.exp(_relative(free.gains, brackets)),
        error,
        scale_error,
        levels,
        len(pairs),
        free.agreement,
        None if wrong else doubt(levels, error),
        tuple((each.frame, each.stops) for each in wrong),
    )


def _of_known(known: Response, pairs: Pairs, times: np.ndarray, exposure_error: float) -> Estimate | None:
    """The estimate with a known response; None where it does not explain the pairs."""
    pairs = pairs.chosen(~pairs.ranked)
    if group_share(pairs).sum() < _FEWEST:  # equal ranks are too rough to correct an exposure by
        ones, unknown = np.ones((len(times), 3)), np.full((3, 2), np.nan)
        return Estimate(known, ones, 0.0, 0.0, unknown, len(pairs), 0.0)
    fit = fit_known(known, pairs, times, exposure_error)
    if fit is None:
        return None
    gains = _relative(fit.gains, [times])
    gains[np.abs(gains) < _GAIN_TOLERANCE] = 0.0
    return Estimate(known, np.exp(gains), 0.0, 0.0, supported_levels(pairs, fit), len(pairs), fit.agreement)


def _free_fit(
    pairs: Pairs, brackets: list[np.ndarray], exposure_error: float, assumption: Assumption = OWN_CURVES
) -> tuple[Fit, Assumption]:
    """Curves without a name; where the frames' white balance differs, of channels that are alike."""
    times = np.concatenate(brackets)
    free = fit_curves(pairs, times, exposure_error, assumption)
    if imbalance(_relative(free.gains, brackets)) <= BALANCED:
        return free, assumption
    return fit_curves(pairs, times, exposure_error, OWN_BALANCE), OWN_BALANCE


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


def _relative(gains: np.ndarray, brackets: list[np.ndarray]) -> np.ndarray:
    """Log gains relative to those of each bracket's middle frame."""
    counts = np.array([len(times) for times in brackets])
    middle = np.cumsum(counts) - counts + counts // 2
    return gains - np.repeat(gains[middle], counts, axis=0)
