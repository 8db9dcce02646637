"""What is looked at in every file before any is grouped: its content, its moment, and a small picture."""

from __future__ import annotations

import hashlib
import io
import math
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from apnt.camera import GAMMA
from apnt.errors import InputError
from apnt.io import formats, jpeg, raw
from apnt.io.exif import ExifExposure, exposures_of, read_exif
from apnt.io.inputs import check_regular
from apnt.io.photo import read_photograph
from apnt.io.taken import Taken, read_taken
from apnt.io.written import is_own
from apnt.text import reason

SIDE = 48
"""Pixels along the longer side of the small picture: what moves hardly matters, what is where does."""

_SIDECARS = (".xmp", ".aae", ".thm")  # metadata beside photographs


@dataclass(frozen=True, eq=False)
class Shot:
    """A photograph that can be read.

    Attributes:
        path: the file.
        sha256: of its content.
        kind: its format.
        size: height and width as stored, pixels.
        taken: when, and by which camera.
        exposure: time, ISO, f-number.
        small: (h, w) float32, grey, display-referred in [0, 1], :data:`SIDE` pixels along the longer side.
    """

    path: Path
    sha256: str
    kind: str
    size: tuple[int, int]
    taken: Taken
    exposure: ExifExposure
    small: np.ndarray

    @property
    def stops(self) -> float | None:
        """The exposure by EXIF, log2; None where there is none."""
        if self.exposure.time is None:
            return None
        return math.log2(exposures_of([self.exposure], [str(self.path)])[0])


@dataclass(frozen=True)
class LeftOut:
    """A file that no bracket is made of, and why, in half a sentence that follows its name."""

    path: Path
    reason: str


def look_at(path: Path) -> Shot | LeftOut:
    """Read a file as far as grouping needs it; damage is found where decoding a reduced picture shows it."""
    try:
        return _shot(path)
    except InputError as error:
        return LeftOut(path, str(error).removeprefix(f"{path} "))
    except OSError as error:
        return LeftOut(path, f"cannot be read ({error.strerror or reason(error)})")
    except MemoryError:
        return LeftOut(path, "needs more memory than there is")


def _shot(path: Path) -> Shot:
    if path.suffix.lower() in _SIDECARS:
        raise InputError("holds metadata that belong to a photograph")
    with check_regular(path).open("rb") as file:
        head = file.read(formats.HEAD)
        if not head:
            raise InputError("is empty")
        kind = formats.sniff(head)
        if kind is None:
            raise InputError(
                "was written by apnt" if is_own(path) else "is no photograph, or damaged at its start"
            )
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256") if hasattr(hashlib, "file_digest") else _digest(file)
    if is_own(path):
        raise InputError("was written by apnt")
    size, small = _reduced(path, kind)
    return Shot(path, digest.hexdigest(), kind, size, read_taken(path), read_exif(path), small)


def _digest(file: io.BufferedReader) -> hashlib._Hash:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest


def _reduced(path: Path, kind: str) -> tuple[tuple[int, int], np.ndarray]:
    if kind == "JPEG":
        try:
            size, picture = jpeg.reduced(path, 2 * SIDE)
        except InputError:
            raise
        except Exception as error:  # Pillow fails in many ways, and all mean: not a whole photograph
            raise InputError(f"is truncated or no photograph ({reason(error)})") from error
        return size, _small(picture / np.float32(255))
    if kind == formats.RAW and (preview := _preview(path)) is not None:
        return preview
    photograph = read_photograph(path)
    pixels = photograph.pixels
    if photograph.curve == "linear":
        pixels = pixels ** np.float32(1 / GAMMA)
    return pixels.shape[:2], _small(pixels.mean(axis=-1))


def _preview(path: Path) -> tuple[tuple[int, int], np.ndarray] | None:
    """The picture that the camera put into its RAW file; None where there is none to be read."""
    with closing(raw.opened(path)) as file:
        try:
            thumbnail = file.extract_thumb()
            data = thumbnail.data
            if isinstance(data, bytes):
                with Image.open(io.BytesIO(data)) as image:
                    picture = np.asarray(image.convert("L"))
            else:
                picture = np.asarray(data).mean(axis=-1)
        except Exception:  # none, of a kind that is not known, or broken: the sensor's pixels tell
            return None
        size = (int(file.sizes.height), int(file.sizes.width))
    return size, _small(picture.astype(np.float32) / 255)


def _small(grey: np.ndarray) -> np.ndarray:
    """(H, W) -> (h, w) float32; smaller pictures stay as they are."""
    height, width = grey.shape
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(np.ascontiguousarray(grey, np.float32), size, interpolation=cv2.INTER_AREA)
