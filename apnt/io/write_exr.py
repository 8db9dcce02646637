"""OpenEXR with the standard attributes that say what the pixels are and how they were taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
from PIL import Image

from apnt.io.exif_block import as_bytes
from apnt.io.kept import SOFTWARE
from apnt.io.metadata import EXIF_IFD, GPS_IFD
from apnt.io.profile import PRIMARIES

# EXIF tag -> standard attribute (OpenEXR, "Standard Optional Attributes"); text, then numbers.
_FIRST_TEXT = {0x010F: "cameraMake", 0x0110: "cameraModel", 0x013B: "owner", 0x010E: "comments"}
_TEXT = {0x9003: "capDate", 0xA433: "lensMake", 0xA434: "lensModel", 0xA431: "cameraSerialNumber"}
_NUMBERS = {0x829A: "expTime", 0x829D: "aperture", 0x8827: "isoSpeed", 0x920A: "nominalFocalLength"}


def write_exr(path: Path, image: np.ndarray, exif: Image.Exif | None, white_luminance: float | None) -> None:
    """Write (H, W, 3) float16 or float32, contiguous, as the channels R, G, B.

    Raises:
        OSError: the disk refused.
    """
    header: dict[str, Any] = {
        "compression": OpenEXR.ZIP_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        "chromaticities": tuple(float(v) for xy in PRIMARIES["sRGB"] for v in xy),
        "software": SOFTWARE,
    }
    if white_luminance is not None:
        header["whiteLuminance"] = float(white_luminance)
    if exif is not None:
        header |= attributes(exif)
    try:
        OpenEXR.File(header, {"RGB": image}).write(str(path))
    except RuntimeError as error:  # the binding's only type; header and pixels are right here
        raise OSError(str(error)) from error


def attributes(exif: Image.Exif) -> dict[str, Any]:
    """What EXIF says, as standard attributes; entries of another kind than they should have are left out."""
    fields, place = exif.get_ifd(EXIF_IFD), exif.get_ifd(GPS_IFD)
    found: dict[str, Any] = {}
    for entries, names in ((exif, _FIRST_TEXT), (fields, _TEXT)):
        for tag, name in names.items():
            value = entries.get(tag)
            if isinstance(value, str) and value.strip("\0 "):
                found[name] = as_bytes(value).decode("utf-8", "replace").strip()
    for tag, name in _NUMBERS.items():
        value = fields.get(tag)
        number = _number(value[0] if isinstance(value, tuple) and value else value)
        if number is not None and number > 0:
            found[name] = number
    for name, side, angle, negative in (("latitude", 1, 2, "S"), ("longitude", 3, 4, "W")):
        parts = place.get(angle)
        if isinstance(parts, tuple) and len(parts) == 3 and place.get(side):
            degrees = [number for number in map(_number, parts) if number is not None]
            if len(degrees) == len(parts):
                value = sum(part / 60**k for k, part in enumerate(degrees))
                found[name] = -value if str(place[side]).startswith(negative) else value
    height = _number(place.get(6))
    if height is not None:
        found["altitude"] = -height if place.get(5) in (1, b"\1") else height
    return found


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if np.isfinite(number) else None
