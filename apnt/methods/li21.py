"""Edge-preserving structural patch decomposition (Li, Chan, Qi and Xie 2021)."""

from __future__ import annotations

import numpy as np

from apnt.bracket import Bracket
from apnt.methods import multiscale_patches
from apnt.methods.multiscale_patches import Rules, Scale, without_motion
from apnt.methods.stack import displayed


def li21(bracket: Bracket) -> np.ndarray:
    """Fuse after the reference has replaced what moves in the other frames.

    Returns:
        (H, W, 3) float32, display-referred in [0, 1].
    """
    return displayed(fuse(without_motion(bracket.ldr, bracket.reference)))


def fuse(frames: np.ndarray) -> np.ndarray:
    """Fuse a stack that stands still; arguments, result and errors of :func:`multiscale_patches.fuse`."""
    return multiscale_patches.fuse(frames, Rules(power=6, coarsest_radius=3, base=_base, edge=0.25))


def _base(scales: list[Scale]) -> list[np.ndarray]:
    """How well exposed each coarsest mean is, plus how well exposed the whole frame is."""
    return [_exposedness(scale.mean) + _exposedness(scale.mean.mean()) for scale in scales]


def _exposedness(values: np.ndarray | np.floating) -> np.ndarray:
    """``2 g(t)``, ``t`` being the distance to the nearer of black and white.

    ``g`` is an S of fifth powers: ``t**5 / 0.25**4`` up to 1/4, ``0.5 - (0.5 - t)**5 / 0.25**4`` above.
    """
    t = np.where(values > 0.5, 1 - values, values)
    return 2 * np.where(t <= 0.25, t**5, 2 * 0.25**5 - (0.5 - t) ** 5) / 0.25**4
