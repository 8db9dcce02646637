"""EXIF and XMP blocks of a file, whatever its format, without its pixels."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from apnt.io import boxes, formats, heif, pil, raw
from apnt.io.decoded import extra

_EXIF_IFD = 0x8769
_XMP_TAG = 700
_PREFIX = b"Exif\0\0"
# JPEG 2000 has no boxes for these, but agreed numbers.
_UUIDS = {
    b"JpgTiffExif->JP2": b"exif block",
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): b"xml ",
}
_EXPOSURE_TIME, _F_NUMBER, _ISO = 0x829A, 0x829D, 0x8827


class Metadata(NamedTuple):
    """Tags of EXIF's first two directories by number, and the packet of XMP."""

    tags: dict[int, Any]
    xmp: bytes | str | None = None


def read_metadata(path: str | Path) -> Metadata:
    """The blocks of a file; empty for a format that carries none.

    Raises:
        Exception: what the decoder raises at a broken block.
    """
    path = Path(path)
    with path.open("rb") as file:
        kind = formats.sniff(file.read(formats.HEAD))
    if kind in ("JPEG", "PNG", "WebP", "AVIF"):
        with pil.opened(path, kind) as image:
            return Metadata(_directories(image.getexif()), image.info.get("xmp"))
    if kind == "TIFF":
        return _tiff(path)
    if kind == formats.RAW:
        return _raw(path)
    if kind == "HEIC":
        info = heif.opened(path).info
        return Metadata(_block(info.get("exif")), info.get("xmp"))
    if kind in ("JPEG XL", "JPEG 2000"):
        return _in_boxes(path.read_bytes())
    return Metadata({})


def _directories(exif: Image.Exif) -> dict[int, Any]:
    return {**exif, **exif.get_ifd(_EXIF_IFD)}


def _block(data: bytes | None) -> dict[int, Any]:
    exif = Image.Exif()
    if data:
        exif.load(data)
    return _directories(exif)


def _tiff(path: Path) -> Metadata:
    exif = Image.Exif()
    with path.open("rb") as file:
        exif.load_from_fp(file)
        tags = _directories(exif)
    return Metadata(tags, tags.get(_XMP_TAG))


def _raw(path: Path) -> Metadata:
    with closing(raw.opened(path)) as file:
        other = file.other
    return Metadata({_EXPOSURE_TIME: other.shutter_speed, _F_NUMBER: other.aperture, _ISO: other.iso_speed})


def _in_boxes(data: bytes) -> Metadata:
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
    return Metadata(_block(exif), xmp)
