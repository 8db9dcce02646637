"""Whether the brightness of the frames is what their exposures say, whatever the camera's response."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apnt.camera import GAMMA
from apnt.errors import InputError
from apnt.prepare.blocks import Pairs

_FEWEST = 40  # pairs of blocks that are needed to judge two frames
_LOWEST, _HIGHEST = 0.3, 3.2  # measured stops (gamma 2.2) over stated ones: what cameras' curves can do
_SLACK = 0.35  # stops of exposure error beside that


def check_brightness(ldr: np.ndarray, times: np.ndarray, names: Sequence[str], pairs: Pairs) -> None:
    """Refuse frames whose pixels contradict their exposures.

    Of two frames the longer exposure is the brighter one, by about what the exposures say. Cameras' curves
    bend that ratio, a linear file to 2.2 times its stops and a contrast curve further, but none turns it
    round or makes it disappear. Frames in the wrong order, the same photograph twice, and numbers in another
    unit do.

    Args:
        ldr: (N, H, W, 3) display-referred, darker to brighter.
        times: (N,) relative exposure times.
        names: of the frames.
        pairs: of their values, from :func:`apnt.prepare.blocks.find_pairs`.

    Raises:
        InputError: the two frames that contradict each other most, with both ratios.
    """
    worst: tuple[float, str] | None = None
    for darker in range(len(ldr)):
        for brighter in range(darker + 1, len(ldr)):
            own = (pairs.darker == darker) & (pairs.brighter == brighter)
            if own.sum() < _FEWEST:
                continue
            measured = GAMMA * float(np.median(np.log2(pairs.high[own] / pairs.low[own])))
            stated = float(np.log2(times[brighter] / times[darker]))
            low, high = _LOWEST * stated - _SLACK, _HIGHEST * stated + _SLACK
            excess = max(low - measured, measured - high)
            if excess > 0 and (worst is None or excess > worst[0]):
                worst = excess, _sentence(names[darker], names[brighter], stated, measured)
    if worst is not None:
        raise InputError(worst[1])


def _sentence(darker: str, brighter: str, stated: float, measured: float) -> str:
    if measured < 0.1:
        what = f"{darker} is " + (
            f"{-measured:.1f} stops brighter than" if measured < -0.1 else "as bright as"
        )
        seen = f"{what} {brighter}"
    else:
        seen = f"{brighter} is {measured:.1f} stops brighter than {darker}"
    return (
        f"exposures must agree with the pixels: {seen}, and by the exposures {brighter} should be "
        f"{stated:.1f} stops brighter; check their order and unit (seconds are times, EV are stops), or "
        "insist on them with --trust-exposures"
    )
