"""Colour profiles: from the primaries of a file to those of sRGB, in linear light."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from PIL import ImageCms

from apnt.across import across

_SIZE = 65536  # entries of a curve: exact for 16-bit samples
_KEPT = 8  # profiles: the frames of a bracket have the same
_BAND = 1 << 20  # pixels converted at a time, so that temporaries stay small

# CIE xy of red, green, blue and white.
_D65 = (0.3127, 0.3290)
D50 = (0.34567, 0.35850)
PRIMARIES = {
    "sRGB": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65),
    "Display P3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
    "Adobe RGB (1998)": ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), _D65),
    "BT.601 (625 lines)": ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    "BT.601 (525 lines)": ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    "BT.2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
}
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

Curve = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Profile:
    """A matrix/TRC colour space.

    Attributes:
        name: what people call it.
        to_srgb: (3, 3), its linear RGB to linear sRGB; rows sum to one, so grey stays grey.
        curves: (3, 65536) float32, stored value (as index / 65535) to linear light in [0, 1], one a channel.
    """

    name: str
    to_srgb: np.ndarray
    curves: np.ndarray

    @property
    def is_srgb_primaries(self) -> bool:
        """The primaries are those of sRGB (and BT.709): no colour changes."""
        return bool(np.abs(self.to_srgb - np.eye(3)).max() < 0.01)

    @cached_property
    def is_linear(self) -> bool:
        """Stored values are proportional to light."""
        return bool(np.abs(self.curves - np.linspace(0, 1, _SIZE)).max() < 1e-3)

    def inverse(self) -> Profile:
        """The same curves with the way back from sRGB's primaries."""
        return Profile(self.name, np.linalg.inv(self.to_srgb), self.curves)

    def apply(self, pixels: np.ndarray) -> float:
        """Convert to sRGB's primaries, in place; the curve stays the profile's own.

        Light outside sRGB's gamut is clipped at zero, and beyond one at one. A channel that was saturated
        stays so.

        Args:
            pixels: (H, W, 3) float32 in [0, 1], contiguous.

        Returns:
            The share of pixels that had a channel below zero by more than 1/1000.
        """
        flat = pixels.reshape(-1, 3)
        tables = None if self.is_linear else self._tables
        matrix = self.to_srgb.T.astype(np.float32)
        outside = 0
        for start in range(0, len(flat), _BAND):
            band = flat[start : start + _BAND]
            saturated = band >= 1
            light = (band if tables is None else self._decode(band)) @ matrix
            outside += int(across(np.logical_or, light < -1e-3).sum())
            np.clip(light, 0, 1, out=light)
            band[...] = light if tables is None else _encode(light, tables)
            band[saturated] = 1
        return outside / max(1, len(flat))

    @cached_property
    def _tables(self) -> list[np.ndarray]:
        return [_inverse(curve) for curve in self.curves]

    def _decode(self, band: np.ndarray) -> np.ndarray:
        index = np.rint(band * np.float32(_SIZE - 1)).astype(np.uint16)
        return np.stack([np.take(self.curves[c], index[:, c]) for c in range(3)], axis=-1)


@lru_cache(_KEPT)
def from_icc(data: bytes) -> Profile | None:
    """Read the matrix and the curves of an ICC profile (ICC.1:2022, 8.3.3 and 10).

    Returns:
        None for a profile of another kind: tables (LUT) alone, CMYK, Lab; for a grey one, sRGB's primaries.

    Raises:
        ValueError: the profile is broken.
    """
    if len(data) < 132 or data[36:40] != b"acsp":
        raise ValueError("it is no ICC profile")
    tags = _icc_tags(data)
    space = data[16:20]
    if space == b"GRAY" and b"kTRC" in tags:
        return Profile(_icc_name(data), np.eye(3), np.stack([_icc_curve(tags[b"kTRC"])] * 3))
    needed = (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")
    if space != b"RGB " or not all(name in tags for name in needed):
        return None
    colorants = np.stack([_icc_xyz(tags[name]) for name in needed[:3]], axis=-1)
    srgb = to_xyz(PRIMARIES["sRGB"], D50)
    curves = np.stack([_icc_curve(tags[name]) for name in needed[3:]])
    return Profile(_icc_name(data), _keep_grey(np.linalg.solve(srgb, colorants)), curves)


@lru_cache(_KEPT)
def from_chromaticities(
    name: str, primaries: tuple[tuple[float, float], ...], curve: Curve | None = None
) -> Profile:
    """A profile from CIE xy of red, green, blue and white, and a curve (sRGB's unless given).

    Raises:
        ValueError: primaries on one line.
    """
    table = (curve or srgb_curve)(np.linspace(0, 1, _SIZE))
    matrix = _keep_grey(np.linalg.solve(to_xyz(PRIMARIES["sRGB"]), to_xyz(primaries)))
    return Profile(name, matrix, np.stack([table.astype(np.float32)] * 3))


def srgb_curve(v: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1: stored value in [0, 1] to linear light."""
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


@lru_cache(_KEPT)
def gamma_curve(gamma: float) -> Curve:
    """``v**gamma``."""
    return lambda v: v**gamma


def bt709_curve(v: np.ndarray) -> np.ndarray:
    """The inverse of BT.709's camera curve."""
    return np.where(v < 0.081, v / 4.5, ((v + 0.099) / 1.099) ** (1 / 0.45))


def linear_profile(name: str, to_srgb: np.ndarray) -> Profile:
    """A profile without a curve."""
    return Profile(name, to_srgb, np.stack([np.linspace(0, 1, _SIZE, dtype=np.float32)] * 3))


def adobe_rgb() -> Profile:
    """Adobe RGB (1998), whose gamma is 563/256."""
    return from_chromaticities("Adobe RGB (1998)", PRIMARIES["Adobe RGB (1998)"], gamma_curve(563 / 256))


def _encode(light: np.ndarray, tables: list[np.ndarray]) -> np.ndarray:
    # Even steps in the root of light are fine enough near black, where curves are steep.
    root = np.rint(np.sqrt(light) * np.float32(_SIZE - 1)).astype(np.uint16)
    return np.stack([np.take(tables[c], root[:, c]) for c in range(3)], axis=-1)


def _inverse(curve: np.ndarray) -> np.ndarray:
    """(65536,) float32: the root of light (as index / 65535) to the stored value."""
    rising = np.maximum.accumulate(curve.astype(np.float64))
    rising += np.arange(_SIZE) * 1e-12  # np.interp asks for a rising curve
    grid = np.linspace(0, 1, _SIZE)
    return np.interp(grid**2, rising, grid).astype(np.float32)


def _xyz(xy: tuple[float, float]) -> np.ndarray:
    return np.array([xy[0] / xy[1], 1.0, (1 - xy[0] - xy[1]) / xy[1]])


def to_xyz(primaries: tuple[tuple[float, float], ...], adapt_to: tuple[float, float] = _D65) -> np.ndarray:
    """(3, 3): linear RGB of these primaries and white to XYZ, with white adapted by Bradford's method."""
    red, green, blue, white = primaries
    columns = np.stack([_xyz(red), _xyz(green), _xyz(blue)], axis=-1)
    matrix = columns * np.linalg.solve(columns, _xyz(white))
    cone = (_BRADFORD @ _xyz(adapt_to)) / (_BRADFORD @ _xyz(white))
    return np.linalg.inv(_BRADFORD) @ np.diag(cone) @ _BRADFORD @ matrix


def _keep_grey(matrix: np.ndarray) -> np.ndarray:
    """Rows that sum to one: the file's white is white, whatever rounding or adaptation its profile has."""
    sums = matrix.sum(axis=1, keepdims=True)
    if not np.isfinite(matrix).all() or (sums < 0.1).any():
        raise ValueError("its primaries are no colour space")
    return matrix / sums


def _icc_tags(data: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", data, 128)
    entries = [struct.unpack_from(">4sII", data, 132 + 12 * n) for n in range(min(count, 200))]
    return {name: data[offset : offset + size] for name, offset, size in entries}


def _icc_xyz(tag: bytes) -> np.ndarray:
    return np.array(struct.unpack_from(">3i", tag, 8)) / 65536


def _icc_curve(tag: bytes) -> np.ndarray:
    """A ``curv`` or ``para`` tag as 65536 values (ICC.1:2022, 10.6 and 10.18)."""
    x = np.linspace(0, 1, _SIZE)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return x.astype(np.float32)
        points = np.frombuffer(tag, ">u2", count, 12)
        if count == 1:
            return (x ** (points[0] / 256)).astype(np.float32)
        return np.interp(x, np.linspace(0, 1, count), points / 65535).astype(np.float32)
    if tag[:4] != b"para":
        raise ValueError("its curve has an unknown type")
    (kind,) = struct.unpack_from(">H", tag, 8)
    if kind > 4:
        raise ValueError("its curve has an unknown formula")
    g, *rest = np.array(struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", tag, 12)) / 65536
    a, b = (rest[0], rest[1]) if kind else (1.0, 0.0)
    power = np.maximum(a * x + b, 0) ** g
    if kind in (0, 1):
        light = power
    elif kind == 2:
        light = np.where(x >= -b / a, power + rest[2], rest[2])
    else:
        c, d = rest[2], rest[3]
        e, f = (rest[4], rest[5]) if kind == 4 else (0.0, 0.0)
        light = np.where(x >= d, power + e, c * x + f)
    return np.clip(light, 0, 1).astype(np.float32)


def _icc_name(data: bytes) -> str:
    try:
        return (ImageCms.ImageCmsProfile(io.BytesIO(data)).profile.profile_description or "unnamed").strip()
    except (OSError, ImageCms.PyCMSError):
        return "unnamed"
