"""JPEG 2000 photographs, 8 to 16 bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from apnt.errors import InputError
from apnt.io import boxes, pil
from apnt.io.decoded import Decoded, extra


def decode(path: str | Path) -> Decoded:
    """Decode with Pillow where it has 8 bits, else with imagecodecs.

    Raises:
        InputError: signed samples or another depth, or more than 8 bits without imagecodecs.
    """
    data = Path(path).read_bytes()
    bits = _bits(data)
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


def _bits(data: bytes) -> int:
    """The depth of the first component in the SIZ segment (ISO/IEC 15444-1, A.5.1)."""
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or start + 43 > len(data):
        raise ValueError("its header is cut off")
    depth = data[start + 42]
    if depth & 0x80:
        raise InputError("must hold unsigned samples, and it holds signed ones")
    return depth + 1
