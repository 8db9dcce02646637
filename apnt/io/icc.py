"""ICC profiles that outputs carry: sRGB, and its primaries with linear values."""

from __future__ import annotations

import struct
from functools import cache

from PIL import ImageCms

from apnt.io.profile import D50, PRIMARIES, to_xyz

_DATE = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)


@cache
def srgb() -> bytes:
    """The profile of sRGB that LittleCMS makes, with a fixed date, so that equal pictures are equal files."""
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return made[:24] + _DATE + made[36:]


@cache
def linear_srgb() -> bytes:
    """A matrix profile of sRGB's primaries whose curves are the identity (ICC.1:2022, version 2.4 tags)."""
    colorants = to_xyz(PRIMARIES["sRGB"], D50).T  # rows: XYZ of red, green and blue
    white = to_xyz(PRIMARIES["sRGB"], D50).sum(axis=1)
    name = b"Linear sRGB\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(4 + 4 + 2 + 1 + 67),
        b"cprt": b"text" + bytes(4) + b"No copyright, use freely\0",
        b"wtpt": _xyz(white),
        **{tag: _xyz(row) for tag, row in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True)},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), b"curv" + bytes(8)),
    }
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        table += struct.pack(">4sII", tag, start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s4sI4s4sQI12s",
        start + len(body), b"", 0x02400000, b"mntr", b"RGB ", b"XYZ ", _DATE, b"acsp",
        b"", 0, b"", b"", 0, 0, _xyz(white)[8:],
    )  # fmt: skip
    return header + bytes(128 - len(header)) + table + body


def _xyz(values: object) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(float(v) * 65536) for v in values))  # type: ignore[attr-defined]
