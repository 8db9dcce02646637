"""Pictures for a display on disk: JPEG, PNG, TIFF and AVIF, with metadata and a colour profile."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from apnt import scratch
from apnt.errors import InputError
from apnt.io import icc
from apnt.io.exif_block import ORIENTATION, block
from apnt.io.files import atomic_path, check_output
from apnt.io.gain_map import with_gain_map
from apnt.io.kept import keep_metadata
from apnt.io.write_tiff import write_tiff

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".avif")
"""What :func:`write_picture` writes."""

JPEG_SUFFIXES = (".jpg", ".jpeg")

_JPEG_QUALITY = 93
_AVIF_QUALITY = 85
_PNG_HEAD = 8 + 25  # signature and IHDR


def write_picture(
    path: str | Path,
    picture: np.ndarray,
    *,
    exif: Image.Exif | None = None,
    gain: np.ndarray | None = None,
) -> Path:
    """Write a picture; the extension chooses the format, and the file is replaced as a whole or not at all.

    JPEG (quality 93, colour at full size) and AVIF (quality 85) have 8 bits a sample; PNG and TIFF have 16
    for floats and 8 for uint8. All carry the profile of sRGB.

    Args:
        path: ends in .jpg, .jpeg, .png, .tif, .tiff or .avif.
        picture: (H, W, 3), sRGB: uint8, or float in [0, 1].
        exif: metadata, from :func:`apnt.io.kept.keep_metadata`; None = nothing but software and size.
        gain: (H, W), not negative: stops by which a display that can is to show a pixel brighter (see
            :func:`apnt.looks.gain.headroom_gain`); a JPEG alone takes it, as Ultra HDR.

    Raises:
        InputError: the path, the picture or the gain cannot be used.
        OSError: the disk refused.
    """
    path = check_output(path, PICTURE_SUFFIXES)
    pixels = _checked(picture)
    exif = keep_metadata(None, pixels.shape[:2]) if exif is None else exif
    suffix = path.suffix.lower()
    if gain is not None:
        check_gain_map(path)
    with atomic_path(path) as temporary:
        if suffix in (".tif", ".tiff"):
            write_tiff(temporary, _deep(pixels), icc.srgb(), exif)
        elif suffix == ".png":
            _write(temporary, *_png(_deep(pixels), exif))
        elif suffix == ".avif":
            _write(temporary, _by_pillow(_shallow(pixels), exif, "AVIF", quality=_AVIF_QUALITY))
        else:
            options = {"quality": _JPEG_QUALITY, "subsampling": 0}
            if gain is not None:
                _write(
                    temporary,
                    with_gain_map(
                        lambda xmp: _by_pillow(_shallow(pixels), exif, "JPEG", xmp=xmp, **options), gain
                    ),
                )
            else:
                _write(temporary, _by_pillow(_shallow(pixels), exif, "JPEG", **options))
    return path


def _write(path: Path, *pieces: bytes | memoryview) -> None:
    """The pieces one after the other."""
    with path.open("wb") as file:
        file.writelines(pieces)


def check_gain_map(path: str | Path) -> None:
    """Refuse a gain map in a format that has no place for one.

    Raises:
        InputError: what the path must end in.
    """
    if Path(path).suffix.lower() not in JPEG_SUFFIXES:
        raise InputError(
            f"a gain map must go into a picture that ends in {', '.join(JPEG_SUFFIXES)}, got {path}"
        )


def _checked(picture: np.ndarray) -> np.ndarray:
    array = np.asarray(picture)
    if array.ndim != 3 or array.shape[-1] != 3 or 0 in array.shape:
        raise InputError(f"picture must have shape (H, W, 3), got {array.shape}")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind != "f":
        raise InputError(f"picture must be uint8 or float in [0, 1], got {array.dtype}")
    if not (array.min() >= 0 and array.max() <= 1):  # NaN too
        raise InputError(f"picture must lie in [0, 1], got {array.min():g} to {array.max():g}")
    return np.ascontiguousarray(array, np.float32)


def _shallow(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.dtype == np.uint8 else _rounded(pixels, 255, np.uint8)


def _deep(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.dtype == np.uint8 else _rounded(pixels, 65535, np.uint16)


def _rounded(pixels: np.ndarray, white: int, dtype: type) -> np.ndarray:
    """Floats in [0, 1] as integers up to white."""
    return scratch.by_strips(pixels, lambda rows: np.rint(rows * white), dtype)


def _by_pillow(pixels: np.ndarray, exif: Image.Exif, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    # In an AVIF it is no business of EXIF's; and Pillow, to move it, would write all entries anew.
    left_out = (ORIENTATION,) if form == "AVIF" else ()
    options["exif"] = b"Exif\0\0" + block(exif, left_out)
    Image.fromarray(pixels).save(buffer, form, icc_profile=icc.srgb(), **options)
    return buffer.getvalue()


def _png(pixels: np.ndarray, exif: Image.Exif) -> list[bytes | memoryview]:
    """By OpenCV, which has 16 bits; the chunks of colour and metadata come behind the header."""
    swapped = scratch.empty(pixels.shape, pixels.dtype)
    data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR, swapped))[1]
    chunks = _chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(icc.srgb()))
    chunks += _chunk(b"eXIf", block(exif))
    return [data[:_PNG_HEAD].data, chunks, data[_PNG_HEAD:].data]


def _chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
