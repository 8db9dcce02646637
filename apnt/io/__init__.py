"""Photographs in, radiance and previews out."""

from typing import Any

from apnt.bracket import Bracket
from apnt.io.exif import ExifExposure, read_exif
from apnt.io.exposure import MAX_STOPS, parse_stops, parse_times, relative_times
from apnt.io.files import atomic_path, check_output
from apnt.io.frames import MIN_SIDE, read_frames
from apnt.io.kept import keep_metadata
from apnt.io.photo import read_photo
from apnt.io.picture import PICTURE_SUFFIXES, write_picture
from apnt.io.preview import PREVIEW_SUFFIXES, tone_map, write_preview
from apnt.io.radiance import RADIANCE_SUFFIXES, read_radiance, write_radiance

__all__ = [
    "MAX_STOPS",
    "MIN_SIDE",
    "PICTURE_SUFFIXES",
    "PREVIEW_SUFFIXES",
    "RADIANCE_SUFFIXES",
    "ExifExposure",
    "atomic_path",
    "check_output",
    "keep_metadata",
    "parse_stops",
    "parse_times",
    "read_exif",
    "read_frames",
    "read_photo",
    "read_radiance",
    "relative_times",
    "tone_map",
    "write_picture",
    "write_preview",
    "write_radiance",
]


def __getattr__(name: str) -> Any:
    if name == "Frames":
        from apnt._moved import warn

        warn("apnt.io.Frames", "apnt.bracket.Bracket")
        return Bracket
    if name == "match_tone":
        from apnt._moved import warn
        from apnt.io.response import match_tone

        warn("apnt.io.match_tone", "apnt.io.response.match_tone (fuse uses apnt.prepare.pipeline.prepare)")
        return match_tone
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
