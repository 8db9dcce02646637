"""Read a photograph, whatever its format, depth, colour profile, alpha or orientation, as float RGB."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from apnt import scratch
from apnt.camera import GAMMA
from apnt.errors import InputError
from apnt.io import avif, formats, heif, jp2, jpeg, jxl, pil, png, raw, tiff
from apnt.io.decoded import Decoded
from apnt.io.depth import rescale_bracket, rescaled
from apnt.io.develop import develop, unit_rgb
from apnt.io.exif import ExifExposure, read_exif
from apnt.io.inputs import check_regular
from apnt.io.photograph import Photograph, Samples
from apnt.memory import SMALLER, explained

_DECODERS: dict[str, Callable[[Path], Decoded]] = {
    "JPEG": jpeg.decode,
    "PNG": png.decode,
    "WebP": lambda path: pil.decode(path, "WebP"),
    "BMP": lambda path: pil.decode(path, "BMP"),
    "AVIF": avif.decode,
    "HEIC": heif.decode,
    "JPEG XL": jxl.decode,
    "JPEG 2000": jp2.decode,
}


def read_photo(path: str | Path, white: int | None = None) -> np.ndarray:
    """Read a photograph as RGB in [0, 1], encoded as the network takes it.

    As :func:`read_photograph`, with the bit depth judged by this file alone; pixels that are linear by the
    word of their file (camera RAW among them) are encoded, ``v**(1 / 2.2)``.

    Args:
        path: the file.
        white: the stored sample at which it is white, such as ``photograph.white`` of a frame of its bracket;
            None = as this file alone tells.

    Returns:
        (H, W, 3) float32, display-referred.

    Raises:
        InputError: as read_photograph.
    """
    photo = read_photograph(path)
    photo = rescale_bracket([photo])[0][0] if white is None else rescaled(photo, white)
    if photo.curve == "linear":
        np.power(photo.pixels, np.float32(1 / GAMMA), out=photo.pixels)
    return photo.pixels


def read_photograph(path: str | Path, wb: Sequence[float] | None = None) -> Photograph:
    """Read a photograph; the content decides the format, not the extension. See ``docs/formats.md``.

    Grey becomes RGB. Where alpha is below one half the file has no data; premultiplied colours are divided by
    it. The pixels are turned upright, and a colour profile is applied to come to the primaries of sRGB, while
    the curve stays the file's.

    Args:
        path: the file. Of a TIFF with several pages, the first of the largest that are no thumbnails.
        wb: red, green, blue multipliers for a camera RAW, such as ``photograph.wb`` of the reference frame;
            the file's own unless given. Other formats ignore it.

    Raises:
        InputError: the file is missing, a directory, truncated, larger than ``MAX_PIXELS``, no photograph, of
            a format that is not read or needs the extra ``apnt[photo]``, or holds floats.
        OSError: the disk has no room for it, within :func:`apnt.scratch.within`.
    """
    path = Path(path)
    head = _head(path)
    try:
        with warnings.catch_warnings(), explained(str(path), SMALLER):
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which does not touch the pixels
            kind = formats.sniff(head)
            if kind is None:
                raise UnidentifiedImageError
            decoded, kind, gains = _decode(path, kind, wb)
            return develop(decoded, str(path), kind, read_exif(path), gains)
    except InputError as error:
        raise InputError(f"{path} {error}") from error
    except (MemoryError, scratch.NoRoom):
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is no image, or cut off at its start: {formats.ASK}") from error
    except Exception as error:  # decoders fail in many ways, and all mean: not a whole photograph
        reason = str(error).split("\n")[0] or type(error).__name__
        raise InputError(f"{path} is truncated or no photograph ({reason}): {formats.ASK}") from error


def from_pillow(image: Image.Image, name: str) -> Photograph:
    """A Pillow image of any mode, as :func:`read_photograph` would read it from a file.

    Raises:
        InputError: a mode that says nothing of the colour or the white: CMYK without a profile, I, F.
    """
    try:
        return develop(pil.decode_image(image), name, image.format or "image", ExifExposure())
    except InputError as error:
        raise InputError(f"{name} {error}") from error


def from_array(pixels: np.ndarray, name: str) -> Photograph:
    """An array as :func:`to_unit_rgb` takes it, its last channel of two or four being alpha.

    Raises:
        InputError: as to_unit_rgb.
    """
    unit = to_unit_rgb(pixels, name)
    valid = None
    if pixels.ndim == 3 and pixels.shape[-1] in (2, 4):
        alpha = pixels[..., -1]
        opaque = alpha >= 0.5 * (1.0 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max)
        valid = None if opaque.all() else opaque
    whole = pixels.dtype.kind == "u"
    samples = Samples.of(_colour(pixels) if pixels.ndim == 3 else pixels) if whole else None
    bits = 8 * pixels.dtype.itemsize if whole else 32
    return Photograph(name, unit, valid, bits, None, ExifExposure(), 1, "array", samples=samples)


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
    colour = _colour(pixels)
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize <= 2:
        return unit_rgb(colour, int(np.iinfo(pixels.dtype).max))
    if pixels.dtype.kind != "f":
        raise InputError(f"{name} must be uint8, uint16 or float in [0, 1], got {pixels.dtype}")
    if not np.isfinite(colour).all():
        raise InputError(f"{name} must be finite, and it holds NaN or infinity")
    low, high = (float(colour.min()), float(colour.max())) if colour.size else (0.0, 0.0)
    if low < 0.0 or high > 1.0:
        raise InputError(f"{name} must lie in [0, 1] when it is float, got {low:g} to {high:g}")
    unit = scratch.empty((*colour.shape[:2], 3), np.float32)
    unit[...] = colour
    return unit


def _colour(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 1 to 4) to (H, W, 1 or 3): without alpha."""
    return pixels[..., :1] if pixels.shape[-1] <= 2 else pixels[..., :3]


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise InputError(f"{path} must be a photograph, and it is a directory: {formats.ASK}")
    check_regular(path)
    try:
        with path.open("rb") as file:
            head = file.read(formats.HEAD)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
    if not head:
        raise InputError(f"{path} must be a photograph, and it is empty: {formats.ASK}")
    return head


def _decode(
    path: Path, kind: str, wb: Sequence[float] | None
) -> tuple[Decoded, str, tuple[float, float, float] | None]:
    if kind == "TIFF":
        decoded = tiff.decode(path)
        if decoded is not None:
            return decoded, kind, None
        kind = formats.RAW
    if kind == formats.RAW:
        developed, gains = raw.decode(path, wb)
        return developed, kind, gains
    return _DECODERS[kind](path), kind, None
