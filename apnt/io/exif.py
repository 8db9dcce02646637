"""What EXIF says about a photograph's exposure."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from apnt.errors import InputError

ASK_EXPOSURES = (
    "give the exposures as times in seconds (--times 1/400,1/100,1/25) or in stops (--stops 0,2,4)"
)

_EXIF_IFD = 0x8769
_EXPOSURE_TIME = 0x829A
_SHUTTER_SPEED_VALUE = 0x9201
_F_NUMBER = 0x829D
_APERTURE_VALUE = 0x9202
# Cameras write 65535 into the first when the value does not fit its 16 bits; the others have 32.
_ISO_TAGS = (0x8827, 0x8832, 0x8831, 0x8833)
_ISO_OVERFLOW = 65535


@dataclass(frozen=True)
class ExifExposure:
    """Exposure fields of one file; None where the file has no usable value.

    Attributes:
        time: exposure time in seconds.
        iso: sensitivity.
        f_number: focal length over the diameter of the aperture.
    """

    time: float | None = None
    iso: float | None = None
    f_number: float | None = None


def read_exif(path: str | Path) -> ExifExposure:
    """Read the exposure fields of a JPEG, PNG or TIFF; all None for a file without EXIF.

    The time is ExposureTime or, without it, ``2**-ShutterSpeedValue``; the f-number is FNumber or
    ``2**(ApertureValue / 2)``. Zeros, as a lens without contacts leaves them, count as absent.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata
            tags = _tags(Path(path))
    except Exception:  # a broken block is no block; whether the pixels are whole, read_photo says
        tags = {}
    return ExifExposure(
        time=_positive(tags.get(_EXPOSURE_TIME)) or _apex(tags.get(_SHUTTER_SPEED_VALUE), -1.0),
        iso=next(filter(None, (_iso(tags.get(tag)) for tag in _ISO_TAGS)), None),
        f_number=_positive(tags.get(_F_NUMBER)) or _apex(tags.get(_APERTURE_VALUE), 0.5),
    )


def exif_exposures(paths: Sequence[str | Path]) -> list[float]:
    """Exposures from EXIF: time * ISO / 100 / f-number**2, without the factors that no file has.

    Returns:
        One positive number a file, in seconds when ISO and aperture are unknown, else relative.

    Raises:
        InputError: a file has no exposure time, or ISO or aperture is known for some of the files only.
    """
    found = [read_exif(path) for path in paths]
    for field in fields(ExifExposure):
        known = [getattr(exif, field.name) is not None for exif in found]
        missing = [str(path) for path, there in zip(paths, known, strict=True) if not there]
        if missing and (field.name == "time" or len(missing) < len(found)):
            label = {"time": "exposure time", "iso": "ISO", "f_number": "aperture"}[field.name]
            raise InputError(f"EXIF {label} is missing in {', '.join(missing)}: {ASK_EXPOSURES}")
    return [(e.time or 1.0) * (e.iso or 100.0) / 100.0 / (e.f_number or 1.0) ** 2 for e in found]


def _tags(path: Path) -> dict[int, Any]:
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            return {**exif, **exif.get_ifd(_EXIF_IFD)}
    except UnidentifiedImageError:  # a TIFF whose pixel layout Pillow does not know; its tags are readable
        exif = Image.Exif()
        exif.load(path.read_bytes())
        return {**exif, **exif.get_ifd(_EXIF_IFD)}


def _number(value: Any) -> float | None:
    if isinstance(value, tuple):
        value = value[0] if value else None
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None


def _positive(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None


def _apex(value: Any, factor: float) -> float | None:
    number = _number(value)
    return 2.0 ** (factor * number) if number is not None and abs(number) < 64 else None


def _iso(value: Any) -> float | None:
    number = _positive(value)
    return None if number == _ISO_OVERFLOW else number
