"""PNG: 16 bits, and what its chunks say of colour."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from apnt.io import pil
from apnt.io.boxes import from_code_points
from apnt.io.decoded import Decoded
from apnt.io.profile import PRIMARIES, Profile, from_chromaticities, gamma_curve, srgb_curve

_SIGNATURE = 8


def decode(path: str | Path) -> Decoded:
    """Decode a PNG of any depth.

    Colour is taken from the chunks cICP, iCCP, sRGB, and gAMA with cHRM, the first of them that is there
    (PNG, third edition, 4.3). A plain gAMA of 1/2.2 says nothing that sRGB does not.
    """
    data = Path(path).read_bytes()
    chunks = _chunks(data)
    decoded = _sixteen(path, data) if chunks[b"IHDR"][8] == 16 else pil.decode(path, "PNG")
    if b"cICP" in chunks or b"iCCP" not in chunks:
        return replace(decoded, profile=_profile(chunks))
    return decoded


def _sixteen(path: str | Path, data: bytes) -> Decoded:
    with pil.opened(path, "PNG") as image:  # Pillow would halve the depth
        turn, icc = pil.orientation(image), image.info.get("icc_profile")
    pixels = decode_opencv(data)
    alpha = pixels[..., 3] if pixels.ndim == 3 and pixels.shape[-1] == 4 else None
    colour = pixels if pixels.ndim == 2 else pixels[..., 2::-1]
    return pil.with_icc(Decoded(colour, 65535, 16, alpha, orientation=turn), icc)


def decode_opencv(data: bytes) -> np.ndarray:
    """16-bit pixels by OpenCV, (H, W) or (H, W, C) in its order: blue, green, red, alpha.

    Raises:
        ValueError: OpenCV cannot decode them.
    """
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our own error says it in one line
    try:
        pixels = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
        )
    finally:
        cv2.utils.logging.setLogLevel(level)
    if pixels is None or pixels.dtype != np.uint16:
        raise ValueError("the 16-bit pixels cannot be decoded")
    return pixels


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """The chunks but the pixels, the first of each name.

    All are checked: OpenCV would print about broken ones on the error stream.

    Raises:
        ValueError: the file is cut off, or a checksum is wrong.
    """
    found: dict[bytes, bytes] = {}
    view, position = memoryview(data), _SIGNATURE
    while b"IEND" not in found:
        if position + 12 > len(data):
            raise ValueError("it ends before its last chunk")
        size, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + size
        if end > len(data) or zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(
            view[end - 4 : end], "big"
        ):
            raise ValueError(f"its chunk {name.decode('latin-1')} is broken")
        if name != b"IDAT":
            found.setdefault(name, bytes(view[position + 8 : end - 4]))
        position = end
    if len(found.get(b"IHDR", b"")) < 13:
        raise ValueError("its header is missing")
    return found


def _profile(chunks: dict[bytes, bytes]) -> Profile | None:
    if len(chunks.get(b"cICP", b"")) == 4:
        return from_code_points(chunks[b"cICP"][0], chunks[b"cICP"][1])
    return None if b"sRGB" in chunks else _gamma_and_primaries(chunks)


def _gamma_and_primaries(chunks: dict[bytes, bytes]) -> Profile | None:
    gamma = int.from_bytes(chunks.get(b"gAMA", b""), "big") / 100000
    curve = gamma_curve(1 / gamma) if gamma > 0 else srgb_curve
    primaries = PRIMARIES["sRGB"]
    if len(chunks.get(b"cHRM", b"")) == 32:
        white, *rgb = [(x / 1e5, y / 1e5) for x, y in struct.iter_unpack(">II", chunks[b"cHRM"])]
        if all(y > 0 for _, y in (white, *rgb)):
            primaries = (rgb[0], rgb[1], rgb[2], white)
    profile = from_chromaticities("the primaries in its PNG header", primaries, curve)
    return None if profile.is_srgb_primaries and not profile.is_linear else profile
