"""What EXIF and XMP say about a photograph's exposure."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apnt.errors import InputError
from apnt.io.metadata import Metadata, read_metadata
from apnt.io.xmp import read_xmp
from apnt.text import plain

IN_OPTIONS = "give the exposures as times in seconds (--times 1/400,1/100,1/25) or in stops (--stops 0,2,4)"
"""How exposures are given to ``apnt fuse``, and, without the dashes, to :func:`apnt.fuse`."""

IN_GROUPS = (
    "give the exposures in a file of --groups, in stops (stops = [0, 2, 4]) or as times in seconds "
    "(times = [0.0025, 0.01, 0.04])"
)
"""The same of ``apnt batch``."""

IN_FOLDER = "list the files and their exposures in a bracket.json in the folder (docs/photographs.md)"
"""The same of commands that take folders, a bracket each."""

_ASKED: ContextVar[str] = ContextVar("asked", default=IN_OPTIONS)


def ask_exposures() -> str:
    """What a user should do where exposures are not known, half a sentence, for the command at hand."""
    return _ASKED.get()


@contextmanager
def asking(how: str) -> Iterator[None]:
    """Ask for exposures in the way of another command: ``IN_GROUPS`` or ``IN_FOLDER``."""
    token = _ASKED.set(how)
    try:
        yield
    finally:
        _ASKED.reset(token)


_EXPOSURE_TIME = 0x829A
_SHUTTER_SPEED_VALUE = 0x9201
_F_NUMBER = 0x829D
_APERTURE_VALUE = 0x9202
# Cameras write 65535 into the first when the value does not fit its 16 bits; the others have 32.
_ISO_TAGS = (0x8827, 0x8832, 0x8831, 0x8833)
_ISO_OVERFLOW = 65535
_UNKNOWN = 2**32 - 1  # EXIF's mark in numbers of 32 bits
_BASELINE_EXPOSURE = 50730
_LARGEST_SIDECAR = 16 << 20  # bytes; a history of edits fits
_XMP_ISO = ("ISOSpeedRatings", "PhotographicSensitivity")
_LABELS = {"time": "exposure time", "iso": "ISO", "f_number": "aperture"}


@dataclass(frozen=True)
class ExifExposure:
    """Exposure fields of one file; None where the file has no usable value.

    Attributes:
        time: exposure time in seconds.
        iso: sensitivity.
        f_number: focal length over the diameter of the aperture.
        baseline: stops by which a DNG's pixels are darker than these fields say (its BaselineExposure, which
            differs between frames of phones and of cameras with highlight modes).
        source: where these fields come from: "EXIF", "XMP" or "EXIF and XMP"; "EXIF" where there are none.
    """

    time: float | None = None
    iso: float | None = None
    f_number: float | None = None
    baseline: float = 0.0
    source: str = field(default="EXIF", compare=False)

    def words(self) -> str:
        """As a photographer says it: ``"1/60 s, f/8, ISO 100"``; what is not known is left out."""
        parts = []
        if self.time is not None:
            short = self.time < 0.3
            parts.append(f"1/{plain(1 / self.time, 4)} s" if short else f"{plain(self.time, 4)} s")
        if self.f_number is not None:
            parts.append(f"f/{self.f_number:.3g}")
        if self.iso is not None:
            parts.append(f"ISO {self.iso:.0f}")
        return ", ".join(parts)


def read_exif(path: str | Path) -> ExifExposure:
    """Read the exposure fields of a photograph of any format; all None for a file that has none.

    The time is ExposureTime or, without it, ``2**-ShutterSpeedValue``; the f-number is FNumber or
    ``2**(ApertureValue / 2)``. Zeros, as a lens without contacts leaves them, count as absent. XMP fills what
    EXIF lacks, that inside the file first, then that beside it, in ``a.xmp`` or ``a.jpg.xmp``. The exposure
    bias is no part of an exposure: it says what the camera's meter was told.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata
            tags, xmp = read_metadata(path)
    except Exception:  # a broken block is no block; whether the pixels are whole, read_photo says
        tags, xmp = Metadata({})
    side = {**_beside(Path(path)), **read_xmp(xmp)}
    exif = (
        _time(tags),
        next(filter(None, (_iso(tags.get(tag)) for tag in _ISO_TAGS)), None),
        _f_number(tags),
    )
    xmp_fields = (
        _xmp_time(side),
        next(filter(None, (_iso(side.get(name)) for name in _XMP_ISO)), None),
        _positive(side.get("FNumber")) or _apex(side.get("ApertureValue"), 0.5),
    )
    time, iso, f_number = (own or other for own, other in zip(exif, xmp_fields, strict=True))
    sources = {"EXIF" if own else "XMP" for own, other in zip(exif, xmp_fields, strict=True) if own or other}
    return ExifExposure(time, iso, f_number, _number(tags.get(_BASELINE_EXPOSURE)) or 0.0, _named(sources))


def _named(sources: set[str]) -> str:
    return " and ".join(sorted(sources)) or "EXIF"


def source_of(found: Sequence[ExifExposure]) -> str:
    """Where the exposures of several photographs come from: "EXIF", "XMP" or "EXIF and XMP"."""
    return _named(
        {source for each in found if each != ExifExposure() for source in each.source.split(" and ")}
    )


def exposures_of(found: Sequence[ExifExposure], names: Sequence[str]) -> list[float]:
    """Exposures from EXIF and XMP: time * ISO / 100 / f-number**2 / 2**baseline.

    Factors that no file has are left out.

    Args:
        found: the fields of each photograph.
        names: what error messages call them.

    Returns:
        One positive number a photograph, in seconds when ISO and aperture are unknown, else relative.

    Raises:
        InputError: one has no exposure time, or ISO or aperture is known for some of them only.
    """
    for key, label in _LABELS.items():
        known = [getattr(exif, key) is not None for exif in found]
        missing = [name for name, there in zip(names, known, strict=True) if not there]
        if missing and (key == "time" or len(missing) < len(found)):
            raise InputError(
                f"{source_of(found)} {label} is missing in {', '.join(missing)}: {ask_exposures()}"
            )
    return [
        (e.time or 1.0) * (e.iso or 100.0) / 100.0 / (e.f_number or 1.0) ** 2 / 2.0**e.baseline for e in found
    ]


def exif_exposures(paths: Sequence[str | Path]) -> list[float]:
    """:func:`exposures_of` the EXIF of files."""
    return exposures_of([read_exif(path) for path in paths], [str(path) for path in paths])


def sidecars_of(path: Path) -> list[Path]:
    """Files of XMP beside a photograph, as RAW developers write them, that are there."""
    named = (path.with_name(path.name + ".xmp"), path.with_suffix(".xmp"))
    return [sidecar for sidecar in named if sidecar != path and sidecar.is_file()]


def _beside(path: Path) -> dict[str, float]:
    """What a sidecar says."""
    for sidecar in sidecars_of(path):
        try:
            if sidecar.stat().st_size <= _LARGEST_SIDECAR:
                return read_xmp(sidecar.read_bytes())
        except OSError:
            continue
    return {}


def _time(tags: dict[int, Any]) -> float | None:
    return _positive(tags.get(_EXPOSURE_TIME)) or _apex(tags.get(_SHUTTER_SPEED_VALUE), -1.0)


def _xmp_time(fields: dict[str, float]) -> float | None:
    return _positive(fields.get("ExposureTime")) or _apex(fields.get("ShutterSpeedValue"), -1.0)


def _f_number(tags: dict[int, Any]) -> float | None:
    return _positive(tags.get(_F_NUMBER)) or _apex(tags.get(_APERTURE_VALUE), 0.5)


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
    return number if number is not None and 0 < number < _UNKNOWN else None


def _apex(value: Any, factor: float) -> float | None:
    number = _number(value)
    return 2.0 ** (factor * number) if number is not None and abs(number) < 64 else None


def _iso(value: Any) -> float | None:
    number = _positive(value)
    return None if number == _ISO_OVERFLOW else number
