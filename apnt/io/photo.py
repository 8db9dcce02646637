"""Read a photograph, whatever its container, depth, alpha or orientation, as float RGB."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageOps, UnidentifiedImageError

from apnt.errors import InputError

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_HDR_MAGIC = (b"#?RADIANCE", b"#?RGBE", b"\x76\x2f\x31\x01")
_COLOUR_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX"}
_LZW = 5
_ASK = "give a JPEG, PNG or TIFF photograph with 8 or 16 bits"

# How the stored array is turned upright, by EXIF orientation (TIFF 6.0, tag 274).
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, 3),
    7: lambda a: np.swapaxes(np.rot90(a, 2), 0, 1),
    8: lambda a: np.rot90(a, 1),
}


def read_photo(path: str | Path) -> np.ndarray:
    """Read an 8- or 16-bit JPEG, PNG or TIFF as RGB in [0, 1].

    The content decides the format, not the extension. Grey becomes RGB, alpha is dropped (not composited),
    the EXIF orientation is applied, and a colour profile is ignored: the values stay as the file stores them.

    Args:
        path: the file. Of a TIFF with several pages the first is read.

    Returns:
        (H, W, 3) float32, display-referred, in [0, 1].

    Raises:
        InputError: the file is missing, a directory, truncated, no photograph, camera raw, or holds floats.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} must be a photograph, and it is a directory: {_ASK}")
    if not path.exists():
        raise InputError(f"{path} does not exist: check the path")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
    if not data:
        raise InputError(f"{path} must be a photograph, and it is empty: {_ASK}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which does not touch the pixels
            pixels = _decode(data)
    except InputError as error:
        raise InputError(f"{path} {error}") from error
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is no image, or cut off at its start: {_ASK}") from error
    except Exception as error:  # decoders fail in many ways, and all mean: not a whole photograph
        reason = str(error).split("\n")[0] or type(error).__name__
        raise InputError(f"{path} is truncated or no photograph ({reason}): {_ASK}") from error
    return to_unit_rgb(pixels, str(path))


def to_unit_rgb(pixels: np.ndarray, name: str) -> np.ndarray:
    """Bring pixels to (H, W, 3) float32 in [0, 1]: integers divided by their largest value, alpha dropped.

    Args:
        pixels: (H, W), (H, W, 1), (H, W, 2) grey and alpha, (H, W, 3) or (H, W, 4) with alpha; uint8, uint16,
            or float in [0, 1].
        name: what error messages call it.

    Raises:
        InputError: another shape or dtype, or floats that are not finite or outside [0, 1].
    """
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or not 1 <= pixels.shape[-1] <= 4:
        raise InputError(f"{name} must have shape (H, W, 3), (H, W, 4) or (H, W), got {pixels.shape}")
    colour = pixels[..., :1] if pixels.shape[-1] <= 2 else pixels[..., :3]
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize <= 2:
        unit = colour.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
    elif pixels.dtype.kind == "f":
        if not np.isfinite(colour).all():
            raise InputError(f"{name} must be finite, and it holds NaN or infinity")
        low, high = (float(colour.min()), float(colour.max())) if colour.size else (0.0, 0.0)
        if low < 0.0 or high > 1.0:
            raise InputError(f"{name} must lie in [0, 1] when it is float, got {low:g} to {high:g}")
        unit = colour.astype(np.float32)
    else:
        raise InputError(f"{name} must be uint8, uint16 or float in [0, 1], got {pixels.dtype}")
    return np.ascontiguousarray(np.broadcast_to(unit, (*unit.shape[:2], 3)))


def _decode(data: bytes) -> np.ndarray:
    if data.startswith(_HDR_MAGIC):
        raise InputError("is an HDR image, and fusing takes the exposures it is made from: " + _ASK)
    if data.startswith(_TIFF_MAGIC):
        return _decode_tiff(data)
    if data.startswith(_PNG_MAGIC) and data[24:25] == b"\x10":  # bit depth, in the first chunk
        return _decode_png16(data)
    return _decode_8bit(data)


def _decode_8bit(data: bytes) -> np.ndarray:
    # Pillow, because OpenCV fills the rest of a truncated JPEG with grey and says nothing.
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "TIFF")) as image:
        image.load()
        if image.mode not in _COLOUR_MODES:
            raise InputError(f"must be RGB or grey, and its colour mode is {image.mode}: convert it to RGB")
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _decode_png16(data: bytes) -> np.ndarray:
    # Pillow would halve the depth; it only checks that the file is whole, before OpenCV prints about it.
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        orientation = image.getexif().get(274, 1)
    return _upright(_decode_opencv(data), orientation)


def _decode_opencv(data: bytes) -> np.ndarray:
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our own error says it in one line
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if pixels is None or pixels.dtype != np.uint16:
        raise ValueError("the 16-bit pixels cannot be decoded")
    return pixels if pixels.ndim == 2 else pixels[..., 2::-1]


def _decode_tiff(data: bytes) -> np.ndarray:
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        if not tiff.pages:
            raise ValueError("it holds no image")
        page = tiff.pages.first
        if page.is_reduced or "DNGVersion" in page.tags or page.photometric in (32803, 34892):
            raise InputError("is a camera raw file: develop it to a TIFF with 16 bits first")
        if page.dtype is None or page.dtype.kind == "f":
            raise InputError(f"must hold integers, and it holds {page.dtype}: save it with 8 or 16 bits")
        if page.bitspersample not in (8, 16) or page.dtype.kind != "u":
            raise InputError(f"must have 8 or 16 bits, and it holds {page.bitspersample}-bit {page.dtype}")
        if page.bitspersample == 8:
            return _decode_8bit(data)
        if page.photometric not in (0, 1, 2):  # white is zero, black is zero, RGB
            kind = getattr(page.photometric, "name", page.photometric)  # a plain number where it is unknown
            raise InputError(f"must be RGB or grey, and it is {kind}: convert it to RGB")
        if page.compression == _LZW and page.samplesperpixel != 2 and page.planarconfig == 1:
            return _decode_opencv(data)  # tifffile has no LZW of its own; OpenCV also turns the image upright
        pixels = page.asarray()
        if page.axes == "SYX":
            pixels = np.moveaxis(pixels, 0, -1)
        if page.photometric == 0:
            pixels = np.iinfo(pixels.dtype).max - pixels
        orientation = page.tags.valueof("Orientation", 1)
    return _upright(pixels, int(orientation))


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    return _UPRIGHT.get(orientation, np.asarray)(pixels)
