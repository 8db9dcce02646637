"""TIFF with EXIF and a colour profile, of any depth."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from apnt.io.exif_block import ORIENTATION, as_bytes, directories, directory
from apnt.io.kept import SOFTWARE, SOFTWARE_TAG
from apnt.io.metadata import DIRECTORIES

_LONG, _IFD8 = 4, 18


def write_tiff(path: Path, image: np.ndarray, profile: bytes, exif: Image.Exif | None) -> None:
    """Write (H, W, 3) uint8, uint16 or float32 RGB; integers are compressed (Deflate), floats are not.

    tifffile refuses to write directories below the first, and Pillow 16 bits and floats in colour. So EXIF's
    directories, made by Pillow, are put behind the end, and a copy of the first that names them behind those.
    """
    import tifffile  # here: other files do not need it

    found = {} if exif is None else directories(exif)
    tags: list[tuple[int, int, int, object, bool]] = []
    for tag, value in found.get(None, {}).items():
        if isinstance(value, str) and tag != SOFTWARE_TAG:
            tags.append((tag, 2, 0, as_bytes(value), True))
    tags.append((ORIENTATION, 3, 1, 1, True))
    packed = image.dtype.kind == "u"
    tifffile.imwrite(
        path,
        image,
        photometric="rgb",
        metadata=None,
        iccprofile=profile,
        software=SOFTWARE,
        byteorder="<",
        compression="zlib" if packed else None,
        predictor=packed,
        extratags=tags,
    )
    below = [tag for tag in DIRECTORIES if tag in found]
    if below:
        with path.open("rb+") as stream:
            _add(stream, {tag: found[tag] for tag in below})


def _add(stream: BinaryIO, below: dict[int, dict[int, Any]]) -> None:
    """Put directories behind the end of a little-endian file of one page, and their places into the first."""
    stream.seek(2)
    wide = stream.read(2) == b"+\0"  # BigTIFF
    link, count_format, entry = (8, "<Q", "<HHQQ") if wide else (4, "<H", "<HHII")
    offset_format = "<Q" if wide else "<I"

    def read(form: str, at: int) -> int:
        stream.seek(at)
        return int(struct.unpack(form, stream.read(struct.calcsize(form)))[0])

    first = read(offset_format, link)
    count, length = read(count_format, first), struct.calcsize(entry)
    stream.seek(first + struct.calcsize(count_format))
    entries = [stream.read(length) for _ in range(count)]
    for tag, fields in below.items():
        place = _end(stream)
        stream.write(directory(tag, fields, place))
        entries.append(struct.pack(entry, tag, _IFD8 if wide else _LONG, 1, place))
    place = _end(stream)
    entries.sort(key=lambda raw: struct.unpack_from("<H", raw))
    stream.write(
        struct.pack(count_format, len(entries)) + b"".join(entries) + bytes(struct.calcsize(offset_format))
    )
    stream.seek(link)
    stream.write(struct.pack(offset_format, place))


def _end(stream: BinaryIO) -> int:
    """Go behind the end, to an even place."""
    end = stream.seek(0, 2)
    stream.write(bytes(end % 2))
    return end + end % 2
