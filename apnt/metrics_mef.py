"""MEF-SSIM: how much of the structure of a stack a fused image shows (Ma, Zeng and Wang 2015)."""

from __future__ import annotations

import math

import cv2
import numpy as np

from apnt.errors import InputError
from apnt.methods.stack import checked, grey

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001)
"""Of the scales, finest first, before they are divided by their sum: the first three of multi-scale SSIM."""

_WINDOW = 11
_SIGMA = 1.5
_STABLE = (0.03 * 255) ** 2
_LARGEST_POWER = 10
SMALLEST = 4 * (_WINDOW - 1) + 1
"""Rows and columns that an image must have: its third scale holds one window."""
_EPSILON = float(np.finfo(float).eps)


def mef_ssim(fused: np.ndarray, frames: np.ndarray) -> float:
    """Structural similarity of a fused image to the strongest structures of the stack, over three scales.

    It has no ground truth: at every patch it compares with the structure that the frames agree on, at the
    largest contrast that any of them has. Where something moves, a fused image without ghosts is marked
    down, for the frames' structures are still asked for; use it on scenes that stand still.

    Args:
        fused: (H, W, 3), display-referred RGB in [0, 1]; it is rounded to 8 bits.
        frames: (N, H, W, 3), the stack it was fused from, in [0, 1]; rounded likewise.

    Returns:
        At most 1; 1 is best.

    Raises:
        InputError: shapes that do not fit, values not in [0, 1], fewer than 41 rows or columns.
    """
    if fused.shape != frames.shape[1:]:
        raise InputError(f"fused must have the frames' shape {frames.shape[1:]}, got {fused.shape}")
    if min(fused.shape[:2]) < SMALLEST:
        raise InputError(f"fused must have at least {SMALLEST} rows and columns, got {fused.shape[:2]}")
    images = list(_grey8(checked(np.concatenate([fused[None], frames]))))
    scores = []
    for scale in range(len(SCALE_WEIGHTS)):
        if scale:
            images = [_half(image) for image in images]
        scores.append(_score(images[0], images[1:]))
    total = sum(SCALE_WEIGHTS)
    return math.prod(
        math.copysign(abs(score) ** (weight / total), score)
        for score, weight in zip(scores, SCALE_WEIGHTS, strict=True)
    )


def _grey8(images: np.ndarray) -> np.ndarray:
    """Luma of the images at 8 bits, rounded to 0 ... 255."""
    return np.floor(grey(np.floor(images * 255 + 0.5)) + 0.5)


def _half(image: np.ndarray) -> np.ndarray:
    """Mean of each pixel with its right, lower and lower right neighbour, every second one kept."""
    padded = cv2.copyMakeBorder(image, 0, 1, 0, 1, cv2.BORDER_REFLECT)
    return ((padded[:-1, :-1] + padded[1:, :-1] + padded[:-1, 1:] + padded[1:, 1:]) / 4)[::2, ::2]


def _score(fused: np.ndarray, frames: list[np.ndarray]) -> float:
    """Mean similarity at one scale; the patches are the windows that lie inside the image."""
    gains = _gains(frames)
    gauss = cv2.getGaussianKernel(_WINDOW, _SIGMA, cv2.CV_64F)
    variance = _covariance(fused, fused, gauss)
    parts = [gain * _covariance(frame, fused, gauss) for gain, frame in zip(gains, frames, strict=True)]
    covariance = np.sum(parts, axis=0)
    wanted = _norm_squared(gains, frames, gauss)
    return float(((2 * covariance + _STABLE) / (wanted + variance + _STABLE)).mean())


def _gains(frames: list[np.ndarray]) -> np.ndarray:
    """By what each frame's ``x - mean`` enters the wanted patch: (N, h, w)."""
    box = np.full(_WINDOW, 1 / _WINDOW)
    values = _WINDOW**2
    squared = values * np.stack([np.maximum(_covariance(frame, frame, box), 0) for frame in frames])
    total = np.sum(frames, axis=0)
    together = np.sqrt(values * np.maximum(_covariance(total, total, box), 0))
    agreement = (together + _EPSILON) / (np.sqrt(squared).sum(axis=0) + _EPSILON)
    power = np.minimum(np.tan(np.pi / 2 * np.clip(agreement, 0, 1)), _LARGEST_POWER)
    strengths = np.sqrt(squared) + 0.001
    weights = (strengths / _WINDOW) ** power + _EPSILON
    scaled = weights / (weights.sum(axis=0) * strengths)
    norm = np.sqrt(values * np.maximum(_norm_squared(scaled, frames, box), 0))
    norm[norm == 0] = np.inf
    return scaled * strengths.max(axis=0) / norm


def _norm_squared(gains: np.ndarray, frames: list[np.ndarray], kernel: np.ndarray) -> np.ndarray:
    """Variance of the sum of the frames, each times its gain at the window."""
    total = np.zeros_like(gains[0])
    for i, frame in enumerate(frames):
        for j in range(i + 1):
            total += (1 if i == j else 2) * gains[i] * gains[j] * _covariance(frame, frames[j], kernel)
    return total


def _covariance(one: np.ndarray, other: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Of two images over the windows that ``kernel``, of sum 1, weights."""
    return _mean(one * other, kernel) - _mean(one, kernel) * _mean(other, kernel)


def _mean(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Filtered both ways, where the window lies inside the image."""
    margin = _WINDOW // 2
    return cv2.sepFilter2D(image, -1, kernel, kernel)[margin:-margin, margin:-margin]
