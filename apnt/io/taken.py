"""When a photograph was taken, and by which camera."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from apnt.io.metadata import Metadata, read_metadata

# Of the photograph, of its digitisation, of the last change: the time, and the decimals of its second.
_TIMES = ((0x9003, 0x9291), (0x9004, 0x9292), (0x0132, 0x9290))
_CAMERA = (0x010F, 0x0110, 0xA431)  # make, model, serial number of the body
_ORIENTATION, _EXPOSURE_MODE = 0x0112, 0xA402
_AUTO_BRACKET = 2


class Taken(NamedTuple):
    """What EXIF says of the moment.

    Attributes:
        time: seconds on the camera's own clock, whose zone is not known; None where the file does not say.
        camera: make, model and serial number, as far as they are there.
        orientation: EXIF's, 1 to 8.
        auto_bracket: the camera says that it varied the exposure from frame to frame; None = it says nothing.
    """

    time: float | None = None
    camera: str = ""
    orientation: int = 1
    auto_bracket: bool | None = None


def read_taken(path: str | Path) -> Taken:
    """Read what is there; nothing of it for a file whose block is missing or broken."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata
            tags = read_metadata(path).tags
    except Exception:  # a broken block is no block; whether the pixels are whole, the reader says
        tags = Metadata({}).tags
    times = (_seconds(tags.get(time), tags.get(decimals)) for time, decimals in _TIMES)
    mode = tags.get(_EXPOSURE_MODE)
    turn = tags.get(_ORIENTATION)
    return Taken(
        next((time for time in times if time is not None), None),
        " ".join(filter(None, (_text(tags.get(tag)) for tag in _CAMERA))),
        turn if isinstance(turn, int) and 1 <= turn <= 8 else 1,
        mode == _AUTO_BRACKET if isinstance(mode, int) else None,
    )


def exif_time(seconds: float) -> Mapping[int, str]:
    """The reverse: tags of EXIF's directory for a time, with three decimals of its second."""
    whole, part = divmod(round(seconds * 1000), 1000)
    text = datetime.fromtimestamp(whole, timezone.utc).strftime("%Y:%m:%d %H:%M:%S")
    return {_TIMES[0][0]: text, _TIMES[0][1]: f"{part:03d}"}


def _seconds(text: Any, decimals: Any) -> float | None:
    try:
        moment = datetime.strptime(_text(text), "%Y:%m:%d %H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError:  # also all zeros, as of a camera whose clock was never set
        return None
    digits = _text(decimals)
    return moment.timestamp() + (float(f"0.{digits}") if digits.isdecimal() and digits.isascii() else 0.0)


def _text(value: Any) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value or "")
    return text.strip("\0 ")
