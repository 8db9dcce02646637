"""Gradient field exposure fusion in the style of Gu, Li, Wong, Zhu and Wang (2012).

No program of the authors was at hand, and not every constant of the paper could be verified: what is here
follows its construction, with constants of our own, and claims no equality.
"""

from __future__ import annotations

import cv2
import numpy as np

from apnt.bracket import Bracket
from apnt.methods.gradient_domain import gradient, integrate
from apnt.methods.stack import checked, displayed, grey

WINDOWS = (7, 21, 63)
"""Sides, in pixels, of the mean filters that tell how steep the surroundings are; one attenuation each."""

EXPONENT = 0.2
"""Of each attenuation: 0 leaves gradients as they are, 1 would make all surroundings equally steep."""

SIGMA = 0.2
"""Width, around mid-grey, of the weights of the mean that lends colour and range."""

QUANTILES = (0.01, 0.99)
"""Of the luma, that the range is stretched by."""

_FLOOR = 1e-3  # of a gradient's size: less is noise that must not be raised


def gu12(bracket: Bracket) -> np.ndarray:
    """Fuse; it knows no motion, so what moves becomes a ghost.

    Returns:
        (H, W, 3) float32, display-referred in [0, 1].
    """
    return displayed(fuse(bracket.ldr))


def fuse(frames: np.ndarray) -> np.ndarray:
    """Find the luma that has the stack's attenuated gradients, and colour it.

    The frames together are one image of 3 N values a pixel. Its first fundamental form gives the direction
    in which it changes most and by how much: the fused gradient. That is compressed where the surroundings
    are steep, scale by scale, and integrated (Poisson's equation). Range and colour come from the frames'
    mean weighted by exposure: its luma's quantiles, and its channels' ratios to its luma.

    Args:
        frames: (N, H, W, 3) in [0, 1], dark to bright.

    Returns:
        (H, W, 3) float64, not clipped, not negative.

    Raises:
        InputError: see :func:`apnt.methods.stack.checked`.
    """
    stack = checked(frames)
    closeness = np.exp(-((stack - 0.5) ** 2) / (2 * SIGMA**2)).prod(axis=-1, keepdims=True) + 1e-12
    mean = (closeness * stack).sum(axis=0) / closeness.sum(axis=0)
    luma = grey(mean)
    field = fused_gradient(stack)
    for window in WINDOWS:
        field = attenuated(field, window)
    wanted = np.maximum(_stretched(integrate(field), luma), 0)
    ratio = np.divide(mean, luma[..., None], out=np.ones_like(mean), where=luma[..., None] > 0)
    return ratio * wanted[..., None]


def fused_gradient(stack: np.ndarray) -> np.ndarray:
    """``sqrt(lambda) e``, of the largest eigenvalue of the summed gradient products: (2, H, W).

    Its sign is the one that agrees with the sum of all gradients.
    """
    yy = xx = xy = total = np.zeros(1)
    for frame in stack:
        for channel in np.moveaxis(frame, -1, 0):
            down, right = gradient(channel)
            yy, xx, xy = yy + down**2, xx + right**2, xy + down * right
            total = total + np.stack([down, right])
    largest = (yy + xx) / 2 + np.hypot((yy - xx) / 2, xy)
    angle = np.arctan2(2 * xy, xx - yy) / 2  # of the eigenvector, from the right
    field = np.sqrt(largest) * np.stack([np.sin(angle), np.cos(angle)])
    return np.where((field * total).sum(axis=0) < 0, -field, field)


def attenuated(field: np.ndarray, window: int) -> np.ndarray:
    """Gradients times ``(mean size / mean size nearby)**EXPONENT``, nearby being two mean filters deep."""
    size = np.hypot(*field)
    nearby = size
    for _ in range(2):
        nearby = cv2.blur(nearby, (window, window), borderType=cv2.BORDER_REFLECT)
    return field * ((size.mean() + _FLOOR) / (nearby + _FLOOR)) ** EXPONENT


def _stretched(image: np.ndarray, like: np.ndarray) -> np.ndarray:
    """``image`` with the low and high quantile of ``like``; with its mean where one of them is flat."""
    low, high = np.quantile(image, QUANTILES)
    wanted_low, wanted_high = np.quantile(like, QUANTILES)
    if high - low < 1e-9:
        return image - image.mean() + like.mean()
    return (image - low) * ((wanted_high - wanted_low) / (high - low)) + wanted_low
