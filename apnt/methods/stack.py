"""What the classical methods share: their input, a stack of display-referred frames, and their output."""

from __future__ import annotations

import numpy as np

from apnt.errors import InputError

GREY = (0.2989360, 0.5870431, 0.1140209)
"""Weights of R, G and B in luma, to the digits that MATLAB's rgb2gray has (ITU-R BT.601)."""


def checked(frames: np.ndarray) -> np.ndarray:
    """The stack in double precision.

    Args:
        frames: (N, H, W, 3), display-referred RGB in [0, 1], dark to bright, N at least 2.

    Raises:
        InputError: another shape, a value that is not finite or not in [0, 1].
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) < 2 or frames.size == 0:
        raise InputError(
            f"frames must have shape (N, H, W, 3) with at least 2 frames and a pixel, got {frames.shape}"
        )
    stack = frames.astype(np.float64)
    if not (stack.min() >= 0 and stack.max() <= 1):
        raise InputError(f"frames must be in [0, 1], got values from {stack.min():g} to {stack.max():g}")
    return stack


def checked_reference(reference: int, count: int) -> int:
    """An index of one of ``count`` frames.

    Raises:
        InputError: no such frame.
    """
    if not 0 <= reference < count:
        raise InputError(f"reference must be a frame from 0 to {count - 1}, got {reference}")
    return reference


def displayed(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32, clipped to [0, 1]: what a display shows of a fused image."""
    return np.clip(image, 0, 1).astype(np.float32)


def grey(frames: np.ndarray) -> np.ndarray:
    """Luma of RGB frames: (..., 3) to (...)."""
    return frames @ np.array(GREY)
