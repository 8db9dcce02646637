"""Read a photograph, whatever its format, depth, colour profile, alpha or orientation, as float RGB."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from apnt.errors import InputError
from apnt.io import avif, formats, heif, jp2, jpeg, jxl, pil, png, raw, tiff
from apnt.io.decoded import Decoded
from apnt.io.depth import rescale_bracket
from apnt.io.exif import ExifExposure, read_exif
from apnt.io.photograph import Photograph, Samples

_ALPHA = 0.5  # below, a pixel is more hole than photograph
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
    """The pixels of :func:`read_photograph`, with the bit depth judged by this file alone.

    Returns:
        (H, W, 3) float32 in [0, 1]: display-referred, but linear for camera RAW and files that say so.

    Raises:
        InputError: as read_photograph.
    """
    (photo,), _ = rescale_bracket([read_photograph(path)])
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
    """
    path = Path(path)
    head = _head(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which does not touch the pixels
            kind = formats.sniff(head)
            if kind is None:
                raise UnidentifiedImageError
            decoded, kind, gains = _decode(path, kind, wb)
            return _develop(decoded, str(path), kind, read_exif(path), gains)
    except InputError as error:
        raise InputError(f"{path} {error}") from error
    except MemoryError:
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
        return _develop(pil.decode_image(image), name, image.format or "image", ExifExposure())
    except InputError as error:
        raise InputError(f"{name} {error}") from error


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
        return _unit(colour, int(np.iinfo(pixels.dtype).max))
    if pixels.dtype.kind != "f":
        raise InputError(f"{name} must be uint8, uint16 or float in [0, 1], got {pixels.dtype}")
    if not np.isfinite(colour).all():
        raise InputError(f"{name} must be finite, and it holds NaN or infinity")
    low, high = (float(colour.min()), float(colour.max())) if colour.size else (0.0, 0.0)
    if low < 0.0 or high > 1.0:
        raise InputError(f"{name} must lie in [0, 1] when it is float, got {low:g} to {high:g}")
    return np.ascontiguousarray(np.broadcast_to(colour.astype(np.float32), (*colour.shape[:2], 3)))


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise InputError(f"{path} must be a photograph, and it is a directory: {formats.ASK}")
    if not path.exists():
        raise InputError(f"{path} does not exist: check the path")
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


def _develop(
    decoded: Decoded,
    name: str,
    kind: str,
    exposure: ExifExposure,
    gains: tuple[float, float, float] | None = None,
) -> Photograph:
    """Samples to pixels: upright, alpha, float, colour."""
    turn = (lambda a: a) if decoded.upright else _UPRIGHT.get(decoded.orientation, lambda a: a)
    samples = turn(decoded.samples)
    alpha = None if decoded.alpha is None else turn(decoded.alpha)
    notes = [f"{name} {note}" for note in decoded.notes]
    judged = decoded.bits == 16 and kind in ("TIFF", "PNG", "image") and not decoded.premultiplied
    figures = Samples.of(samples) if judged else None
    pixels = _unit(samples, decoded.white)
    valid = None
    if alpha is not None and int(alpha.min(initial=decoded.white)) < decoded.white:
        valid = alpha >= np.float32(_ALPHA * decoded.white)
        if not valid.any():
            raise InputError("is transparent everywhere: save it without its alpha channel")
        if decoded.premultiplied:
            pixels /= np.maximum(_unit(alpha, decoded.white), 1e-6)
            np.minimum(pixels, 1, out=pixels)
    profile = decoded.profile
    is_grey = samples.ndim == 2
    linear = decoded.linear or (profile is not None and profile.is_linear and decoded.bits > 8)
    applied = profile if profile is not None and not profile.is_srgb_primaries and not is_grey else None
    if applied is not None:
        outside = applied.apply(pixels)
        notes += [f"{name} {note}" for note in _colour_notes(applied.name, outside, kind)]
    return Photograph(
        name=name,
        pixels=pixels,
        valid=valid,
        bits=decoded.bits,
        curve="linear" if linear else None,
        exposure=exposure,
        orientation=decoded.orientation,
        format=kind,
        notes=tuple(notes + _exposure_notes(name, exposure)),
        profile=applied,
        wb=gains,
        samples=figures,
    )


def _colour_notes(profile: str, outside: float, kind: str) -> list[str]:
    notes = (
        [] if kind == formats.RAW else [f"has the colour profile {profile}: converted to sRGB's primaries"]
    )
    if outside > 1e-3:
        notes.append(f"holds colours outside sRGB in {outside:.1%} of its pixels: clipped to its gamut")
    return notes


def _exposure_notes(name: str, exposure: ExifExposure) -> list[str]:
    if exposure.baseline == 0:
        return []
    return [f"{name} states a BaselineExposure of {exposure.baseline:+.2g} stops: counted in its exposure"]


def _unit(samples: np.ndarray, white: int) -> np.ndarray:
    """(H, W), (H, W, 1) or (H, W, 3) unsigned to (H, W, 3) float32, 1 at white; one array is made."""
    if samples.ndim == 2:
        samples = samples[..., None]
    pixels = np.empty((*samples.shape[:2], 3), np.float32)
    np.divide(samples, np.float32(white), out=pixels, dtype=np.float32)
    return pixels
