"""Where a frame shows another scene than the reference does (Ma et al. 2017, Li et al. 2020).

Two tests, both on windows of 21 by 21 pixels and three channels: does the structure correlate, and is the
brightness what the reference's would be at that exposure? What passes both is consistent.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

WINDOW = 21
"""Side of the windows, in pixels."""

_STABLE = 0.03**2 / 2
_DISK = 21  # radius of the disk that the consistent region must hold everywhere


class Limits(NamedTuple):
    """Thresholds of the two tests.

    Attributes:
        dark, bright: a reference window whose mean lies beyond has no structure to compare: it passes.
        intensity: the largest difference of the means.
        structure: the correlation that passes.
    """

    dark: float
    bright: float
    intensity: float
    structure: float = 0.8


class Windows(NamedTuple):
    """Moments of one frame over every window, each (h, w).

    Attributes:
        mean: over pixels and channels.
        variance: of pixels and channels, not negative.
    """

    mean: np.ndarray
    variance: np.ndarray


def consistent(frame: Windows, reference: Windows, covariance: np.ndarray, limits: Limits) -> np.ndarray:
    """Which windows of ``frame`` show what the reference shows: (h, w) bool.

    The structure test is ``(cov + C) / (sigma sigma_ref + C) > 0.8`` with ``C = 0.03**2 / 2``; what passes
    is opened by a disk, so that no island or strip narrower than it stays.

    Args:
        frame, reference: moments of the windows.
        covariance: of the two, (h, w).
        limits: the thresholds.
    """
    deviations = np.sqrt(frame.variance * reference.variance)
    correlation = (np.maximum(covariance, 0) + _STABLE) / (deviations + _STABLE)
    blank = (reference.mean < limits.dark) | (reference.mean > limits.bright)
    structure = opened((correlation > limits.structure) | blank)
    expected = matched(frame.mean, reference.mean)
    return structure & (np.abs(expected - reference.mean) <= limits.intensity)


def matched(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """``source`` with the histogram of ``target``: 256 levels, each channel for itself.

    Args:
        source, target: (H, W) or (H, W, C) in [0, 1].

    Returns:
        Multiples of 1 / 255, in the shape of ``source``.
    """
    if source.ndim == 3:
        return np.stack([matched(s, t) for s, t in zip(source.T, target.T, strict=True)]).T
    levels = _levels(source)
    return _transfer(levels, _levels(target))[levels] / 255


def _levels(image: np.ndarray) -> np.ndarray:
    return np.floor(image * 255 + 0.5).astype(np.intp)


def _transfer(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The level that each level of ``source`` becomes: (256,), not decreasing.

    MATLAB's rule (histeq): the first level whose cumulative count in the target reaches the source's less
    half of the source's pixels at that level, which half black and white do not get.
    """
    counts = np.bincount(source.ravel(), minlength=256)
    needed = np.cumsum(counts) - counts / 2
    needed[[0, -1]] += counts[[0, -1]] / 2
    available = np.cumsum(np.bincount(target.ravel(), minlength=256)) * (source.size / target.size)
    rounding = source.size * np.sqrt(np.finfo(float).eps)
    return np.searchsorted(available, needed - rounding)


def opened(mask: np.ndarray) -> np.ndarray:
    """The pixels of ``mask`` (H, W) that a disk inside it covers; only its centre must be in the image.

    The disk is the octagon of 41 by 41 pixels by which MATLAB approximates a radius of 21.
    """
    y, x = np.abs(np.mgrid[-_DISK + 1 : _DISK, -_DISK + 1 : _DISK])
    octagon = (x + y <= 3 * (_DISK - 1) // 2).astype(np.uint8)
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, octagon).astype(bool)
