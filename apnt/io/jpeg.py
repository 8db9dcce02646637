"""JPEG: what libjpeg does not tell, whether all of the picture is there."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from apnt.errors import InputError
from apnt.io import pil
from apnt.io.decoded import Decoded
from apnt.strips import strips

_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)  # in coded data: no stuffing, restart or fill
_SOS, _EOI = 0xDA, 0xD9
_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_READ = {0xC0, 0xC1, 0xC2}  # baseline, extended sequential, progressive; Huffman coded
# Any bits that decode to something: a whole picture ignores what follows its last block.
_TAIL = bytes(range(1, 250)) * 8


class _Structure(NamedTuple):
    frame: int = 0xC0
    bits: int = 8
    end: int | None = None  # where the end marker of the first picture stands


def decode(path: str | Path) -> Decoded:
    """Decode an 8-bit JPEG, Huffman coded, sequential or progressive.

    A file that was cut off and closed with an end marker is refused: libjpeg fills the rest with grey and
    says so on the error stream alone. It is found by coded bits put before that marker, which a whole
    picture ignores.

    Raises:
        InputError: other kinds of JPEG.
        ValueError: part of the picture is missing.
    """
    data, end = _read(path)
    with pil.opened(path, "JPEG") as image:
        _check_whole(data, end, image)
        return pil.decode_image(image)


def reduced(path: str | Path, side: int) -> tuple[tuple[int, int], np.ndarray]:
    """Decode a small grey picture, in a fraction of the time, and refuse what :func:`decode` refuses.

    Args:
        path: the file.
        side: pixels that the longer side has at least, where the file has as many.

    Returns:
        Height and width of the file's picture; and (h, w) uint8, at most eight times smaller.
    """
    data, end = _read(path)
    with pil.opened(path, "JPEG") as image:
        size = image.size
        scaled = (min(side, size[0]), min(side, size[1]))
        image.draft("L", scaled)
        _check_whole(data, end, image, scaled)
        return size[::-1], np.asarray(image.convert("L"))


def _read(path: str | Path) -> tuple[bytes, int | None]:
    """The file, and where the end marker of its first picture stands."""
    data = Path(path).read_bytes()
    jpeg = _structure(data)
    if jpeg.frame not in _READ or jpeg.bits != 8:
        kind = f"a JPEG with {jpeg.bits} bits of the type SOF{jpeg.frame - 0xC0}"
        raise InputError(f"is {kind}, which is not read: save it as TIFF")
    return data, jpeg.end


def _check_whole(
    data: bytes, end: int | None, image: Image.Image, scaled: tuple[int, int] | None = None
) -> None:
    image.load()
    if end is None:
        return
    with pil.opened(io.BytesIO(data[:end] + _TAIL + data[end:]), "JPEG") as longer:
        if scaled is not None:
            longer.draft("L", scaled)
        for rows in strips(image.height):
            box = (0, rows.start, image.width, rows.stop)
            if image.crop(box).tobytes() != longer.crop(box).tobytes():
                raise ValueError("its data end before its last row")


def _structure(data: bytes) -> _Structure:
    found, position = _Structure(), 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker == _EOI:
            break
        if marker in _SOF and position + 5 <= len(data):
            found = found._replace(frame=marker, bits=data[position + 4])
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == _SOS:
            match = _MARKER.search(data, position)
            if match is None:
                return found
            position = match.start()
    return found._replace(end=position) if data[position : position + 2] == b"\xff\xd9" else found
