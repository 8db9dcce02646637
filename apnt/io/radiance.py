"""Write linear radiance: Radiance .hdr, OpenEXR, float TIFF."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import tifffile

from apnt.errors import InputError
from apnt.io.files import atomic_path, check_output

RADIANCE_SUFFIXES = (".hdr", ".exr", ".tif", ".tiff")


def write_radiance(path: str | Path, radiance: np.ndarray) -> Path:
    """Write linear RGB radiance; the extension chooses the format.

    ``.hdr`` is RGBE (8 bits a channel with a shared exponent), ``.exr`` holds the channels R, G, B as 32-bit
    float with lossless ZIP, ``.tif`` and ``.tiff`` 32-bit float, not compressed. An existing file is replaced
    when the new one is complete.

    Args:
        path: ends in .hdr, .exr, .tif or .tiff.
        radiance: (H, W, 3) float, linear, finite and not negative. 1 is where the short exposure saturates.

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
