"""Gaussian and Laplacian pyramids (Burt and Adelson 1983) with the borders of Mertens' program."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

KERNEL = np.array([1, 4, 6, 4, 1]) / 16


def down(image: np.ndarray) -> np.ndarray:
    """Half the size, (ceil(H / 2), ceil(W / 2), ...): smoothed, then the samples 0, 2, 4, ... kept.

    Beyond the border the image is mirrored with its edge repeated.
    """
    return cv2.sepFilter2D(image, -1, KERNEL, KERNEL, borderType=cv2.BORDER_REFLECT)[::2, ::2]


def up(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Twice the size, ``height`` and ``width`` being what :func:`down` halved.

    The samples, with a border of one repeated pixel, are spread over a grid of zeros and smoothed; the
    factor 4 makes up for the zeros.
    """
    padded = cv2.copyMakeBorder(image, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    spread = np.zeros((2 * padded.shape[0], 2 * padded.shape[1], *image.shape[2:]))
    spread[::2, ::2] = 4 * padded
    smooth = cv2.sepFilter2D(spread, -1, KERNEL, KERNEL, borderType=cv2.BORDER_CONSTANT)
    return smooth[2 : 2 + height, 2 : 2 + width]


def gaussian(image: np.ndarray, levels: int) -> list[np.ndarray]:
    """The image and ``levels - 1`` halvings of it, finest first."""
    pyramid = [image]
    for _ in range(levels - 1):
        pyramid.append(down(pyramid[-1]))
    return pyramid


def laplacian(image: np.ndarray, levels: int) -> list[np.ndarray]:
    """Each level less what the next coarser one predicts, finest first; the coarsest stays as it is."""
    smooth = gaussian(image, levels)
    return [*(fine - up(coarse, *fine.shape[:2]) for fine, coarse in pairwise(smooth)), smooth[-1]]


def collapse(pyramid: list[np.ndarray]) -> np.ndarray:
    """The image of which ``pyramid`` is the Laplacian pyramid."""
    image = pyramid[-1]
    for detail in pyramid[-2::-1]:
        image = detail + up(image, *detail.shape[:2])
    return image
