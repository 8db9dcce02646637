"""A run of photographs of one scene, by time, cut into brackets: the cheapest cut wins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from apnt.io.exposure import MAX_FRAMES, MAX_STOPS, MAX_STOPS_OF_MANY, MIN_STOPS

# Costs, in the unit of one bracket of three frames and more.
_BRACKET = 1.0
_PAIR = 1.3  # a bracket of two says less than a larger one
_ALONE = 1.5  # a frame that nothing is made of
_MIXED = 2.0  # frames of which the camera calls only some an automatic bracket
_UNEVEN = 0.3  # a step of exposure that is double another one
_CUT = 1.0  # a cut where frames follow each other as fast as inside brackets
_CUT_GONE = 8.0  # gaps that are so many times longer cost nothing to cut

_FASTEST = 0.2  # seconds: shorter gaps between frames are one
_USUAL = 0.5  # the same inside a bracket; clocks without decimals tell no less
_PAIR_USUAL = 1.0  # two frames do not say what is usual
_SLOWER = 2.0  # gaps of a bracket beside its usual one that cost nothing


@dataclass(frozen=True)
class Moment:
    """What a cut is decided by.

    Attributes:
        stops: exposure, log2.
        gap: seconds from the end of the frame before to the start of this one; NaN where no clock tells.
        auto_bracket: the camera calls it part of an automatic bracket; None = it says nothing.
    """

    stops: float
    gap: float
    auto_bracket: bool | None = None


def cut(run: Sequence[Moment]) -> list[range]:
    """Cut a run into brackets and frames that stay alone.

    No bracket holds an exposure twice (within a sixth of a stop), more than 15 frames, or more stops than are
    fused. Among what is left, brackets of frames that follow each other evenly, of even steps, are cheap, and
    cuts are cheap where the photographer paused.

    Args:
        run: frames of one scene, in the order of their time.

    Returns:
        Ranges of indices that follow each other; those of one index stay alone.
    """
    gaps = [moment.gap for moment in run[1:] if math.isfinite(moment.gap)]
    fast = max(_FASTEST, float(np.quantile(gaps, 0.25))) if gaps else _FASTEST
    best = [0.0] + [math.inf] * len(run)  # best[n]: cost of the first n frames
    start = [0] * (len(run) + 1)
    for end in range(1, len(run) + 1):
        for begin in range(end - 1, max(-1, end - 1 - MAX_FRAMES), -1):
            cost = _cost(run[begin:end])
            if math.isinf(cost):  # no longer range that ends here is a bracket
                break
            total = best[begin] + cost + (_cost_of_cut(run[begin].gap, fast) if begin else 0.0)
            if total < best[end]:
                best[end], start[end] = total, begin
    ranges, end = [], len(run)
    while end:
        ranges.append(range(start[end], end))
        end = start[end]
    return ranges[::-1]


def _cost(frames: Sequence[Moment]) -> float:
    if len(frames) == 1:
        return _ALONE
    steps = np.diff(np.sort([frame.stops for frame in frames]))
    if steps.min() < MIN_STOPS or steps.sum() > (MAX_STOPS if len(frames) <= 3 else MAX_STOPS_OF_MANY):
        return math.inf
    cost = _PAIR if len(frames) == 2 else _BRACKET
    if len({frame.auto_bracket for frame in frames}) > 1:
        cost += _MIXED
    cost += sum(_UNEVEN * min(2.0, abs(math.log2(b / a))) for a, b in pairwise(np.sort(steps)))
    gaps = [frame.gap for frame in frames[1:] if math.isfinite(frame.gap)]
    if gaps:
        usual = _PAIR_USUAL if len(frames) == 2 else max(_USUAL, float(np.median(gaps)))
        cost += sum(max(0.0, math.log2(gap / (_SLOWER * usual))) for gap in gaps if gap > 0)
    return cost


def _cost_of_cut(gap: float, fast: float) -> float:
    if not math.isfinite(gap):
        return _CUT
    ratio = max(gap, _FASTEST) / fast
    return _CUT * min(1.0, max(0.0, 1.0 - math.log(ratio) / math.log(_CUT_GONE)))
