"""JPEG 2000 photographs, 8 to 16 bits."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

from apnt.errors import InputError
from apnt.io import boxes, pil
from apnt.io.decoded import Decoded, extra

_SOT, _EOC = 0xFF90, b"\xff\xd9"  # the start of a part of a tile, the end of all


def decode(path: str | Path) -> Decoded:
    """Decode with Pillow where it has 8 bits, else with imagecodecs.

    Raises:
        InputError: signed samples or another depth, or more than 8 bits without imagecodecs.
    """
    data = Path(path).read_bytes()
    start = data.find(b"\xff\x4f\xff\x51")
    bits = _bits(data, start)
    _check_whole(data, start)
    if not 8 <= bits <= 16:
        raise InputError(f"must have 8 to 16 bits, and it holds {bits}-bit samples")
    profile = boxes.colour(data)
    if bits == 8:
        return replace(pil.decode(path, "JPEG 2000"), profile=profile)
    with pil.opened(path, "JPEG 2000"):
        pass  # the size is checked
    pixels = extra("imagecodecs", f"a JPEG 2000 photograph with {bits} bits").jpeg2k_decode(data)
    colour, alpha = pil.split_alpha(pixels)
    return Decoded(colour, 2**bits - 1, bits, alpha, profile=profile)


def _bits(data: bytes, start: int) -> int:
    """The depth of the first component in the SIZ segment (ISO/IEC 15444-1, A.5.1)."""
    if start < 0 or start + 43 > len(data):
        raise ValueError("its header is cut off")
    depth = data[start + 42]
    if depth & 0x80:
        raise InputError("must hold unsigned samples, and it holds signed ones")
    return depth + 1


def _check_whole(data: bytes, start: int) -> None:
    """Refuse a codestream that ends early: decoders take what there is, and fill the rest.

    Each part of a tile says how long it is (A.4.2), and there must be one part of each tile at least.

    Raises:
        ValueError: a part or a tile is missing.
    """
    width, height, _, _, tile_width, tile_height, left, top = struct.unpack_from(">8I", data, start + 8)
    if not (tile_width and tile_height):
        raise ValueError("its tiles have no size")
    tiles = -(-(width - left) // tile_width) * -(-(height - top) // tile_height)
    position = start + 2
    seen: set[int] = set()
    while position + 12 <= len(data):
        marker, size, tile, length = struct.unpack_from(">HHHI", data, position)
        if marker != _SOT:
            if seen:  # the end of the codestream, or what is none
                break
            position += 2 + size
            continue
        seen.add(tile)
        if length == 0:  # the last part: it reaches to the end marker
            if data.find(_EOC, position) < 0:
                raise ValueError("its data end before its last tile")
            break
        position += length
        if position > len(data):
            raise ValueError("its data end before its last tile")
    if len(seen) < tiles:
        raise ValueError("its data end before its last tile")
