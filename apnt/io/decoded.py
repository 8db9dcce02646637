"""What every decoder hands on: integer samples as stored, and what the file says about them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from apnt.errors import InputError
from apnt.io.profile import Profile

MAX_PIXELS = 400_000_000
"""Largest width times height that is decoded; a header that claims more is refused, no pixel read."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """One photograph between its decoder and :func:`apnt.io.photo.read_photograph`.

    Attributes:
        samples: (H, W) grey, or (H, W, 3) RGB, uint8 or uint16, as stored (not yet upright). May be a view.
        white: the sample that means full white, such as 255, 1023 or 65535.
        bits: bits a sample that the container states.
        alpha: (H, W), of the samples' type and with the same ``white``; None without transparency.
        premultiplied: the samples were multiplied by alpha.
        profile: the colour space to convert from; None = sRGB or unknown, nothing is converted.
        linear: the file says that its samples are proportional to light.
        orientation: EXIF orientation, 1 to 8, as stored.
        upright: the decoder applied the orientation already.
        notes: sentences without the file's name, such as ``"holds an animation: ..."``.
        doubts: the same, of what may be wrong.
    """

    samples: np.ndarray
    white: int
    bits: int
    alpha: np.ndarray | None = None
    premultiplied: bool = False
    profile: Profile | None = None
    linear: bool = False
    orientation: int = 1
    upright: bool = False
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def check_size(width: int, height: int) -> None:
    """Refuse a size that no memory should be asked for.

    Raises:
        InputError: nothing or more than ``MAX_PIXELS`` pixels; the caller puts the file's name before it.
    """
    if width < 1 or height < 1:
        raise InputError(f"must hold at least one pixel, and its header says {width} x {height}")
    if width * height > MAX_PIXELS:
        raise InputError(
            f"must have at most {MAX_PIXELS / 1e6:.0f} megapixels, and its header says {width} x {height}: "
            "scale it down first"
        )


def extra(module: str, what: str) -> Any:
    """Import a package of the extra ``apnt[photo]``.

    Args:
        module: its import name.
        what: what the file is, such as ``"a HEIC photograph"``.

    Raises:
        InputError: it is not installed; the caller puts the file's name before the sentence.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.replace("_", "-")
        raise InputError(f"is {what}, which needs {package}: pip install 'apnt[photo]'") from error
