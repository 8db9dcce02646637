"""Curves of channels that agree about grey."""

from __future__ import annotations

import numpy as np

from apnt.camera import GAMMA
from apnt.prepare.prior import LEVELS

_ODD_CHANNEL = 0.25  # log light; channels that are further apart at mid-grey differ by how they clip
_MIDDLE = slice(51, 205)  # levels 0.2 to 0.8: where grey is to stay grey
_KNEE = 247  # level from which a curve may be bent so that grey stays grey


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
