"""Luminance, gamut and curve of sRGB."""

from __future__ import annotations

import numpy as np

from apnt.prepare.response import Response

SRGB = Response("srgb")
"""``SRGB.linear`` decodes and ``SRGB.encode`` encodes (..., 3) values in [0, 1]."""

WEIGHTS = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Luminance of linear red, green, blue: ITU-R BT.709."""

_DIMMED = (
    0.5  # share, in the logarithm, of what is too much in a channel that darkening takes; the rest is grey's
)


def luminance(image: np.ndarray) -> np.ndarray:
    """(..., 3) linear RGB to (...)."""
    return np.asarray(image @ WEIGHTS.astype(image.dtype))


def coloured(target: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Linear RGB in [0, 1] of a given luminance in the colours of an image.

    A colour that is too bright for the display becomes a little darker, and moves towards grey on the
    straight line of its hue.

    Args:
        target: (H, W) float32, luminance, 1 = the display's white; above 1 counts as 1.
        image: (H, W, 3) float32, linear, not negative; its luminance does not count.
    """
    own = luminance(image)
    black = own <= 0  # has no hue: grey of the target's luminance
    target = np.minimum(target, np.float32(1))
    scaled = image * (target / np.where(black, np.float32(1), own))[..., None]
    scaled[black] = target[black, None]
    largest = scaled.max(axis=-1)
    dimmer = np.maximum(largest, np.float32(1)) ** np.float32(-_DIMMED)
    scaled *= dimmer[..., None]
    largest, grey = (largest * dimmer)[..., None], (target * dimmer)[..., None]
    keep = np.where(largest > 1.0, (1.0 - grey) / np.maximum(largest - grey, 1e-6), 1.0)
    scaled -= grey
    scaled *= keep
    scaled += grey
    return np.clip(scaled, 0.0, 1.0, out=scaled)
