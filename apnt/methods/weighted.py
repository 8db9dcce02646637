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

    Of more frames each takes its turn as the medium, from the reference outwards: what a neighbour would get
    is divided in the same way between the neighbour and the frame beyond it. A frame that is saturated, and
    longer than the one it would stand in for, or that holds no data hands its share back.

    Returns:
        (H, W, 3) float32 radiance in [0, 1].
    """
    middle, count = bracket.reference, len(bracket)
    value = bracket.ldr[middle]
    short = np.clip(2 * value - 1, 0, 1) * _usable(bracket, middle - 1)
    long = np.clip(1 - 2 * value, 0, 1) * _usable(bracket, middle + 1)
    weights = np.zeros((count, *value.shape), value.dtype)
    weights[middle] = 1 - short - long
    for k in range(middle - 1, -1, -1):
        beyond = short * np.clip(2 * bracket.ldr[k] - 1, 0, 1) * _usable(bracket, k - 1)
        weights[k], short = short - beyond, beyond
    for k in range(middle + 1, count):
        beyond = long * np.clip(1 - 2 * bracket.ldr[k], 0, 1) * _usable(bracket, k + 1)
        weights[k], long = long - beyond, beyond
    return np.clip((weights * bracket.radiance).sum(axis=0), 0, 1).astype(np.float32)


def _usable(bracket: Bracket, k: int) -> np.ndarray | float:
    """(H, W, 3), or 0 where there is no such frame: whether frame ``k`` can take a share."""
    if not 0 <= k < len(bracket):
        return 0.0
    usable = bracket.ldr[k] < SATURATION if k > bracket.reference else np.ones(bracket.ldr.shape[1:], bool)
    return usable if bracket.valid is None else usable & bracket.valid[k, ..., None]
