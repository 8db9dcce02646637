"""Which frame of a bracket the others are aligned to, and how a picture is shown beside it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from apnt import scratch
from apnt.camera import GAMMA, SATURATION

_STEP = 4  # every so many-th pixel, row and column, counts
_GOOD = (0.1, 0.9)  # display-referred values that are well exposed
_NEARLY = 0.95  # of the most well-exposed values: frames that are as good
_DARK = 2.0 ** (-2.5 / GAMMA)  # value that hardly a pixel of a dark frame exceeds: 2.5 stops below white
_BRIGHTEST = 98  # per cent
_BURNT = 1e-3  # share of saturated pixels from which a frame is no reference for a dark one
_SHADE = 0.5  # share of the stops between two frames by which a picture is darker than the longer


class Anchor(NamedTuple):
    """How bright a picture is beside the file of the reference frame.

    Attributes:
        white: the stored sample at which the file is white, where that is not the largest that it can hold.
        darker: stops by which the picture is darker.
    """

    white: int | None = None
    darker: float = 0.0


AS_IT_IS = Anchor()


def choose_reference(ldr: np.ndarray, times: np.ndarray, valid: np.ndarray | None = None) -> int:
    """The frame whose moment the result should show where nobody says: before frames are aligned to it.

    Of three frames the middle one; but where that is dark throughout, 98 % of it 2.5 stops below white,
    and the longest is hardly saturated anywhere, the longest: it has a quarter of the noise, and noise is
    what is wrong there. Of any other number the one with the most well-exposed values, between
    0.1 and 0.9; of frames that come within a twentieth of the most, the one nearest to the middle of the
    bracket's exposures. The first and the last are taken only of two: both neighbours help the network.

    Args:
        ldr: (N, H, W, 3), display-referred in [0, 1], short to long.
        times: (N,), ascending.
        valid: (N, H, W) bool, False where a frame holds no data.
    """
    if len(ldr) == 3:
        return 2 if _is_dark(ldr, valid) else 1
    inner = range(1, len(ldr) - 1) if len(ldr) > 2 else range(len(ldr))
    shares = {}
    for k in inner:
        pixels = scratch.every(ldr[k], _STEP)
        good = ((pixels > _GOOD[0]) & (pixels < _GOOD[1])).mean(axis=-1)
        shares[k] = float((good if valid is None else good * valid[k, ::_STEP, ::_STEP]).mean())
    most = max(shares.values())
    middle = np.log2(times[0] * times[-1]) / 2
    near = [k for k in inner if shares[k] >= _NEARLY * most]
    return min(near, key=lambda k: abs(float(np.log2(times[k]) - middle)))


def shade(times: np.ndarray, reference: int) -> float:
    """Stops by which a picture is darker than a reference that was chosen: half way to the middle."""
    return _SHADE * float(np.log2(times[2] / times[1])) if len(times) == 3 and reference == 2 else 0.0


def _is_dark(ldr: np.ndarray, valid: np.ndarray | None) -> bool:
    """Whether the middle of three frames is dark throughout, and the longest hardly saturated anywhere."""
    middle, longest = (scratch.every(ldr[k], _STEP).max(axis=-1) for k in (1, 2))
    if valid is not None:
        middle, longest = (
            frame[valid[k, ::_STEP, ::_STEP]] for k, frame in enumerate((middle, longest), start=1)
        )
    if not middle.size or not longest.size:
        return False
    return bool(np.percentile(middle, _BRIGHTEST) < _DARK and (longest >= SATURATION).mean() < _BURNT)
