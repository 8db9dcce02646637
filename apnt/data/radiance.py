"""Radiance maps: the HDR images from which synthetic brackets are made."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import OpenEXR

from apnt.errors import InputError

SUFFIXES = (".hdr", ".exr")


def read_radiance(path: str | Path) -> np.ndarray:
    """Read an HDR image as linear RGB radiance.

    Args:
        path: a Radiance ``.hdr`` or an OpenEXR ``.exr`` file with channels R, G, B (others are dropped).

    Returns:
        (H, W, 3) float32, finite, not negative; arbitrary scale, as stored.

    Raises:
        InputError: the file is missing, cannot be read, or has no R, G, B channels.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"path must be an HDR image, got {path}, which is no file")
    image = _read_exr(path) if path.suffix.lower() == ".exr" else _read_hdr(path)
    # Lossy EXR compression leaves tiny negatives, broken renders leave NaN: neither is light.
    return np.nan_to_num(np.maximum(image.astype(np.float32), 0.0), nan=0.0, posinf=np.finfo(np.float32).max)


def _read_hdr(path: Path) -> np.ndarray:
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our own error says it in one line
    try:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if image is None or image.ndim != 3 or image.dtype != np.float32:
        raise InputError(f"path must be a whole Radiance .hdr image in colour, and {path} is not one")
    return image[..., ::-1]


def _read_exr(path: Path) -> np.ndarray:
    try:
        # Joined, channels of different types would be refused.
        channels = OpenEXR.File(str(path), separate_channels=True).channels()
    except Exception as error:  # the binding raises bare RuntimeError subclasses of several kinds
        raise InputError(f"path must be an OpenEXR image, and {path} cannot be read: {error}") from error
    if not set("RGB") <= set(channels):
        raise InputError(f"path must hold the channels R, G, B, and {path} holds {sorted(channels)}")
    return np.stack([channels[name].pixels.astype(np.float32) for name in "RGB"], axis=-1)


def has_radiance_maps(folder: str | Path) -> bool:
    """Whether ``.hdr`` or ``.exr`` files lie in a folder itself."""
    folder = Path(folder)
    return folder.is_dir() and any(path.suffix.lower() in SUFFIXES for path in folder.iterdir())


def list_radiance_maps(folder: str | Path) -> list[Path]:
    """All ``.hdr`` and ``.exr`` files of a folder, sorted by name.

    Raises:
        InputError: the folder is missing or holds none.
    """
    folder = Path(folder)
    files = sorted(p for p in folder.glob("*") if p.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not files:
        raise InputError(
            f"data must be a folder with .hdr or .exr radiance maps, got {folder}, which has none"
        )
    return files
