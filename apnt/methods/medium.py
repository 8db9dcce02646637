"""The medium exposure alone: what a method must beat to be worth running."""

from __future__ import annotations

import numpy as np

from apnt.camera import GAMMA
from apnt.data.bracket import Bracket


def medium(bracket: Bracket) -> np.ndarray:
    """Radiance of the medium exposure alone, ``I_m**2.2 / tau_m`` (eq. 3): (H, W, 3) float32 in [0, 1]."""
    return np.clip(linear(bracket)[1], 0, 1)


def linear(bracket: Bracket) -> np.ndarray:
    """The three exposures brought to one energy level, ``I_k**2.2 / tau_k`` (eq. 3): (3, H, W, 3) float32."""
    return bracket.ldr**GAMMA / bracket.times.astype(np.float32)[:, None, None, None]
