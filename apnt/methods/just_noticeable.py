"""Just noticeable distortion: how large an error the eye forgives where (Yang and others 2005)."""

from __future__ import annotations

import cv2
import numpy as np

_BACKGROUND = (
    np.array([[1, 1, 1, 1, 1], [1, 2, 2, 2, 1], [1, 2, 0, 2, 1], [1, 2, 2, 2, 1], [1, 1, 1, 1, 1]]) / 32
)
_ACROSS = np.outer([0, 1, 0, -1, 0], [1, 3, 8, 3, 1]).astype(np.float64)
_DIAGONAL = np.array(
    [[0, 0, 1, 0, 0], [0, 8, 3, 0, 0], [1, 3, 0, -3, -1], [0, 0, -3, -8, 0], [0, 0, -1, 0, 0]], np.float64
)
_DIRECTIONS = (_ACROSS, _ACROSS.T, _DIAGONAL, _DIAGONAL[:, ::-1])
_EDGE_HIGH, _EDGE_LOW = 0.5, 0.2  # of the largest gradient
_EDGE_SIGMA = np.sqrt(2)
_EDGE_RADIUS = 5  # of the octagon by which MATLAB approximates a disk of radius 6
_EDGE_DISCOUNT = 0.95  # errors beside an edge are seen: texture hides none there


def threshold(luma: np.ndarray) -> np.ndarray:
    """The visibility threshold, in 8-bit levels.

    Args:
        luma: (H, W), 0 to 255.

    Returns:
        (H, W) float64, about 3 to 30: the larger part of what brightness and texture hide, and 0.7 of the
        smaller. Beyond the border counts as black.
    """
    background = _filtered(luma, _BACKGROUND)
    dark = 17 * (1 - np.sqrt(np.minimum(background, 127) / 127)) + 3
    brightness = np.where(background <= 127, dark, 3 / 128 * (background - 127) + 3)
    gradient = np.max([np.abs(_filtered(luma, kernel)) for kernel in _DIRECTIONS], axis=0) / 16
    hidden = gradient * _away_from_edges(luma)
    texture = hidden * (0.0001 * background + 0.115) + 0.5 - 0.01 * background
    return brightness + texture - 0.3 * np.minimum(brightness, texture)


def _away_from_edges(luma: np.ndarray) -> np.ndarray:
    """1 far from edges, 0.05 within about 5 pixels of one, smoothed."""
    reach = (
        np.abs(np.mgrid[-_EDGE_RADIUS : _EDGE_RADIUS + 1, -_EDGE_RADIUS : _EDGE_RADIUS + 1]).sum(axis=0) <= 8
    )
    near = cv2.dilate(edges(luma), reach.astype(np.uint8))
    kernel = cv2.getGaussianKernel(7, 0.8, cv2.CV_64F)
    return cv2.sepFilter2D(
        1 - _EDGE_DISCOUNT * near, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_CONSTANT
    )


def edges(luma: np.ndarray) -> np.ndarray:
    """Canny's edges at thresholds relative to the largest gradient: (H, W) uint8, 1 on an edge."""
    radius = int(np.ceil(4 * _EDGE_SIGMA))
    smooth = cv2.getGaussianKernel(2 * radius + 1, _EDGE_SIGMA, cv2.CV_64F)
    slope = np.gradient(smooth.ravel())
    border = cv2.BORDER_REPLICATE
    dx = cv2.sepFilter2D(luma, cv2.CV_64F, slope, smooth, borderType=border)
    dy = cv2.sepFilter2D(luma, cv2.CV_64F, smooth, slope, borderType=border)
    largest = np.hypot(dx, dy).max()
    if largest < 1e-9:
        return np.zeros(luma.shape, np.uint8)
    scale = 20000 / largest  # OpenCV takes 16-bit gradients
    dx, dy = (np.round(d * scale).astype(np.int16) for d in (dx, dy))
    return (cv2.Canny(dx, dy, 20000 * _EDGE_LOW, 20000 * _EDGE_HIGH, L2gradient=True) > 0).astype(np.uint8)


def _filtered(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return cv2.filter2D(image, cv2.CV_64F, kernel, borderType=cv2.BORDER_CONSTANT)
