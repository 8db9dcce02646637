"""Radiance .hdr by OpenCV, with what its header can say: primaries, software, time of capture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from apnt.io.kept import SOFTWARE
from apnt.io.metadata import EXIF_IFD
from apnt.io.names import as_text
from apnt.io.profile import PRIMARIES
from apnt.strips import rows_of, strips

_TAKEN = 0x9003


def write_rgbe(path: Path, image: np.ndarray, exif: Image.Exif | None) -> None:
    """Write (H, W, 3) float32 linear RGB, contiguous. No EXPOSURE line: readers do not agree on its sense.

    Raises:
        OSError: the disk refused.
    """
    coded = []
    for rows in strips(len(image), rows_of(image.shape[1])):  # each row is coded by itself
        # Into the file, not into memory: for that OpenCV would go through the system's temporary folder.
        with _silent_opencv(), as_text(path) as name:
            try:
                written = cv2.imwrite(name, image[rows, :, ::-1])
            except cv2.error as error:
                raise OSError(f"OpenCV said: {error.err}") from error
        # OpenCV does not look whether the disk has taken what it wrote.
        if not written or decode_rgbe(path) is None:
            raise OSError("OpenCV wrote no whole radiance map: is the disk full?")
        data = path.read_bytes()
        head = data.index(b"\n", data.index(b"\n\n") + 2) + 1  # up to the size, which follows an empty line
        coded.append(memoryview(data)[head:])
    first, _, rest = data[:head].partition(b"\n")
    form = rest[: rest.index(b"\n\n") + 2]
    lines = [
        first.decode(),
        f"SOFTWARE={SOFTWARE}",
        "PRIMARIES=" + " ".join(f"{v:g}" for xy in PRIMARIES["sRGB"] for v in xy),
    ]
    taken = None if exif is None else exif.get_ifd(EXIF_IFD).get(_TAKEN)
    if isinstance(taken, str) and taken.isascii() and taken.strip("\0 ").isprintable():
        lines.append(f"CAPDATE={taken.strip(chr(0) + ' ')}")
    size = f"-Y {image.shape[0]} +X {image.shape[1]}\n".encode()
    with path.open("wb") as file:
        file.writelines(["\n".join(lines).encode() + b"\n" + form + size, *coded])


def decode_rgbe(path: Path) -> np.ndarray | None:
    """(H, W, 3), blue, green, red; None for what is no whole radiance map."""
    with _silent_opencv(), as_text(path) as name:
        try:
            image = cv2.imread(name, cv2.IMREAD_UNCHANGED)
        except cv2.error as error:
            if error.code == cv2.Error.StsNoMem:
                raise MemoryError(error.err) from error
            return None
    return image if image is not None and image.ndim == 3 and image.dtype == np.float32 else None


@contextmanager
def _silent_opencv() -> Iterator[None]:
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our own error says it in one line
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
