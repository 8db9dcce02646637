"""Linear radiance on disk: read from Radiance .hdr and OpenEXR, written to these and float TIFF."""

from __future__ import annotations

import re
import sys
import threading
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import OpenEXR
from PIL import Image

from apnt import scratch
from apnt.errors import InputError
from apnt.io import icc, kept
from apnt.io.decoded import check_size
from apnt.io.exif import ExifExposure
from apnt.io.files import atomic_path, check_output
from apnt.io.names import as_text
from apnt.io.rgbe import decode_rgbe, write_rgbe
from apnt.io.write_exr import write_exr
from apnt.io.write_tiff import write_tiff
from apnt.memory import SMALLER, explained
from apnt.strips import strips

RADIANCE_SUFFIXES = (".hdr", ".exr", ".tif", ".tiff")
"""What :func:`write_radiance` writes."""

READABLE_SUFFIXES = (".hdr", ".exr")
"""What :func:`read_radiance` reads."""

_HALF_MAX = float(np.finfo(np.float16).max)
_HALF_FINE = 0.5 * 2.0**-24 / 0.01  # radiance from which half floats are right to 1 %
_HALF_SHARE = 1e-3  # of the values that are not zero, that may be below it


_HEAD = 1 << 16  # bytes: the text before the pixels of a .hdr is a few lines
_SIGNATURES = (b"#?RADIANCE", b"#?RGBE")
_RESOLUTION = re.compile(rb"\n[-+]Y +(\d{1,9}) +[-+]X +(\d{1,9})\n")
_MOST_PIXELS_A_BYTE = 64  # its run-length code repeats 255 pixels in four bytes


def read_radiance(path: str | Path) -> np.ndarray:
    """Read an HDR image as linear RGB radiance.

    Args:
        path: a Radiance ``.hdr`` or an OpenEXR ``.exr`` file with channels R, G, B (others are dropped).

    Returns:
        (H, W, 3) float32, finite, not negative; arbitrary scale, as stored.

    Raises:
        InputError: the file is missing, cannot be read, or has no R, G, B channels.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"path must be an HDR image, got {path}, which is no file")
    with explained(str(path), SMALLER):
        image = _read_exr(path) if path.suffix.lower() == ".exr" else _read_hdr(path)
        image = np.ascontiguousarray(image, dtype=np.float32)
        # Lossy EXR compression leaves tiny negatives, broken renders leave NaN: neither is light.
        np.maximum(image, 0.0, out=image)
        return np.nan_to_num(image, copy=False, nan=0.0, posinf=np.finfo(np.float32).max)


def write_radiance(
    path: str | Path,
    radiance: np.ndarray,
    *,
    exif: Image.Exif | None = None,
    white_luminance: float | None = None,
    half: bool | None = None,
) -> Path:
    """Write linear RGB radiance; the extension chooses the format.

    ``.exr`` holds the channels R, G, B with lossless ZIP and the attribute ``chromaticities`` (sRGB's); half
    floats where they are as good as floats for this image (see ``half``). ``.hdr`` is RGBE (8 bits a channel
    with a shared exponent). ``.tif`` and ``.tiff`` are 32-bit float, not compressed, with a linear ICC
    profile. An existing file is replaced when the new one is complete.

    Args:
        path: ends in .hdr, .exr, .tif or .tiff.
        radiance: (H, W, 3) float, linear, finite, not negative; 1 is where the shortest exposure saturates.
        exif: metadata, from :func:`apnt.io.kept.keep_metadata`: whole in a TIFF; time, exposure, camera and
            place as standard attributes of an ``.exr``; the time alone in ``.hdr``.
        white_luminance: cd/m2 of a pixel (1, 1, 1), written as ``whiteLuminance`` into an ``.exr``; see
            :func:`white_luminance_of`. Other formats have no place for it.
        half: whether an ``.exr`` holds 16-bit floats; None = where 99.9 % of the values that are not zero
            stay right to 1 %, and none is lost beyond their range.

    Returns:
        The path.

    Raises:
        InputError: the path or the array cannot be used.
        OSError: the disk refused.
    """
    path = check_output(path, RADIANCE_SUFFIXES)
    image = check_radiance(radiance)
    with atomic_path(path) as temporary:
        if path.suffix.lower() == ".hdr":
            write_rgbe(temporary, image, exif)
        elif path.suffix.lower() == ".exr":
            half = fits_half(image) if half is None else half
            stored = scratch.by_strips(image, np.asarray, np.float16) if half else image
            write_exr(temporary, stored, exif, white_luminance)
        else:
            metadata = None if exif is None else kept.linear(exif)
            write_tiff(temporary, image, icc.linear_srgb(), metadata)
    return path


def fits_half(image: np.ndarray) -> bool:
    """Whether 16-bit floats hold an image as :func:`write_radiance` promises."""
    if image.max() > _HALF_MAX:
        return False
    lit, coarse = 0, 0
    for rows in strips(len(image)):
        above = image[rows] > 0
        lit += np.count_nonzero(above)
        # Below 2**-14 the step of half floats is fixed, 2**-24, and rounding is off by half of it.
        coarse += np.count_nonzero(above & (image[rows] < _HALF_FINE))
    return coarse <= _HALF_SHARE * lit


def white_luminance_of(exposure: ExifExposure, relative_time: float) -> float | None:
    """Luminance in cd/m2 of radiance 1, from the exposure of one frame (ISO 12232, saturation-based speed).

    ``78 / 0.65 * N^2 / (t S)``: what fills a sensor of that speed. Good to about a stop, because cameras
    leave different headroom, and lenses lose light.

    Args:
        exposure: of the frame.
        relative_time: its exposure relative to the shortest frame's, whose saturation is radiance 1.

    Returns:
        None where time, ISO or aperture is not known.
    """
    if exposure.time is None or exposure.iso is None or exposure.f_number is None:
        return None
    return 78 / 0.65 * exposure.f_number**2 / (exposure.time * exposure.iso) * relative_time


def check_radiance(radiance: np.ndarray) -> np.ndarray:
    """Radiance as contiguous (H, W, 3) float32, or an InputError that says what is wrong with it."""
    array = np.asarray(radiance)
    if array.ndim != 3 or array.shape[-1] != 3 or 0 in array.shape or array.dtype.kind != "f":
        raise InputError(f"radiance must be float with shape (H, W, 3), got {array.dtype} with {array.shape}")
    image = np.ascontiguousarray(array, dtype=np.float32)
    # The least and the largest tell of NaN and infinity, too.
    if not (image.min() >= 0 and image.max() < np.inf):
        raise InputError(f"radiance must be finite and not negative, got {image.min():g} to {image.max():g}")
    return image


def _read_hdr(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    found = _RESOLUTION.search(head)
    image = None
    if head.startswith(_SIGNATURES) and found is not None:  # else OpenCV would decode any format it knows
        height, width = (int(number) for number in found.groups())
        _check_size(width, height, path)
        if width * height <= _MOST_PIXELS_A_BYTE * path.stat().st_size:
            image = decode_rgbe(path)
    if image is None:
        raise InputError(f"path must be a whole Radiance .hdr image in colour, and {path} is not one")
    return image[..., ::-1]


def _check_size(width: int, height: int, path: Path) -> None:
    try:
        check_size(width, height)
    except InputError as error:
        raise InputError(f"{path} {error}") from error


_EXR_SPEAKS = threading.Lock()  # stdout is the same for all threads


def _read_exr(path: Path) -> np.ndarray:
    try:
        with _EXR_SPEAKS:
            return _exr_pixels(path)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # the binding raises bare RuntimeError subclasses of several kinds
        raise InputError(f"path must be an OpenEXR image, and {path} cannot be read: {error}") from error


def _exr_pixels(path: Path) -> np.ndarray:
    # On stdout, where results go, the binding prints what is wrong with a file.
    with redirect_stdout(sys.stderr), as_text(path) as name:
        window = OpenEXR.File(name, header_only=True).header()["dataWindow"]
        width, height = (int(last) - int(first) + 1 for first, last in zip(*window, strict=True))
        _check_size(width, height, path)
        # Joined, channels of different types would be refused.
        channels = OpenEXR.File(name, separate_channels=True).channels()
    if not set("RGB") <= set(channels):
        raise InputError(f"path must hold the channels R, G, B, and {path} holds {sorted(channels)}")
    return np.stack([channels[each].pixels.astype(np.float32) for each in "RGB"], axis=-1)
