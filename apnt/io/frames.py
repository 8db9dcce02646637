"""Photographs or arrays, checked against each other and sorted short to long."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from apnt.bracket import Bracket
from apnt.errors import InputError
from apnt.io.exif import ASK_EXPOSURES, exif_exposures
from apnt.io.exposure import relative_times
from apnt.io.photo import read_photo, to_unit_rgb

MIN_SIDE = 16
"""Smallest height and width, in pixels, that the network takes."""

Image = str | Path | np.ndarray


def read_frames(
    images: Sequence[Image],
    times: Sequence[float] | np.ndarray | None = None,
    stops: Sequence[float] | np.ndarray | None = None,
) -> Bracket:
    """Read three frames of one scene and sort them by exposure.

    Args:
        images: three paths (see :func:`read_photo`) or arrays, uint8, uint16 or float in [0, 1], (H, W, 3),
            (H, W, 4) or (H, W), in any order, all of one size, at least 16 pixels a side.
        times: exposure times in the order of the images. Without times and stops, EXIF gives them.
        stops: the same in stops.

    Returns:
        The bracket, named after its shortest exposure; :attr:`~apnt.bracket.Bracket.order` says where each
        frame stood among the images.

    Raises:
        InputError: not three images, unreadable, of different or too small size, or exposures that are
            unknown or unusable.
    """
    if isinstance(images, (str, os.PathLike)):
        raise InputError(f"images must be three paths or arrays, got one path: {images}")
    images = list(images)
    if len(images) != 3:
        raise InputError(f"images must be three photographs with different exposures, got {len(images)}")
    names = [str(i) if isinstance(i, (str, os.PathLike)) else f"images[{n}]" for n, i in enumerate(images)]
    from_exif = times is None and stops is None
    paths = [Path(image) for image in images if isinstance(image, (str, os.PathLike))]
    if from_exif and len(paths) != len(images):
        raise InputError("times or stops must be given for arrays, which carry no EXIF")
    relative = None if from_exif else relative_times(times, stops)
    pixels = [
        read_photo(image) if isinstance(image, (str, os.PathLike)) else to_unit_rgb(np.asarray(image), name)
        for image, name in zip(images, names, strict=True)
    ]
    sizes = [f"{name} is {p.shape[1]} x {p.shape[0]}" for name, p in zip(names, pixels, strict=True)]
    if len({p.shape for p in pixels}) != 1:
        raise InputError(f"images must have the same size after EXIF rotation: {', '.join(sizes)} pixels")
    if min(pixels[0].shape[:2]) < MIN_SIDE:
        raise InputError(f"images must be at least {MIN_SIDE} pixels a side: {sizes[0]} pixels")
    if relative is None:
        relative = _exif_times(paths)
    order = tuple(int(n) for n in np.argsort(relative))
    ldr = np.stack([pixels[n] for n in order])
    return Bracket(names[order[0]], ldr, relative[list(order)], order=order)


def _exif_times(paths: Sequence[Path]) -> np.ndarray:
    exposures = exif_exposures(paths)
    try:
        return relative_times(exposures)
    except InputError as error:
        raise InputError(f"EXIF exposures cannot be used ({error}): {ASK_EXPOSURES}") from error
