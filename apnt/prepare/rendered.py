"""Frames as their files show them, for methods that fuse pictures and not light (docs/methods.md)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from apnt.bracket import Bracket
from apnt.camera import GAMMA

AS_WRITTEN = "as written"
"""The name of a curve that was left as it is."""


def as_rendered(bracket: Bracket, linear: bool) -> Bracket:
    """Frames that a display shows right.

    Args:
        bracket: as read.
        linear: its values are proportional to light: they are encoded by gamma 2.2; others stay as they are.
    """
    if not linear:
        return bracket
    return replace(bracket, ldr=np.power(bracket.ldr, np.float32(1 / GAMMA), out=bracket.ldr))
