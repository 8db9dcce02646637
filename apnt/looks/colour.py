"""Luminance, gamut and curve of sRGB."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from apnt.across import across
from apnt.prepare.response import Response
from apnt.smooth import smoothstep

SRGB = Response("srgb")
"""``SRGB.linear`` decodes and ``SRGB.encode`` encodes (..., 3) values in [0, 1]."""

WEIGHTS = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Luminance of linear red, green, blue: ITU-R BT.709."""

# Oklab: linear sRGB to responses of cones, their cube roots to lightness and two opponent colours; and back.
_CONES = np.array(
    [
        [0.4122214708, 0.2119034982, 0.0883024619],
        [0.5363325363, 0.6806995451, 0.2817188376],
        [0.0514459929, 0.1073969566, 0.6299787005],
    ],
    np.float32,
)
_OPPONENTS = np.array(
    [
        [0.2104542553, 1.9779984951, 0.0259040371],
        [0.7936177850, -2.4285922050, 0.7827717662],
        [-0.0040720468, 0.4505937099, -0.8086757660],
    ],
    np.float32,
)
_RGB, _ROOTS = (np.linalg.inv(m.astype(np.float64)).astype(np.float32) for m in (_CONES, _OPPONENTS))

_FULL = 0.7
"""Value of the largest channel up to which a colour has the luminance that is asked for."""

_PALER = 0.5  # share of white in a coloured light that is as bright as the display's white

_STRONG = 0.07  # chroma, as a share of lightness, from which a light colour loses some
_PALE = 0.15  # share of its colour that any light one loses
_FAINT = 0.045  # chroma, as a share of lightness, of a tint that what is white may have
_WHITER = 0.6  # share that the faintest of these lose
_SOFTENED = 0.2  # by how much more it has half
_LIGHT = (0.52, 0.85)  # lightnesses from which a strong colour loses some, and all that it is to lose

_ORANGE, _AROUND = 52.0, 38.0  # degrees: the hue that turns to yellow most, and how far from it none does
_TURN = 12.0  # degrees, at most

_BRIGHT = 0.1  # luminance up to which nothing is made paler


def luminance(image: np.ndarray) -> np.ndarray:
    """(..., 3) linear RGB to (...)."""
    return np.asarray(image @ WEIGHTS.astype(image.dtype))


class Seen(NamedTuple):
    """What a photograph at its own exposure would show of a light; each (H, W) float32 from 0 to 1.

    Attributes:
        burnt: how far it would be burnt out.
        white: whether it would be white.
        pale: its smallest channel, 1 from a twentieth of white on; at 0 it is pure red, blue or magenta.
    """

    burnt: np.ndarray
    white: np.ndarray
    pale: np.ndarray


def coloured(target: np.ndarray, image: np.ndarray, seen: Seen | None = None) -> np.ndarray:
    """Linear RGB in [0, 1] of a given luminance in the colours of an image.

    No display shows blue or red as bright as white. A colour whose largest channel would come to more than
    0.7 becomes darker, smoothly and the more the stronger it is, and keeps its strength, as coloured glass
    and the glow of a lamp do; what is almost as bright as white becomes paler, and so do strong light colours
    of what a photograph would show burnt out, and faint ones of what it would show white. Pure colours stay
    pure, as they are in a photograph however long it is exposed. Their hue stays.

    Args:
        target: (H, W) float32, luminance, 1 = the display's white; above 1 counts as 1.
        image: (H, W, 3) float32, linear, not negative; its luminance does not count.
        seen: by a photograph; None = nothing is burnt out, white or pure in it.
    """
    own = luminance(image)
    black = own <= 0  # has no hue: grey of the target's luminance
    target = np.minimum(target, np.float32(1))
    scaled = image * (target / np.where(black, np.float32(1), own))[..., None]
    scaled[black] = target[black, None]
    largest = across(np.maximum, scaled)
    fitted = _fitted(largest, target)
    pure = None if seen is None else _pure(scaled, largest, seen)
    scaled *= (fitted / np.maximum(largest, np.float32(1e-30)))[..., None]
    bright = target > _BRIGHT
    colours = scaled[bright]
    here = None if seen is None else Seen(*(values[bright] for values in seen))
    paler = np.float32(_PALER) * target[bright] ** 6
    if here is not None:
        paler *= here.pale
    colours += paler[:, None] * (fitted[bright][:, None] - colours)
    scaled[bright] = _with_hue(colours, image[bright], here)
    if pure is not None:
        where, channels, share = pure
        scaled[where] += share[:, None] * (channels - scaled[where])
    return np.minimum(scaled, np.float32(1), out=scaled)


def yellower(image: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Turn orange towards yellow, as eyes see it; other hues stay.

    The angle in Oklab grows by up to 12 degrees, of orange by most, of red and yellow by nothing.

    Args:
        image: (H, W, 3) float32, linear RGB, not negative, of any scale.
        share: (H, W) float32 in [0, 1], of that angle.

    Returns:
        (H, W, 3) float32, not negative; what has no share of it stays to the last bit.
    """
    where = share > 0
    roots = _roots(image[where]) @ _OPPONENTS
    angle = np.arctan2(roots[..., 2], roots[..., 1])
    away = np.abs(angle - np.float32(np.radians(_ORANGE))) / np.float32(np.radians(_AROUND))
    angle += np.float32(np.radians(_TURN)) * share[where] * smoothstep(0.0, 1.0, 1 - away)
    chroma = np.hypot(roots[..., 1], roots[..., 2])
    roots[..., 1], roots[..., 2] = chroma * np.cos(angle), chroma * np.sin(angle)
    turned = image.copy()
    turned[where] = np.maximum((roots @ _ROOTS) ** 3 @ _RGB, 0)
    return turned


def _pure(
    scaled: np.ndarray, largest: np.ndarray, seen: Seen
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Pure colours with each channel fitted alone, as a photograph has them; None if there are none.

    Where the edge of a blue and red beam comes to be brighter than a display's blue, its red still grows. If
    both were to keep their ratio, red would fall wherever blue grows faster, and the edge would have bands.

    Returns:
        Where, (H, W) bool; (P, 3) float32, linear; and by how much it counts, (P,).
    """
    where = (largest > _FULL) & (seen.pale < 1)
    if not where.any():
        return None
    channels = scaled[where]
    over = np.maximum(channels - np.float32(_FULL), 0)
    room = np.float32(1 - _FULL)
    return where, channels - over + room * -np.expm1(-over / room), 1 - seen.pale[where]


def _fitted(largest: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The largest channel, at most 1, which it reaches where the target does: ``x / (1 + b x)`` above 0.7."""
    room = np.float32(1 - _FULL)
    most = np.maximum(largest / np.maximum(target, np.float32(1e-30)), np.float32(1))  # where the target is 1
    over = np.maximum(largest - np.float32(_FULL), 0)
    bend = 1 / room - 1 / (most - np.float32(_FULL))
    return np.asarray(largest - over + over / (1 + bend * over))


def _with_hue(picture: np.ndarray, image: np.ndarray, seen: Seen | None) -> np.ndarray:
    """Turn the colours of a picture to the hues of an image, as eyes see them; lightness stays.

    On straight lines to white orange turns to pink, and blue to violet. Hue is the angle in Oklab (Ottosson
    2020).

    Args:
        picture: (P, 3) float32, linear RGB in [0, 1].
        image: (P, 3) float32, linear RGB, not negative, of any scale.
        seen: of (P,) each; None = no colour loses chroma.

    Returns:
        (P, 3) float32 in [0, 1].
    """
    wanted = _roots(image) @ _OPPONENTS[:, 1:]  # (P, 2)
    roots = _roots(picture) @ _OPPONENTS
    chroma = np.hypot(roots[..., 1], roots[..., 2])
    if seen is not None:
        chroma *= _strength(chroma, roots[..., 0], seen)
    length = np.hypot(wanted[..., 0], wanted[..., 1])
    sure = length > 0
    roots[..., 1:][sure] = wanted[sure] * (chroma[sure] / length[sure])[..., None]
    turned = (roots @ _ROOTS) ** 3 @ _RGB
    return np.clip(turned, 0.0, 1.0, out=turned)


def _strength(chroma: np.ndarray, lightness: np.ndarray, seen: Seen) -> np.ndarray:
    """Share of chroma that stays, (P,): less of what is light and burnt out, or white."""
    light = smoothstep(*_LIGHT, lightness) * seen.burnt * seen.pale
    strong = chroma / np.maximum(lightness, np.float32(1e-6))
    over = np.maximum(strong - np.float32(_STRONG), 0)
    share = (1 - np.float32(_PALE) * light) / (1 + light * over / np.float32(_SOFTENED))
    faint = np.exp(-((strong / np.float32(_FAINT)) ** 4))
    return np.asarray(share * (1 - np.float32(_WHITER) * seen.white * faint))


def _roots(image: np.ndarray) -> np.ndarray:
    return np.cbrt(image @ _CONES)
