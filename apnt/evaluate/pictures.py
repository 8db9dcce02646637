"""From arrays to pictures: tone mapping by one curve, error maps, attention maps, offset fields."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from PIL import Image

from apnt.looks import render
from apnt.tonemap import mu_law

ERROR_TOP = 0.1
"""Error at the dark end of an error map, in units of the mu-law curve; 0.1 everywhere is 20 dB."""

ERROR_RAMP = ((255, 255, 255), (254, 217, 118), (240, 96, 40), (150, 10, 40), (40, 0, 20))
"""RGB at equal steps from no error to ``ERROR_TOP``."""

ATTENTION_RAMP = ((255, 255, 255), (160, 205, 225), (50, 130, 190), (8, 40, 95))
"""RGB at equal steps from the least to the most attention."""

UNKNOWN = (205, 205, 205)
"""RGB where an offset has no truth."""


def tone_map_alike(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Tone-map radiance images (H, W, 3) of one size by one curve: uint8 sRGB.

    The curve adapts to its input, so all images go through it at once, one above the other. It is the same
    for all pixels: with local contrast, equal images elsewhere in the stack would come out different.
    """
    height = images[0].shape[0]
    stack = np.clip(np.concatenate(list(images)), 0, 1).astype(np.float32)
    mapped = np.rint(255 * render(stack, look="filmic")).astype(np.uint8)
    return [mapped[n * height :][:height] for n in range(len(images))]


def error_map(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(H, W): absolute difference after the mu-law curve, mean over RGB; of (H, W, 3) radiance in [0, 1]."""
    return np.abs(mu_law(np.clip(prediction, 0, 1)) - mu_law(np.clip(truth, 0, 1))).mean(axis=-1)


def ramp(values: np.ndarray, low: float, high: float, colours: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """(H, W) to RGB (H, W, 3) uint8: ``low`` takes the first colour, ``high`` and more the last."""
    share = np.clip((values - low) / max(high - low, 1e-12), 0, 1) * (len(colours) - 1)
    steps = np.arange(len(colours))
    table = np.asarray(colours, np.float64)
    return (
        np.stack([np.interp(share, steps, table[:, c]) for c in range(3)], axis=-1).round().astype(np.uint8)
    )


def flow(offset: np.ndarray, reach: float, known: np.ndarray | None = None) -> np.ndarray:
    """Colour an offset field: the hue is the direction, white is no offset, full colour ``reach`` and more.

    Args:
        offset: (H, W, 2) (dy, dx), pixels.
        reach: length of an offset in full colour, pixels.
        known: (H, W) bool, the others are grey; None = all.

    Returns:
        (H, W, 3) uint8 RGB; right is red, down yellow-green, left cyan, up violet.
    """
    dy, dx = np.moveaxis(np.asarray(offset, np.float32), -1, 0)
    hsv = np.empty((*dy.shape, 3), np.float32)
    hsv[..., 0] = np.rad2deg(np.arctan2(dy, dx)) % 360
    hsv[..., 1] = np.minimum(np.hypot(dy, dx) / max(reach, 1e-6), 1)
    # Full colours are a little darker, so that they stand out from white.
    hsv[..., 2] = 1 - 0.15 * hsv[..., 1]
    colours = np.round(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255).astype(np.uint8)
    if known is not None:
        colours[~known] = UNKNOWN
    return colours


def flow_wheel(side: int = 160) -> np.ndarray:
    """(side, side, 3) uint8: the colours of :func:`flow`, zero in the middle, its reach at the rim."""
    axis = (np.arange(side, dtype=np.float32) + 0.5) * 2 / side - 1
    offset = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)  # (dy, dx)
    # The rim fades to white over two pixels.
    inside = np.clip((1 - np.hypot(offset[..., 0], offset[..., 1])) * side / 4, 0, 1)[..., None]
    return np.round(flow(offset, 1) * inside + 255 * (1 - inside)).astype(np.uint8)


def reach_of(*offsets: np.ndarray) -> int:
    """A round number of pixels that few of the offsets (..., 2) exceed."""
    length = max(
        (float(np.percentile(np.hypot(o[..., 0], o[..., 1]), 98)) for o in offsets if o.size), default=0
    )
    return next((step for step in (2, 5, 10, 15, 20, 30, 40, 60, 80) if step >= length), math.ceil(length))


def mark(picture: np.ndarray, areas: Mapping[tuple[int, int, int], np.ndarray]) -> np.ndarray:
    """Tint areas (H, W) bool of a picture (H, W, 3) uint8, given by their colour; the rest is pale grey."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None]
    result = np.repeat(140 + 0.45 * grey, 3, axis=-1)
    for colour, area in areas.items():
        result[area] = 0.2 * result[area] + 0.8 * np.asarray(colour, np.float32)
    return result.round().clip(0, 255).astype(np.uint8)


def fit(picture: np.ndarray, longest: int) -> np.ndarray:
    """Shrink a picture (H, W, 3) uint8 to a longest side of so many pixels; never enlarges."""
    scale = longest / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def data_uri(picture: np.ndarray, quality: int | None) -> str:
    """A picture (H, W, 3) uint8 as text that a page can hold: JPEG, or PNG without a quality.

    Colour keeps its full resolution from quality 90 on.
    """
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(picture))
    if quality is None:
        image.save(buffer, "PNG", optimize=True)
        kind = "png"
    else:
        image.save(buffer, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2, optimize=True)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
