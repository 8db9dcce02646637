"""Pixel-wise weighted merge (eq. 1): right for a scene that stands still, ghosts where anything moves."""

from __future__ import annotations

import numpy as np

from apnt.bracket import Bracket
from apnt.camera import SATURATION


def weighted(bracket: Bracket) -> np.ndarray:
    """Merge the exposures as they lie, ``sum_k w_k * I_k**2.2 / tau_k`` (eq. 1).

    The weights are the triangles with which Kalantari and Ramamoorthi (2017) merge static brackets, functions
    of the medium exposure's value ``v`` in each channel: the medium has ``1 - |2v - 1|``, the short what is
    missing to 1 above one half, the long what is missing below. So a saturated pixel is the short exposure's
    alone, a black one the long's. Where the long exposure itself is saturated the medium takes over its
    share, which matters at three stops and where something moves.

    Returns:
        (H, W, 3) float32 radiance in [0, 1].
    """
    value = bracket.ldr[1]
    short = np.clip(2 * value - 1, 0, 1)
    long = np.clip(1 - 2 * value, 0, 1) * (bracket.ldr[2] < SATURATION)
    weights = np.stack([short, 1 - short - long, long])  # (3, H, W, 3), sums to 1
    return np.clip((weights * bracket.radiance).sum(axis=0), 0, 1).astype(np.float32)
