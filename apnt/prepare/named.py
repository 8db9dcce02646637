"""Whether a curve that has a name explains the pairs as well as one that was fitted freely."""

from __future__ import annotations

import numpy as np

from apnt.camera import GAMMA
from apnt.prepare.blocks import Pairs
from apnt.prepare.fit import Assumption, Fit, fit_curves, group_share
from apnt.prepare.prior import named_table
from apnt.prepare.response import NAMED

RANGE = (0.02, 0.9)
"""Linear light over which curves are compared and the expected error is stated."""

_EXCUSED = 2.5  # a named curve may need gains that are this much larger than the free one's
# By this part more, at most by so much, and this beside, a named curve may miss the groups than the free one.
_ACCEPTED = (0.35, 0.01, 0.005)
_NAMED_FAR = 0.1  # median relative difference between a named curve and the free one
_FEWER_AGREE = 0.05  # share of the pairs that may contradict a named curve and not the free one


def named_curve(
    pairs: Pairs, times: np.ndarray, free: Fit, exposure_error: float | np.ndarray, assumption: Assumption
) -> tuple[str, Fit] | None:
    """The named curve that explains the pairs as well as the free one; None where none does."""
    fits = {}
    for name in NAMED:
        table = named_table(name)
        if difference(free, table) < _NAMED_FAR:  # no use in trying what is far from what was found
            fits[name] = fit_curves(pairs, times, exposure_error, assumption, table)
    fits = {name: fit for name, fit in fits.items() if fit.agreement > free.agreement - _FEWER_AGREE}
    if not fits:
        return None
    missed = {name: sum(misfit(pairs, fit)) for name, fit in fits.items()}
    best = min(missed, key=lambda name: missed[name])
    (residual, excuse), (least, least_excuse) = misfit(pairs, fits[best]), misfit(pairs, free)
    part, most, more = _ACCEPTED
    # A curve of another power excuses one wrong exposure by two wrong ones of half the size.
    fits_well = (
        residual <= least + min(part * least, most) + more and excuse <= _EXCUSED * least_excuse + more
    )
    return (best, fits[best]) if fits_well else None


def misfit(pairs: Pairs, fit: Fit) -> tuple[float, float]:
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


def difference(fit: Fit, table: np.ndarray) -> float:
    """Median relative difference of the light of a fit and of (LEVELS,) or (3, LEVELS), a factor aside."""
    tables = np.broadcast_to(table, (3, len(fit.curves[0].table)))
    ratios = []
    for curve, own in zip(fit.curves, tables, strict=True):
        inside = (own**GAMMA >= RANGE[0]) & (own**GAMMA <= RANGE[1])
        ratios.append(GAMMA * np.log(curve.table[inside] / own[inside]))
    ratio = np.concatenate(ratios)
    return float(np.median(np.abs(ratio - np.median(ratio))))
