"""Tone-mapped previews: linear radiance looks black in a viewer, because 1.0 is a highlight there."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from apnt.io.files import check_output, write_bytes
from apnt.io.radiance import check_radiance
from apnt.io.written import exif_block

PREVIEW_SUFFIXES = (".jpg", ".jpeg", ".png")

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)  # ITU-R BT.709
_KEY = np.float32(0.2)  # where the middle of the scene goes, linear
_TOP_STOPS = 1.5  # how far above the key the large-scale highlights may go
_HIGHLIGHT_SLOPE = (0.2, 1.0)  # limits of the compression of what is brighter than the middle
_SHADOW_SLOPE = 0.75
_SHOULDER = np.float32(0.6)  # from here luminance rolls off to 1
_FLOOR = 1e-5  # luminance below this part of the largest counts as black
_EDGE = 0.5  # variance in stops**2 from which a step is an edge to keep in the base


def tone_map(radiance: np.ndarray) -> np.ndarray:
    """Tone-map linear radiance for display.

    Splits log luminance into a smooth base and local detail (guided filter, He et al. 2010), compresses the
    base around its middle and keeps the detail (Durand and Dorsey 2002); hue stays, and colours too bright
    for the display fade to white. Independent of the scale of the input.

    Args:
        radiance: (H, W, 3) float, linear RGB, finite and not negative.

    Returns:
        (H, W, 3) uint8, sRGB.

    Raises:
        InputError: another shape, dtype or range.
    """
    image = check_radiance(radiance)
    peak = float(image.max())
    if peak == 0.0:
        return np.zeros(image.shape, np.uint8)
    image = image / np.float32(peak)
    luminance = np.maximum(image @ _LUMINANCE, np.float32(_FLOOR))  # (H, W)
    stops = np.log2(luminance)
    base = _guided_base(stops)
    lit = base[luminance > _FLOOR]
    lit = lit if lit.size else base
    middle = 0.5 * float(np.median(lit)) + 0.5 * float(lit.mean())
    highlights = float(np.percentile(lit, 99.5)) - middle
    slope = np.clip(_TOP_STOPS / max(highlights, 1e-6), *_HIGHLIGHT_SLOPE)
    above = base - np.float32(middle)
    compressed = np.where(above > 0, np.float32(slope), np.float32(_SHADOW_SLOPE)) * above
    target = _KEY * np.exp2(compressed + stops - base)
    room = np.float32(1.0) - _SHOULDER
    target = np.where(target > _SHOULDER, _SHOULDER + room * np.tanh((target - _SHOULDER) / room), target)
    return _srgb(_into_gamut(image * (target / luminance)[..., None]))


def write_preview(path: str | Path, radiance: np.ndarray) -> Path:
    """Write :func:`tone_map` of the radiance as an 8-bit JPEG or PNG; replaced as a whole or not at all.

    Raises:
        InputError: the path or the array cannot be used.
        OSError: the disk refused.
    """
    return write_picture(path, tone_map(radiance))


def write_picture(path: str | Path, pixels: np.ndarray) -> Path:
    """Write (H, W, 3) uint8 as a JPEG or PNG; replaced as a whole or not at all.

    Raises:
        InputError: the path cannot be used.
        OSError: the disk refused.
    """
    path = check_output(path, PREVIEW_SUFFIXES)
    picture = Image.fromarray(pixels)
    buffer = io.BytesIO()
    if path.suffix.lower() == ".png":
        picture.save(buffer, "PNG", exif=exif_block())
    else:
        picture.save(buffer, "JPEG", quality=93, subsampling=0, exif=exif_block())
    write_bytes(path, buffer.getvalue())
    return path


def _guided_base(stops: np.ndarray) -> np.ndarray:
    radius = max(4, min(stops.shape) // 12)

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)

    average = mean(stops)
    variance = np.maximum(mean(stops * stops) - average * average, 0.0)
    gain = variance / (variance + np.float32(_EDGE))
    return mean(gain) * stops + mean(average - gain * average)


def _into_gamut(image: np.ndarray) -> np.ndarray:
    # Move colours above 1 towards grey of the same luminance (at most 1) until the largest channel fits.
    grey = (image @ _LUMINANCE)[..., None]
    largest = image.max(axis=-1, keepdims=True)
    keep = np.where(largest > 1.0, (1.0 - grey) / np.maximum(largest - grey, 1e-6), 1.0)
    return grey + (image - grey) * np.clip(keep, 0.0, 1.0)


def _srgb(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0.0, 1.0)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255.0 * encoded).astype(np.uint8)
