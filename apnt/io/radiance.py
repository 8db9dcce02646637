"""Linear radiance on disk: read from Radiance .hdr and OpenEXR, written to these and float TIFF."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import tifffile

from apnt.errors import InputError
from apnt.io.files import atomic_path, check_output
from apnt.io.written import SOFTWARE

RADIANCE_SUFFIXES = (".hdr", ".exr", ".tif", ".tiff")
"""What :func:`write_radiance` writes."""

READABLE_SUFFIXES = (".hdr", ".exr")
"""What :func:`read_radiance` reads."""


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
            temporary.write_bytes(cv2.imencode(".hdr", image[..., ::-1])[1].tobytes())
        elif path.suffix.lower() == ".exr":
            _write_exr(temporary, image)
        else:
            tifffile.imwrite(temporary, image, photometric="rgb", metadata=None, software=SOFTWARE)
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


def _read_hdr(path: Path) -> np.ndarray:
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our own error says it in one line
    try:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if image is None or image.ndim != 3 or image.dtype != np.float32:
        raise InputError(f"path must be a whole Radiance .hdr image in colour, and {path} is not one")
    return image[..., ::-1]


def _read_exr(path: Path) -> np.ndarray:
    try:
        # Joined, channels of different types would be refused.
        channels = OpenEXR.File(str(path), separate_channels=True).channels()
    except Exception as error:  # the binding raises bare RuntimeError subclasses of several kinds
        raise InputError(f"path must be an OpenEXR image, and {path} cannot be read: {error}") from error
    if not set("RGB") <= set(channels):
        raise InputError(f"path must hold the channels R, G, B, and {path} holds {sorted(channels)}")
    return np.stack([channels[name].pixels.astype(np.float32) for name in "RGB"], axis=-1)
