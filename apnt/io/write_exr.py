"""OpenEXR with the standard attributes that say what the pixels are and how they were taken."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import OpenEXR
from PIL import Image

from apnt import scratch
from apnt.io.exif_block import as_bytes
from apnt.io.kept import SOFTWARE
from apnt.io.metadata import EXIF_IFD, GPS_IFD
from apnt.io.names import as_text
from apnt.io.profile import PRIMARIES

# EXIF tag -> standard attribute (OpenEXR, "Standard Optional Attributes"); text, then numbers.
_FIRST_TEXT = {0x010F: "cameraMake", 0x0110: "cameraModel", 0x013B: "owner", 0x010E: "comments"}
_TEXT = {0x9003: "capDate", 0xA433: "lensMake", 0xA434: "lensModel", 0xA431: "cameraSerialNumber"}
_NUMBERS = {0x829A: "expTime", 0x829D: "aperture", 0x8827: "isoSpeed", 0x920A: "nominalFocalLength"}


_HEAD = 8  # bytes of magic number and version
_LINES = 16  # of a chunk with ZIP compression
_LEAST = 1 << 10  # bytes that a file lacks whose table is not there


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
        with as_text(path) as name:
            OpenEXR.File(header, {"RGB": image}).write(name)
    except RuntimeError as error:  # the binding's only type; header and pixels are right here
        raise OSError(str(error)) from error
    _check_end(path, len(image))


def _check_end(path: Path, height: int) -> None:
    """Refuse a file that lacks its end: the library drops the error of the last write, made as it closes."""
    with path.open("rb+") as file:
        try:
            file.seek(_HEAD)
            while _text(file):  # an attribute: its name, its type, its length, and that many bytes
                _text(file)
                (length,) = struct.unpack("<I", file.read(4))
                file.seek(length, os.SEEK_CUR)
            chunks = -(-height // _LINES)
            last = max(struct.unpack(f"<{chunks}Q", file.read(8 * chunks)))
            file.seek(last)
            _, length = struct.unpack("<iI", file.read(8))
            missing = last + 8 + length - path.stat().st_size
        except struct.error:
            missing = _LEAST
        if missing:
            # The system says why there is no room.
            scratch.reserve(file.fileno(), path.stat().st_size + max(missing, 1))
            raise OSError(errno.EIO, "it was not written to its end", str(path))


def _text(file: BinaryIO) -> bytes:
    """Up to the next zero, or to the end of the file."""
    return b"".join(iter(lambda: file.read(1).strip(b"\0"), b""))


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
