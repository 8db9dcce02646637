"""A tone curve that leaves local contrast alone: fast local Laplacian filtering.

Paris, Hasinoff and Kautz, "Local Laplacian filters" (2011), in the sampled form of Aubry et al., "Fast local
Laplacian filters" (2014). Each coefficient of the result's Laplacian pyramid is that of the image after a
remapping which keeps differences up to about ``SIGMA`` around the coefficient's own brightness and takes
larger ones, the edges, to where the tone curve has them. So edges keep their shape, and nothing rings.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

SIGMA = 0.7
"""Stops: differences up to about this size are detail."""

_SPACING = 0.6  # stops between the samples of brightness
_COARSEST = 8  # pixels: the shorter side of the last level, at least


def local_laplacian(
    image: np.ndarray, curve: Callable[[np.ndarray], np.ndarray], detail: float = 1.0
) -> np.ndarray:
    """Apply a tone curve to large differences, and a gain to small ones.

    Args:
        image: (H, W) float32, log2 luminance.
        curve: increasing, of any shape to the same shape.
        detail: gain of small differences; 1 keeps them.

    Returns:
        (H, W) float32.
    """
    levels = max(1, int(np.log2(max(1, min(image.shape) / _COARSEST))))
    gaussian = [image]
    for _ in range(levels):
        gaussian.append(cv2.pyrDown(gaussian[-1]))
    curved = curve(image)
    result = [np.zeros_like(level) for level in gaussian[:-1]]
    count = max(2, int(np.ceil(float(np.ptp(image)) / _SPACING)) + 1)
    samples = np.linspace(float(image.min()), float(image.max()) + 1e-3, count, dtype=np.float32)
    spacing = float(samples[1] - samples[0])
    for sample in samples:
        remapped = _remap(image, curved, sample, np.float32(curve(sample)), detail)
        for k in range(levels):
            coarse = cv2.pyrDown(remapped)
            share = 1 - np.abs(gaussian[k] - sample) / np.float32(spacing)
            np.maximum(share, 0, out=share)
            remapped -= cv2.pyrUp(coarse, dstsize=remapped.shape[::-1])
            remapped *= share
            result[k] += remapped
            remapped = coarse
    output = curve(gaussian[-1])
    for level in reversed(result):
        output = cv2.pyrUp(output, dstsize=level.shape[::-1]) + level
    return np.asarray(output)


def _remap(
    image: np.ndarray, curved: np.ndarray, at: np.float32, there: np.float32, detail: float
) -> np.ndarray:
    """``curve(i) + (detail (i - g) - (curve(i) - curve(g))) exp(-(i - g)^2 / 2 SIGMA^2)``."""
    away = image - at
    near = away * away
    near *= np.float32(-0.5 / SIGMA**2)
    np.exp(near, out=near)
    away *= np.float32(detail)
    away += there
    away -= curved
    away *= near
    away += curved
    return away
