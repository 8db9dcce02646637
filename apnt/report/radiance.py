"""Radiance as text that a page can hold, at half precision, and how it is shown; ``radiance.js`` reads it."""

from __future__ import annotations

import base64
import math
import zlib
from typing import NamedTuple

import cv2
import numpy as np

_BRIGHTEST = 2.0**15  # what the largest value is stored below; half floats end at 65504


class Embedded(NamedTuple):
    """Radiance in a page.

    Attributes:
        width, height: pixels.
        scale: stored values times this, a power of two, are radiance.
        data: base64 of zlib of the low bytes, then the high bytes, of (H, W, 3) differences between
            neighbours of a row, modulo 2^16, of the bits of half floats.
    """

    width: int
    height: int
    scale: float
    data: str


def reduced(image: np.ndarray, pixels: int) -> np.ndarray:
    """An image (H, W, C) averaged down to at most so many pixels; never enlarged."""
    height, width = image.shape[:2]
    factor = math.sqrt(pixels / (height * width))
    if factor >= 1:
        return image
    size = (max(1, int(width * factor)), max(1, int(height * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def embed(image: np.ndarray) -> Embedded:
    """Radiance (H, W, 3), not negative, as text: right to 2^-11 from 2^-29 of its largest value on."""
    height, width = image.shape[:2]
    largest = float(image.max())
    scale = 2.0 ** math.ceil(math.log2(largest)) / _BRIGHTEST if largest > 0 else 1.0
    bits = (image / np.float32(scale)).astype(np.float16).view(np.uint16)
    # Bits of positive halves are in the order of their values: smooth areas become small differences.
    steps = np.diff(bits, axis=1, prepend=np.uint16(0))  # (H, W, 3), modulo 2^16
    planes = np.concatenate([(steps & 0xFF).ravel(), (steps >> 8).ravel()]).astype(np.uint8)
    data = base64.b64encode(zlib.compress(planes.tobytes(), 6)).decode("ascii")
    return Embedded(width, height, scale, data)
