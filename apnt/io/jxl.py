"""JPEG XL photographs, 8 to 16 bits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apnt.errors import InputError
from apnt.io import boxes, pil
from apnt.io.boxes import from_code_points
from apnt.io.decoded import Decoded, check_size, extra

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def decode(path: str | Path) -> Decoded:
    """Decode with imagecodecs; libjxl turns the picture upright.

    Of its colour description the standard ones are converted; an embedded ICC profile is not read, and said.

    Raises:
        InputError: imagecodecs is missing, floats, an HDR curve.
    """
    data = Path(path).read_bytes()
    header = read_header(codestream(data))
    check_size(header.width, header.height)
    if header.is_float:
        raise InputError("must hold integers, and it holds floats: save it with 8 or 16 bits")
    profile = from_code_points(header.primaries, header.transfer)
    pixels = extra("imagecodecs", "a JPEG XL photograph").jpegxl_decode(data, index=0)
    colour, alpha = pil.split_alpha(np.asarray(pixels))
    doubts = ("has an ICC profile, which is not read from JPEG XL: taken as sRGB",) if header.has_icc else ()
    white = 2**header.bits - 1
    return Decoded(
        colour,
        white,
        header.bits,
        alpha,
        profile=profile,
        orientation=header.orientation,
        upright=True,
        doubts=doubts,
    )


def codestream(data: bytes) -> bytes:
    """The coded picture: the file itself, or the first ``jxlc`` or ``jxlp`` box of its container."""
    if data.startswith(b"\xff\x0a"):
        return data
    for kind, content in boxes.boxes(data):
        if kind == b"jxlc":
            return content
        if kind == b"jxlp":
            return content[4:]
    raise ValueError("it holds no picture")


@dataclass(frozen=True)
class Header:
    """The start of a codestream. ``primaries`` and ``transfer`` are numbers of H.273."""

    width: int
    height: int
    bits: int
    is_float: bool
    orientation: int
    has_icc: bool
    primaries: int
    transfer: int


def read_header(data: bytes) -> Header:
    """Read SizeHeader and ImageMetadata (ISO/IEC 18181-1, annexes B and D).

    Raises:
        ValueError: the header is cut off, or of a kind that no photograph has.
    """
    bits = _Bits(data[2:66])
    width, height = _size(bits)
    depth, is_float, orientation, has_icc, primaries, transfer = 8, False, 1, False, 1, 13
    if not bits.take(1):  # not all values are the default ones
        if bits.take(1):
            orientation = 1 + bits.take(3)
            if bits.take(1):
                _size(bits)
            if bits.take(1) or bits.take(1):
                raise ValueError("it holds a preview or an animation")
        depth, is_float = _depth(bits)
        bits.take(1)  # 16-bit buffers are enough
        for _ in range(bits.u32((0, 0), (0, 1), (4, 2), (12, 1))):
            if not bits.take(1):
                raise ValueError("its extra channels are not plain alpha")
        bits.take(1)  # XYB
        if not bits.take(1):
            has_icc, primaries, transfer = _colour(bits)
    return Header(width, height, depth, is_float, orientation, has_icc, primaries, transfer)


class _Bits:
    """Reads bits, least significant first."""

    def __init__(self, data: bytes) -> None:
        self.value = int.from_bytes(data, "little")
        self.left = 8 * len(data)

    def take(self, count: int) -> int:
        self.left -= count
        if self.left < 0:
            raise ValueError("its header is cut off")
        taken = self.value & ((1 << count) - 1)
        self.value >>= count
        return taken

    def u32(self, *choices: tuple[int, int]) -> int:
        """Two bits choose one of four (bits, offset)."""
        count, offset = choices[self.take(2)]
        return self.take(count) + offset

    def enum(self) -> int:
        return self.u32((0, 0), (0, 1), (4, 2), (6, 18))


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.take(1)

    def length() -> int:
        return 8 * (1 + bits.take(5)) if small else bits.u32((9, 1), (13, 1), (18, 1), (30, 1))

    height = length()
    ratio = bits.take(3)
    if ratio == 0:
        return length(), height
    numerator, denominator = _RATIOS[ratio - 1]
    return height * numerator // denominator, height


def _depth(bits: _Bits) -> tuple[int, bool]:
    if bits.take(1):
        depth = bits.u32((0, 32), (0, 16), (0, 24), (6, 1))
        bits.take(4)  # the exponent
        return depth, True
    return bits.u32((0, 8), (0, 10), (0, 12), (6, 1)), False


def _colour(bits: _Bits) -> tuple[bool, int, int]:
    """Whether there is an ICC profile, and the numbers of primaries and transfer."""
    if bits.take(1):
        return True, 1, 13
    space = bits.enum()
    if space not in (0, 1):  # RGB, grey
        raise ValueError("its colour model is neither RGB nor grey")
    white = bits.enum()
    if white != 1:
        raise ValueError("its white is not D65")
    primaries = 1
    if space == 0:
        # 11 has DCI's primaries, with the white that was read: Display P3's.
        primaries = {1: 1, 9: 9, 11: 12}.get(bits.enum(), -1)
    if bits.take(1):
        gamma = bits.take(24) / 1e7
        return False, primaries, 8 if gamma == 1 else 4
    return False, primaries, bits.enum()
