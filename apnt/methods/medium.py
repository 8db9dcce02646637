"""The medium exposure alone: what a method must beat to be worth running."""

from __future__ import annotations

import numpy as np

from apnt.bracket import Bracket


def medium(bracket: Bracket) -> np.ndarray:
    """Radiance of the reference exposure alone, ``I_m**2.2 / tau_m`` (eq. 3): (H, W, 3) float32 in [0, 1]."""
    return np.clip(bracket.radiance[bracket.reference], 0, 1)
