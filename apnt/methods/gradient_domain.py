"""Images and their gradients: forward differences, and the image whose gradient is nearest to a field."""

from __future__ import annotations

import numpy as np


def gradient(image: np.ndarray) -> np.ndarray:
    """Forward differences down and to the right, 0 in the last row and column: (2, H, W) of (H, W)."""
    return np.stack([np.diff(image, axis=axis, append=image.take([-1], axis=axis)) for axis in (0, 1)])


def divergence(field: np.ndarray) -> np.ndarray:
    """Backward differences of a (2, H, W) field, summed: (H, W). Nothing flows through the border."""
    down, right = field.copy()
    down[-1], right[:, -1] = 0, 0
    return np.diff(down, axis=0, prepend=0) + np.diff(right, axis=1, prepend=0)


def integrate(field: np.ndarray) -> np.ndarray:
    """The image of mean 0 whose gradient is nearest to ``field`` in least squares.

    Poisson's equation with Neumann borders, solved exactly: mirrored to twice the size, the image is
    periodic, and the Fourier transform diagonalises the Laplacian.

    Args:
        field: (2, H, W).

    Returns:
        (H, W) float64.
    """
    height, width = field.shape[1:]
    mirrored = np.pad(divergence(field), ((0, height), (0, width)), mode="symmetric")
    down = 2 * np.cos(np.pi * np.arange(2 * height) / height) - 2
    right = 2 * np.cos(np.pi * np.arange(width + 1) / width) - 2
    laplacian = down[:, None] + right
    laplacian[0, 0] = -np.inf  # the mean, which no gradient tells
    return np.fft.irfft2(np.fft.rfft2(mirrored) / laplacian, mirrored.shape)[:height, :width]
