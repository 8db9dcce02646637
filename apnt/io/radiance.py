"""Linear radiance on disk: read from Radiance .hdr and OpenEXR, written to these and float TIFF."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import tifffile

from apnt.errors import InputError
from apnt.io.decoded import check_size
from apnt.io.files import atomic_path, check_output
from apnt.memory import SMALLER, explained

RADIANCE_SUFFIXES = (".hdr", ".exr", ".tif", ".tiff")
"""What :func:`write_radiance` writes."""

READABLE_SUFFIXES = (".hdr", ".exr")
"""What :func:`read_radiance` reads."""


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
    # Lossy EXR compression leaves tiny negatives, broken renders leave NaN: neither is light.
    return np.nan_to_num(np.maximum(image.astype(np.float32), 0.0), nan=0.0, posinf=np.finfo(np.float32).max)


def write_radiance(path: str | Path, radiance: np.ndarray) -> Path:
    """Write linear RGB radiance; the extension chooses the format.

    ``.hdr`` is RGBE (8 bits a channel with a shared exponent), ``.exr`` holds the channels R, G, B as 32-bit
    float with lossless ZIP, ``.tif`` and ``.tiff`` 32-bit float, not compressed. An existing file is replaced
    when the new one is complete.

    Args:
        path: ends in .hdr, .exr, .tif or .tiff.
        radiance: (H, W, 3) float, linear, finite, not negative; 1 is where the shortest exposure saturates.

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
            _write_hdr(temporary, image)
        elif path.suffix.lower() == ".exr":
            _write_exr(temporary, image)
        else:
            tifffile.imwrite(temporary, image, photometric="rgb", metadata=None, software="apnt")
    return path


def check_radiance(radiance: np.ndarray) -> np.ndarray:
    """Radiance as contiguous (H, W, 3) float32, or an InputError that says what is wrong with it."""
    array = np.asarray(radiance)
    if array.ndim != 3 or array.shape[-1] != 3 or 0 in array.shape or array.dtype.kind != "f":
        raise InputError(f"radiance must be float with shape (H, W, 3), got {array.dtype} with {array.shape}")
    image = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(image).all() or image.min() < 0.0:
        raise InputError(f"radiance must be finite and not negative, got {image.min():g} to {image.max():g}")
    return image


def _write_exr(path: Path, image: np.ndarray) -> None:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    try:
        OpenEXR.File(header, {"RGB": image}).write(str(path))
    except RuntimeError as error:  # the binding's only type; header and pixels are right here
        raise OSError(str(error)) from error


def _write_hdr(path: Path, image: np.ndarray) -> None:
    """Write beside the output: in memory, OpenCV would go through the system's temporary folder."""
    with _silent_opencv():
        try:
            written = cv2.imwrite(str(path), image[..., ::-1])
        except cv2.error as error:
            raise OSError(f"the radiance map could not be written: {error.err}") from error
    # OpenCV does not look whether the disk has taken what it wrote.
    if not written or _decode_hdr(path) is None:
        raise OSError("the radiance map could not be written whole: is the disk full?")


def _read_hdr(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    found = _RESOLUTION.search(head)
    image = None
    if head.startswith(_SIGNATURES) and found is not None:  # else OpenCV would decode any format it knows
        height, width = (int(number) for number in found.groups())
        _check_size(width, height, path)
        if width * height <= _MOST_PIXELS_A_BYTE * path.stat().st_size:
            image = _decode_hdr(path)
    if image is None:
        raise InputError(f"path must be a whole Radiance .hdr image in colour, and {path} is not one")
    return image[..., ::-1]


def _decode_hdr(path: Path) -> np.ndarray | None:
    """(H, W, 3), blue, green, red; None for what is no whole radiance map."""
    with _silent_opencv():
        try:
            image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        except cv2.error as error:
            if error.code == cv2.Error.StsNoMem:
                raise MemoryError(error.err) from error
            return None
    return image if image is not None and image.ndim == 3 and image.dtype == np.float32 else None


@contextmanager
def _silent_opencv() -> Iterator[None]:
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our own error says it in one line
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


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
    with redirect_stdout(sys.stderr):
        window = OpenEXR.File(str(path), header_only=True).header()["dataWindow"]
        width, height = (int(last) - int(first) + 1 for first, last in zip(*window, strict=True))
        _check_size(width, height, path)
        # Joined, channels of different types would be refused.
        channels = OpenEXR.File(str(path), separate_channels=True).channels()
    if not set("RGB") <= set(channels):
        raise InputError(f"path must hold the channels R, G, B, and {path} holds {sorted(channels)}")
    return np.stack([channels[name].pixels.astype(np.float32) for name in "RGB"], axis=-1)
