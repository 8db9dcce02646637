"""Whether the brightness of the frames is what their exposures say, whatever the camera's response."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apnt import scratch
from apnt.camera import GAMMA
from apnt.errors import InputError
from apnt.prepare.blocks import USABLE, Pairs
from apnt.strips import strips

_FEWEST = 40  # pairs of blocks that are needed to judge two frames
_LOWEST, _HIGHEST = 0.3, 3.2  # measured stops (gamma 2.2) over stated ones: what cameras' curves can do
_SLACK = 0.35  # stops of exposure error beside that
_OFF = 1.35  # the same where no curve bends the ratio: a stop is corrected
_DARKER = 0.5  # stops by which a whole frame may look darker than a shorter one, where no blocks tell more
_SHARES = np.linspace(2, 98, 49)  # percentiles of a frame's values
_KNOWN = (0.02, 0.98)  # values that are neither black nor saturated
_STEP = 4  # every so many-th pixel, row and column, is looked at


def check_recorded(ldr: np.ndarray, valid: np.ndarray | None, linear: bool = False) -> None:
    """Refuse a bracket that recorded nothing: with the cap on, or of light above all of its exposures.

    Args:
        ldr: (N, H, W, 3) in [0, 1].
        valid: (N, H, W) bool, False where a frame holds no data; None = all of it does.
        linear: values are proportional to light; display-referred ones otherwise.

    Raises:
        InputError: every value of every frame is black or white.
    """
    black = _KNOWN[0] ** GAMMA if linear else _KNOWN[0]
    seen = set()
    for k, frame in enumerate(ldr):
        whites = pixels = 0
        for rows in strips(len(frame)):
            values = frame[rows] if valid is None else frame[rows][valid[k, rows]]
            white = values >= USABLE[1]
            if not (white | (values <= black)).all():
                return
            whites, pixels = whites + int(white.sum()), pixels + white.size
        seen |= {"white"} if whites == pixels else {"black", "white"} if whites else {"black"}
    raise InputError(
        "images must show what lies between black and white, and all frames are "
        f"{' and '.join(sorted(seen))} alone: nothing was recorded that could be fused"
    )


def check_brightness(
    ldr: np.ndarray, times: np.ndarray, names: Sequence[str], pairs: Pairs, linear: bool = False
) -> None:
    """Refuse frames whose pixels contradict their exposures.

    Of two frames the longer exposure is the brighter one, by about what the exposures say. Cameras' curves
    bend that ratio, a linear file to 2.2 times its stops and a contrast curve further, but none turns it
    round or makes it disappear. Frames in the wrong order, the same photograph twice, and numbers in another
    unit do. Where too few places are flat enough to be compared, the frames' histograms still have to lie in
    this order.

    Args:
        ldr: (N, H, W, 3), darker to brighter.
        times: (N,) relative exposure times.
        names: of the frames.
        pairs: of their values, from :func:`apnt.prepare.blocks.find_pairs`.
        linear: values are proportional to light, so that no curve bends the ratio; display-referred ones
            otherwise.

    Raises:
        InputError: the two frames that contradict each other most, with both ratios.
    """
    worst: tuple[float, str] | None = None
    power = 1.0 if linear else GAMMA
    for darker in range(len(ldr)):
        for brighter in range(darker + 1, len(ldr)):
            own = (pairs.darker == darker) & (pairs.brighter == brighter)
            stated = float(np.log2(times[brighter] / times[darker]))
            same = _same(ldr[darker], ldr[brighter])
            if same:
                measured, low, high = 0.0, stated, np.inf
            elif own.sum() < _FEWEST:
                measured, low, high = _by_histogram(ldr[darker], ldr[brighter], power), -_DARKER, np.inf
            else:
                measured = power * float(np.median(np.log2(pairs.high[own] / pairs.low[own])))
                bent = (1.0, 1.0) if linear else (_LOWEST, _HIGHEST)
                slack = _OFF if linear else _SLACK
                low, high = bent[0] * stated - slack, bent[1] * stated + slack
            excess = max(low - measured, measured - high)
            if excess > 0 and (worst is None or excess > worst[0]):
                worst = excess, _sentence(names[darker], names[brighter], stated, measured, same, linear)
    if worst is not None:
        raise InputError(worst[1])


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two frames are one photograph; what is black and white alone may be alike in two."""
    step = max(1, min(first.shape[:2]) // 64)
    few = scratch.every(first, step)
    if not ((few > _KNOWN[0]) & (few < _KNOWN[1])).any():
        return False
    return np.array_equal(few, scratch.every(second, step)) and all(
        np.array_equal(first[rows], second[rows]) for rows in strips(len(first))
    )


def _by_histogram(darker: np.ndarray, brighter: np.ndarray, power: float) -> float:
    """Stops between the values that equal shares of two frames lie below, light to ``1 / power``; or 0."""
    low, high = (np.percentile(scratch.every(frame, _STEP), _SHARES) for frame in (darker, brighter))
    known = (np.minimum(low, high) > _KNOWN[0]) & (np.maximum(low, high) < _KNOWN[1])
    if not known.any():
        return 0.0
    return power * float(np.median(np.log2(high[known] / low[known])))


def _sentence(darker: str, brighter: str, stated: float, measured: float, same: bool, linear: bool) -> str:
    if same:
        seen = f"{darker} and {brighter} hold the same pixels"
    elif measured < 0.1:
        what = f"{darker} is " + (
            f"{-measured:.1f} stops brighter than" if measured < -0.1 else "as bright as"
        )
        seen = f"{what} {brighter}"
    else:
        seen = f"{brighter} is {measured:.1f} stops brighter than {darker}"
    curve = "give their --curve if they are not linear, " if linear and not same else ""
    return (
        f"exposures must agree with the pixels: {seen}, and by the exposures {brighter} should be "
        f"{stated:.1f} stops brighter; check their order and unit (seconds are times, EV are stops), "
        f"{curve}or insist on them with --trust-exposures"
    )
