"""Bytes changed anywhere in a file of any format: pixels in [0, 1], or one sentence."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from apnt.errors import InputError
from apnt.io.photo import read_photograph

ROUNDS = 40


def encoded(kind: str, picture: np.ndarray, camera: Any, folder: Path) -> bytes:
    eight, sixteen = (np.round(picture * w).astype(t) for w, t in ((255, np.uint8), (65535, np.uint16)))
    buffer = io.BytesIO()
    if kind.startswith("dng"):
        pytest.importorskip("rawpy", reason="reads camera RAW")
        return camera.write(
            folder / "a.dng", camera.sees(picture / 2), linear=kind == "dng linear"
        ).read_bytes()
    if kind.startswith("tiff"):
        pytest.importorskip("imagecodecs", reason="writes and reads these compressions")
        tifffile.imwrite(buffer, sixteen, photometric="rgb", compression=kind.partition(" ")[2] or None)
        return buffer.getvalue()
    if kind in ("jxl", "jp2 16"):
        codecs = pytest.importorskip("imagecodecs", reason="writes and reads these formats")
        if kind == "jxl":
            return codecs.jpegxl_encode(eight, lossless=True, usecontainer=True)
        return codecs.jpeg2k_encode(sixteen, level=0, reversible=True)
    if kind == "heic":
        heif = pytest.importorskip("pillow_heif", reason="writes and reads HEIC")
        heif.from_pillow(Image.fromarray(eight)).save(buffer)
        return buffer.getvalue()
    if kind == "png 16":
        return cv2.imencode(".png", sixteen)[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\0"
    Image.fromarray(eight).save(buffer, kind, **({"exif": exif} if kind == "JPEG" else {}))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "kind",
    ["JPEG", "PNG", "WEBP", "BMP", "AVIF", "JPEG2000", "png 16", "tiff", "tiff lzw", "tiff zstd", "tiff lerc",
     "jxl", "jp2 16", "heic", "dng linear", "dng mosaic"],
)  # fmt: skip
def test_damage(tmp_path: Path, picture: np.ndarray, camera: Any, kind: str) -> None:
    whole = encoded(kind, picture, camera, tmp_path)
    dice = random.Random(kind)
    path = tmp_path / "a"
    sentences = []
    for turn in range(ROUNDS):
        data = bytearray(whole)
        reach = len(data) if turn % 2 else min(len(data), 400)  # headers stand first
        for _ in range(dice.randint(1, 4)):
            data[dice.randrange(reach)] = dice.randrange(256)
        path.write_bytes(data[: dice.randrange(1, len(data))] if turn % 7 == 0 else data)
        try:
            pixels = read_photograph(path).pixels
        except InputError as error:
            sentences.append(str(error))
        else:
            assert pixels.min() >= 0
            assert pixels.max() <= 1
    assert sentences
    assert all(sentence.startswith(str(path)) and "\n" not in sentence for sentence in sentences)
