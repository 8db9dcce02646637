"""EXIF and XMP blocks of a file, whatever its format, without its pixels."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from apnt.io import boxes, formats, heif, pil, raw
from apnt.io.decoded import extra

EXIF_IFD, GPS_IFD = 0x8769, 0x8825
DIRECTORIES = (EXIF_IFD, GPS_IFD)
"""Tags of EXIF's first directory that hold others."""

_XMP_TAG = 700
_PREFIX = b"Exif\0\0"
# JPEG 2000 has no boxes for these, but agreed numbers.
_UUIDS = {
    b"JpgTiffExif->JP2": b"exif block",
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): b"xml ",
}
_EXPOSURE_TIME, _F_NUMBER, _ISO, _TAKEN = 0x829A, 0x829D, 0x8827, 0x9003


class Metadata(NamedTuple):
    """Tags of EXIF's first two directories by number, and the packet of XMP."""

    tags: dict[int, Any]
    xmp: bytes | str | None = None


def read_metadata(path: str | Path) -> Metadata:
    """The blocks of a file; empty for a format that carries none.

    Raises:
        Exception: what the decoder raises at a broken block.
    """
    exif, xmp = read_blocks(path)
    tags = {**exif, **exif.get_ifd(EXIF_IFD)}
    return Metadata(tags, tags.get(_XMP_TAG) if xmp is None else xmp)


def read_blocks(path: str | Path) -> tuple[Image.Exif, bytes | str | None]:
    """EXIF with its directories, GPS among them, and XMP; both empty for a format that carries none.

    Raises:
        Exception: what the decoder raises at a broken block.
    """
    path = Path(path)
    with path.open("rb") as file:
        kind = formats.sniff(file.read(formats.HEAD))
    if kind in ("JPEG", "PNG", "WebP", "AVIF"):
        with pil.opened(path, kind) as image:
            return _loaded(pil.exif(image)), image.info.get("xmp")
    if kind == "TIFF":
        return _tiff(path), None
    if kind == formats.RAW:
        return _raw(path), None
    if kind == "HEIC":
        info = heif.opened(path).info
        return _block(info.get("exif")), info.get("xmp")
    if kind in ("JPEG XL", "JPEG 2000"):
        return _in_boxes(path.read_bytes())
    return Image.Exif(), None


def _loaded(exif: Image.Exif) -> Image.Exif:
    for directory in DIRECTORIES:  # they are read on demand, from a file that is closed later
        exif.get_ifd(directory)
    return exif


def _block(data: bytes | None) -> Image.Exif:
    exif = Image.Exif()
    if data:
        exif.load(data)
    return _loaded(exif)


def _tiff(path: Path) -> Image.Exif:
    exif = Image.Exif()
    with path.open("rb") as file:
        exif.load_from_fp(file)
        return _loaded(exif)


def _raw(path: Path) -> Image.Exif:
    with closing(raw.opened(path)) as file:
        other = file.other
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD).update(
        {_EXPOSURE_TIME: other.shutter_speed, _F_NUMBER: other.aperture, _ISO: other.iso_speed}
    )
    if other.timestamp:
        taken = datetime.fromtimestamp(other.timestamp).strftime("%Y:%m:%d %H:%M:%S")
        exif.get_ifd(EXIF_IFD)[_TAKEN] = taken
    return exif


def _in_boxes(data: bytes) -> tuple[Image.Exif, bytes | None]:
    exif, xmp = b"", None
    for kind, content in boxes.boxes(data):
        if kind == b"brob":  # JPEG XL packs other boxes so
            kind, content = (
                content[:4],
                extra("imagecodecs", "a JPEG XL photograph").brotli_decode(content[4:]),
            )
        if kind == b"uuid":
            kind, content = _UUIDS.get(content[:16], kind), content[16:]
        if kind == b"Exif":
            exif = _PREFIX + content[4 + int.from_bytes(content[:4], "big") :]
        elif kind == b"exif block":
            exif = _PREFIX + content.removeprefix(_PREFIX)
        elif kind == b"xml ":
            xmp = content
    return _block(exif), xmp
