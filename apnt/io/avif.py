"""AVIF photographs, 8 to 12 bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from apnt.io import boxes, pil
from apnt.io.decoded import Decoded, extra


def decode(path: str | Path) -> Decoded:
    """Decode the first picture: with Pillow where it has 8 bits, else with imagecodecs.

    Raises:
        InputError: an HDR curve, or more than 8 bits without imagecodecs.
    """
    data = Path(path).read_bytes()
    bits = _bits(data)
    if bits <= 8:
        decoded = pil.decode(path, "AVIF")
        # Pillow tells of ICC profiles, and not of H.273 numbers.
        return decoded if decoded.profile else replace(decoded, profile=boxes.colour(data))
    with pil.opened(path, "AVIF") as image:
        turn = pil.orientation(image)
    pixels = extra("imagecodecs", f"an AVIF photograph with {bits} bits").avif_decode(data, index=0)
    colour, alpha = pil.split_alpha(pixels)
    profile = boxes.colour(data)
    return Decoded(colour, 2**bits - 1, bits, alpha, profile=profile, orientation=turn)


def _bits(data: bytes) -> int:
    """From the AV1 configuration: high_bitdepth and twelve_bit (AV1-ISOBMFF, 2.3.3)."""
    for kind, content in boxes.boxes(data):
        if kind == b"av1C" and len(content) > 2:
            high, twelve = content[2] & 0x40, content[2] & 0x20
            return 12 if high and twelve else 10 if high else 8
    return 8
