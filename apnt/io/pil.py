"""Decode with Pillow: JPEG, 8-bit PNG, WebP, BMP, AVIF, 8-bit TIFF and JPEG 2000, and images in memory."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageCms

from apnt.errors import InputError
from apnt.io.decoded import MAX_PIXELS, Decoded, check_size
from apnt.io.profile import Profile, adobe_rgb, from_icc

_ORIENTATION = 274
_EXIF_IFD, _INTEROP_IFD = 0x8769, 0xA005
_COLOR_SPACE, _INTEROP_INDEX = 0xA001, 1
_PNG_SIGNATURE = 8  # bytes
_PREMULTIPLIED = {"RGBa": "RGBA", "La": "LA"}  # Pillow divides by alpha when it converts


@contextmanager
def opened(path: str | Path | BinaryIO, kind: str) -> Iterator[Image.Image]:
    """Open a file of this format; its size is checked before any pixel is decoded."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # Pillow's own is half of it, and its sentence names an attack
    try:
        with Image.open(path, formats=(kind.upper().replace(" ", ""),)) as image:
            check_size(*image.size)
            yield image
    except Image.DecompressionBombError:
        raise InputError(
            f"must have at most {MAX_PIXELS / 1e6:.0f} megapixels: scale it down first"
        ) from None
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def exif(image: Image.Image) -> Image.Exif:
    """EXIF of an opened picture, which then also has the chunks of a PNG that follow its pixels.

    Pillow looks for these by decoding all of a PNG that has no EXIF ahead of its pixels.
    """
    if image.format == "PNG" and "exif" not in image.info and not _chunks_behind_pixels(image):
        return Image.Image.getexif(image)
    return image.getexif()


def _chunks_behind_pixels(image: Image.Image) -> bool:
    """Whether a PNG has chunks there, or this cannot be told."""
    file: BinaryIO | None = getattr(image, "fp", None)
    if file is None:
        return True
    place, pixels = file.tell(), False
    try:
        file.seek(_PNG_SIGNATURE)
        while len(head := file.read(8)) == 8:
            size, name = struct.unpack(">I4s", head)
            if name == b"IEND" or (pixels and name != b"IDAT"):
                return name != b"IEND"
            pixels = pixels or name == b"IDAT"
            file.seek(size + 4, io.SEEK_CUR)
        return True
    finally:
        file.seek(place)


def decode(path: str | Path, kind: str, page: int = 0) -> Decoded:
    """Decode a file of 8 bits a sample; of an animation, its first picture."""
    with opened(path, kind) as image:
        frames = getattr(image, "n_frames", 1)
        if page:
            image.seek(page)
        image.load()
        notes = (
            (f"holds {frames} pictures: the first is read",)
            if frames > 1 and kind in ("WebP", "AVIF", "PNG")
            else ()
        )
        return decode_image(image, notes)


def decode_image(image: Image.Image, notes: tuple[str, ...] = ()) -> Decoded:
    """Bring a Pillow image of any mode to grey or RGB samples.

    P, YCbCr and HSV are converted by Pillow (BT.601, full range, as JFIF has it); LAB as CIELAB with D50
    white, and CMYK by its embedded profile, both to sRGB with relative intent.

    Raises:
        InputError: CMYK without a profile, or 32-bit integers and floats, whose white is not known.
    """
    icc = image.info.get("icc_profile")
    turn = orientation(image)
    if image.mode in ("CMYK", "LAB"):
        rgb = _through_cms(image, icc)
        return Decoded(np.asarray(rgb), 255, 8, orientation=turn, notes=(*notes, _CONVERTED[image.mode]))
    if image.mode.startswith("I;16"):
        samples = np.asarray(image).astype(np.uint16, copy=False)
        return with_icc(Decoded(samples, 65535, 16, orientation=turn, notes=notes), icc)
    pixels, alpha = split_alpha(np.asarray(_to_plain(image)))
    decoded = Decoded(pixels, 255, 8, alpha, orientation=turn, notes=notes)
    if not icc and pixels.ndim == 3 and _is_dcf_adobe_rgb(image):
        return replace(decoded, profile=adobe_rgb())
    return with_icc(decoded, icc)


_BROKEN = "has a colour profile that is broken: it is ignored"
_CONVERTED = {
    "CMYK": "is CMYK: converted to sRGB by the colour profile",
    "LAB": "is CIELAB: converted to sRGB",
}


def with_icc(decoded: Decoded, icc: bytes | None) -> Decoded:
    """The same with the file's ICC profile: a matrix one is noted, one of tables is applied to 8-bit RGB.

    Raises:
        InputError: a profile of tables (LUT) for more than 8 bits, which ImageCms does not convert.
    """
    if not icc:
        return decoded
    profile, doubts, cms = _profile(icc)
    decoded = replace(decoded, profile=profile, doubts=decoded.doubts + doubts)
    if cms is None or decoded.samples.ndim == 2:
        return decoded
    if decoded.samples.dtype != np.uint8:
        raise InputError(
            "has a colour profile of tables, which is not applied to 16 bits: convert it to sRGB"
        )
    rgb = Image.fromarray(np.ascontiguousarray(decoded.samples))
    try:
        samples = np.asarray(_to_srgb(rgb, cms))
    except ImageCms.PyCMSError:
        return replace(decoded, doubts=(*decoded.doubts, _BROKEN))
    return replace(
        decoded, samples=samples, notes=(*decoded.notes, "has a colour profile of tables: converted to sRGB")
    )


def _profile(icc: bytes) -> tuple[Profile | None, tuple[str, ...], Any]:
    """A matrix profile, or doubts, or what ImageCms makes of a profile of tables."""
    try:
        profile = from_icc(icc)
        if profile is not None:
            return profile, (), None
        cms = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    except (ValueError, struct.error, OSError, ImageCms.PyCMSError, ArithmeticError):
        return None, (_BROKEN,), None
    if cms.profile.xcolor_space.strip() != "RGB":
        return None, ("has a colour profile for another colour model: it is ignored",), None
    return None, (), cms


def _to_srgb(image: Image.Image, source: Any) -> Image.Image:
    """Convert by a profile; exactly, where LittleCMS would resample it to a coarse table (off by 0.03)."""
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    transform = ImageCms.buildTransform(
        source, ImageCms.createProfile("sRGB"), image.mode, "RGB", intent, ImageCms.Flags.NOOPTIMIZE
    )
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # it is None for a conversion in place alone
    return converted


def _through_cms(image: Image.Image, icc: bytes | None) -> Image.Image:
    wanted = {"CMYK": "CMYK", "LAB": "Lab"}[image.mode]
    source: Any = ImageCms.ImageCmsProfile(io.BytesIO(icc)) if icc else None
    if source is not None and source.profile.xcolor_space.strip() != wanted:
        source = None
    if source is None:
        if image.mode == "CMYK":
            raise InputError(
                "must be RGB or grey, and its colour mode is CMYK without a colour profile: convert it to RGB"
            )
        source = ImageCms.createProfile("LAB")
    return _to_srgb(image, source)


def split_alpha(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """(H, W) or (H, W, 1 to 4) to (H, W) or (H, W, 3), and (H, W) of alpha where the last channel is it."""
    alpha = None
    if pixels.ndim == 3 and pixels.shape[-1] in (2, 4):
        pixels, alpha = pixels[..., :-1], pixels[..., -1]
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    return pixels, alpha


def _to_plain(image: Image.Image) -> Image.Image:
    """L, LA, RGB or RGBA."""
    mode = image.mode
    if mode in _PREMULTIPLIED:
        return image.convert(_PREMULTIPLIED[mode])
    if mode == "PA" or (mode in ("P", "RGB", "L", "1") and "transparency" in image.info):
        return image.convert("LA" if mode in ("L", "1") else "RGBA")
    if mode in ("L", "LA", "RGB", "RGBA"):
        return image
    if mode == "1":
        return image.convert("L")
    if mode in ("P", "RGBX", "YCbCr", "HSV"):
        return image.convert("RGB")
    raise InputError(
        f"must be RGB or grey with 8 or 16 bits, and its colour mode is {mode}: convert it to RGB"
    )


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where it is missing or senseless."""
    return _valid(exif(image))


def orientation_in(block: bytes | None) -> int:
    """The same from a block of EXIF."""
    found = Image.Exif()
    if block:
        found.load(block)
    return _valid(found)


def _valid(found: Image.Exif) -> int:
    value = found.get(_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def _is_dcf_adobe_rgb(image: Image.Image) -> bool:
    """Cameras mark Adobe RGB by EXIF alone: an uncalibrated colour space and index R03 (DCF 2.0, A.1)."""
    found = exif(image)
    uncalibrated = found.get_ifd(_EXIF_IFD).get(_COLOR_SPACE) in (2, 0xFFFF)
    return uncalibrated and str(found.get_ifd(_INTEROP_IFD).get(_INTEROP_INDEX, "")).strip("\0 ") == "R03"
