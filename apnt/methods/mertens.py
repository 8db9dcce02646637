"""Exposure fusion (Mertens, Kautz and Van Reeth 2009): well-exposed, contrasty, colourful pixels, blended."""

from __future__ import annotations

import cv2
import numpy as np

from apnt.bracket import Bracket
from apnt.methods import pyramid
from apnt.methods.stack import checked, displayed, grey

SIGMA = 0.2
"""Width of the well-exposedness around mid-grey."""


def mertens(bracket: Bracket) -> np.ndarray:
    """Exposure fusion; it knows no motion, so what moves becomes a ghost.

    Returns:
        (H, W, 3) float32, display-referred in [0, 1].
    """
    return displayed(fuse(bracket.ldr))


def fuse(frames: np.ndarray, *, colour: bool = True) -> np.ndarray:
    """Blend the frames' Laplacian pyramids by Gaussian pyramids of their weights.

    As the authors' program computes it, with its default exponents 1, 1 and 1. OpenCV's ``MergeMertens`` is
    a variant: other numbers of levels, borders and exponents.

    Args:
        frames: (N, H, W, 3) in [0, 1].
        colour: False leaves the saturation out of the weights, for grey frames, which have none.

    Returns:
        (H, W, 3) float64, not clipped: blending leaves [0, 1] by up to about a half at strong edges.

    Raises:
        InputError: see :func:`apnt.methods.stack.checked`.
    """
    stack = checked(frames)
    levels = max(1, min(stack.shape[1:3]).bit_length() - 1)  # floor(log2 of the shorter side)
    blended: list[np.ndarray] = []
    for frame, weight in zip(stack, weights(stack, colour=colour), strict=True):
        parts = [
            w[..., None] * detail
            for w, detail in zip(
                pyramid.gaussian(weight, levels), pyramid.laplacian(frame, levels), strict=True
            )
        ]
        blended = [a + b for a, b in zip(blended, parts, strict=True)] if blended else parts
    return pyramid.collapse(blended)


def weights(stack: np.ndarray, *, colour: bool = True) -> np.ndarray:
    """Contrast times saturation times well-exposedness, which sum to 1 over the frames: (N, H, W)."""
    raw = np.stack([_contrast(frame) * _exposedness(frame) for frame in stack])
    if colour:
        raw *= stack.std(axis=-1)
    raw += 1e-12
    return raw / raw.sum(axis=0)


def _contrast(frame: np.ndarray) -> np.ndarray:
    """Absolute Laplacian (four neighbours) of the luma, the border repeated: (H, W)."""
    return np.abs(cv2.Laplacian(grey(frame), cv2.CV_64F, ksize=1, borderType=cv2.BORDER_REPLICATE))


def _exposedness(frame: np.ndarray) -> np.ndarray:
    """A Gaussian around mid-grey, multiplied over the channels: (H, W)."""
    return np.exp(-((frame - 0.5) ** 2).sum(axis=-1) / (2 * SIGMA**2))
