"""Tone-mapped previews: linear radiance looks black in a viewer, because 1.0 is a highlight there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from apnt.io.files import check_output
from apnt.io.picture import PICTURE_SUFFIXES, write_picture

PREVIEW_SUFFIXES = PICTURE_SUFFIXES


def tone_map(radiance: np.ndarray) -> np.ndarray:
    """:func:`apnt.render` of the radiance with its defaults, in 8 bits.

    Args:
        radiance: (H, W, 3) float, linear RGB, finite and not negative.

    Returns:
        (H, W, 3) uint8, sRGB.

    Raises:
        InputError: another shape, dtype or range.
    """
    from apnt.looks import render  # here: looks read photographs, and reading is of this package

    return np.rint(255 * render(radiance)).astype(np.uint8)


def write_preview(path: str | Path, radiance: np.ndarray) -> Path:
    """Write :func:`apnt.render` of the radiance as a picture; replaced as a whole or not at all.

    Raises:
        InputError: the path or the array cannot be used.
        OSError: the disk refused.
    """
    from apnt.looks import render

    check_output(path, PREVIEW_SUFFIXES)
    return write_picture(path, render(radiance))
