"""Fast multi-scale structural patch decomposition (Li, Ma, Yong and Zhang 2020)."""

from __future__ import annotations

import cv2
import numpy as np

from apnt.bracket import Bracket
from apnt.methods import multiscale_patches
from apnt.methods.multiscale_patches import Rules, Scale, without_motion
from apnt.methods.stack import displayed


def li20(bracket: Bracket) -> np.ndarray:
    """Fuse after the reference has replaced what moves in the other frames.

    Returns:
        (H, W, 3) float32, display-referred in [0, 1].
    """
    return displayed(fuse(without_motion(bracket.ldr, bracket.reference)))


def fuse(frames: np.ndarray) -> np.ndarray:
    """Fuse a stack that stands still; arguments, result and errors of :func:`multiscale_patches.fuse`."""
    return multiscale_patches.fuse(frames, Rules(power=4, coarsest_radius=4, base=_base))


def _base(scales: list[Scale]) -> list[np.ndarray]:
    """Contrast of the coarsest values, times a curve that falls from mid-grey to black and white."""
    return [_contrast(scale.values[..., 0]) * _exposedness(scale.values[..., 0]) for scale in scales]


def _contrast(values: np.ndarray) -> np.ndarray:
    """Absolute Laplacian (four neighbours), the border repeated."""
    return np.abs(cv2.Laplacian(values, cv2.CV_64F, ksize=1, borderType=cv2.BORDER_REPLICATE))


def _exposedness(values: np.ndarray) -> np.ndarray:
    """``2 / pi * atan(20 t)``, ``t`` being the distance to the nearer of black and white."""
    return 2 / np.pi * np.arctan(20 * np.where(values <= 0.5, values, 1 - values))
