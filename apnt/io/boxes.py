"""Boxes of ISO base media files (HEIC, AVIF), JPEG 2000 and JPEG XL."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from apnt.errors import InputError
from apnt.io.profile import (
    PRIMARIES,
    Profile,
    bt709_curve,
    from_chromaticities,
    from_icc,
    gamma_curve,
    srgb_curve,
)

# Boxes that hold boxes, and the bytes of their own fields before those (ISO/IEC 14496-12 and 15444-1).
_CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"jp2h": 0}

# ITU-T H.273: colour primaries and transfer characteristics.
_PRIMARIES = {
    1: "sRGB", 2: "sRGB", 5: "BT.601 (625 lines)", 6: "BT.601 (525 lines)", 7: "BT.601 (525 lines)",
    9: "BT.2020", 12: "Display P3",
}  # fmt: skip
_CURVES = {
    1: bt709_curve, 2: srgb_curve, 4: gamma_curve(2.2), 5: gamma_curve(2.8), 6: bt709_curve,
    8: gamma_curve(1.0), 13: srgb_curve, 14: bt709_curve, 15: bt709_curve,
}  # fmt: skip
_HDR_CURVES = {16: "PQ", 18: "HLG"}


def boxes(data: bytes | memoryview, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, bytes]]:
    """Types and contents of all boxes, those inside known containers included, in file order."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:
            if start + 16 > end:
                return
            (size,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        stop = end if size == 0 else start + size
        if 0 < size < head or stop > end:
            return
        if kind in _CONTAINERS:
            yield from boxes(data, start + head + _CONTAINERS[kind], stop)
        else:
            yield kind, bytes(data[start + head : stop]) if kind != b"mdat" else b""
        start = stop


def colour(data: bytes | memoryview) -> Profile | None:
    """The colour space of a HEIC, AVIF or JPEG 2000 file, from its ``colr`` boxes; None = sRGB or none.

    Raises:
        InputError: an HDR curve, whose white is not where an exposure clips.
        ValueError: a broken ICC profile.
    """
    found: dict[bytes, bytes] = {}
    for kind, content in boxes(data):
        if kind == b"colr":
            found.setdefault(content[:4] if content[:1].isalpha() else content[:1], content)
    for name, skip in ((b"prof", 4), (b"rICC", 4), (b"\x02", 3)):  # the last is JPEG 2000's restricted ICC
        if name in found:
            return from_icc(found[name][skip:])
    if b"nclx" in found:
        primaries, transfer = struct.unpack_from(">HH", found[b"nclx"], 4)
        return from_code_points(primaries, transfer)
    return None


def from_code_points(primaries: int, transfer: int) -> Profile | None:
    """The colour space that H.273 numbers name; None = sRGB's primaries, or unspecified ones.

    Raises:
        InputError: an HDR curve, or primaries that are not known; the caller puts the file's name before it.
    """
    if transfer in _HDR_CURVES:
        raise InputError(
            f"is stored with the HDR curve {_HDR_CURVES[transfer]}, whose white is not where the camera "
            "clips: give the RAW file, or save it without HDR"
        )
    if primaries not in _PRIMARIES:
        raise InputError(
            f"has colour primaries number {primaries} (H.273), which are not read: save it as sRGB"
        )
    name = _PRIMARIES[primaries]
    if name == "sRGB" and transfer != 8:
        return None
    return from_chromaticities(name, PRIMARIES[name], _CURVES.get(transfer, srgb_curve))
