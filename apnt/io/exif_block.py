"""EXIF as bytes, every entry with the type that the standard gives it.

Pillow chooses types by values, so that signed numbers and undefined bytes get others, and readers that look
(libtiff, exiv2) leave these entries out.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from apnt.io.metadata import DIRECTORIES, EXIF_IFD, GPS_IFD

HEAD = b"II*\0"
ORIENTATION = 0x0112
_BYTE, _ASCII, _LONG, _UNDEFINED, _SIGNED = 1, 2, 4, 7, 10
# CIPA DC-008: what is not unsigned, not text, or may be short though it is defined long.
_TYPES: dict[int | None, dict[int, int]] = {
    EXIF_IFD: {
        **dict.fromkeys((0x9201, 0x9203, 0x9204, 0x9400, 0x9402, 0x9404), _SIGNED),
        **dict.fromkeys((0x8828, 0x9000, 0x9101, 0x9286, 0xA000, 0xA20C), _UNDEFINED),
        **dict.fromkeys((0xA300, 0xA301, 0xA302, 0xA40B), _UNDEFINED),
        **dict.fromkeys((0x8831, 0x8832, 0x8833, 0xA002, 0xA003), _LONG),
    },
    GPS_IFD: {0: _BYTE, 5: _BYTE, 27: _UNDEFINED, 28: _UNDEFINED},
    None: {},
}


def directories(exif: Image.Exif, left_out: tuple[int, ...] = ()) -> dict[int | None, dict[int, Any]]:
    """Entries of the first directory (None), but for some, and of those below it; empty ones are left out."""
    found: dict[int | None, dict[int, Any]] = {
        None: {tag: value for tag, value in exif.items() if tag not in (*DIRECTORIES, *left_out)}
    }
    found |= {name: dict(exif.get_ifd(name)) for name in DIRECTORIES}
    return {name: entries for name, entries in found.items() if entries}


def directory(name: int | None, entries: Mapping[int, Any], place: int) -> bytes:
    """One directory, little-endian, of a file or block in which it begins at ``place``.

    Raises:
        Exception: Pillow's, at a value that is not of its entry's type.
    """
    made = ImageFileDirectory_v2(ifh=HEAD + bytes(4))
    for tag, value in entries.items():
        kind = _TYPES[name].get(tag, _ASCII if isinstance(value, str) else None)
        if kind is not None:
            made.tagtype[tag] = kind
        if kind == _ASCII:
            value = as_bytes(value)
        made[tag] = bytes([value]) if kind == _UNDEFINED and isinstance(value, int) else value
    return made.tobytes(place)


def as_bytes(text: str) -> bytes:
    """The bytes that a file holds for what Pillow reads as text, one character a byte; mostly UTF-8."""
    return text.rstrip("\0").encode("latin-1", "replace")


def block(exif: Image.Exif, left_out: tuple[int, ...] = ()) -> bytes:
    """EXIF as a block, which begins with its byte order, without some entries of the first directory."""
    found = directories(exif, left_out)
    first, body, start = found.pop(None, {}), b"", len(HEAD) + 4
    for name, entries in found.items():
        assert name is not None
        first[name] = start + len(body)
        body += directory(name, entries, start + len(body))
        body += bytes(len(body) % 2)
    place = start + len(body)
    return HEAD + struct.pack("<I", place) + body + directory(None, first, place)
