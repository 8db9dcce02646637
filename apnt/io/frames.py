"""Photographs or arrays of one scene, checked against each other, as the frames of a bracket."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from apnt import scratch
from apnt.bracket import Bracket
from apnt.errors import InputError
from apnt.io.depth import rescale_bracket
from apnt.io.exif import ExifExposure, ask_exposures, exposures_of, source_of
from apnt.io.exposure import MAX_FRAMES, MIN_STOPS, relative_times
from apnt.io.folder import Listing, check_each_once, find_photographs
from apnt.io.inputs import check_exists
from apnt.io.photo import from_array, from_pillow, read_photograph
from apnt.io.photograph import Photograph
from apnt.text import some

MIN_SIDE = 16
"""Smallest height and width, in pixels, that the network takes."""

_NAMED = 3  # photographs of a size that are named

Image = str | Path | np.ndarray | Pillow.Image

_TURNED = {
    1: "upright",
    2: "mirrored",
    3: "upside down",
    4: "mirrored upside down",
    5: "mirrored and turned left",
    6: "turned right",
    7: "mirrored and turned right",
    8: "turned left",
}


def read_frames(
    images: Sequence[Image] | str | Path,
    times: Sequence[float] | np.ndarray | None = None,
    stops: Sequence[float] | np.ndarray | None = None,
) -> Bracket:
    """Read the frames of one scene as they are, and sort them by exposure.

    Args:
        images: 2 to 15 paths (see :func:`read_photo`), arrays, uint8, uint16 or float in [0, 1], (H, W, 3),
            (H, W, 4) or (H, W), or Pillow images, in any order, all of one size, at least 16 pixels a side;
            or one folder of photographs.
        times: exposure times in the order of the images. Without times and stops, EXIF gives them.
        stops: the same in stops.

    Returns:
        The bracket, named after its shortest exposure; :attr:`~apnt.bracket.Bracket.order` says where each
        frame stood among the images.

    Raises:
        InputError: too few or too many images, unreadable ones, different or too small sizes, or exposures
            that are unknown or unusable.
    """
    photographs, listed = read_photographs(images)
    if times is None and stops is None:
        stops, times = (listed, None) if listed is not None else (None, exif_times(photographs))
    check_count(photographs, times, stops)
    return assemble(photographs, relative_times(times, stops))


def read_photographs(
    images: Sequence[Image] | str | Path, read: Callable[[int, int], None] = lambda done, total: None
) -> tuple[list[Photograph], list[float] | None]:
    """Read the frames of one scene, in the order given, brought to one depth and white balance.

    Args:
        images: as for :func:`read_frames`.
        read: called with how many are read, of how many, from 0 on.

    Returns:
        The photographs; and exposures in stops, where ``images`` is a folder that lists them.

    Raises:
        InputError: too few or too many images, unreadable ones, or different sizes, orientations or curves.
    """
    if isinstance(images, (str, os.PathLike)) and not Path(images).is_dir():
        check_exists(images)
        raise InputError(
            f"images must be 2 to {MAX_FRAMES} paths or arrays, or a folder, got one path: {images}"
        )
    if not isinstance(images, (str, os.PathLike, Iterable)):
        raise InputError(f"images must be 2 to {MAX_FRAMES} paths or arrays, or a folder, got {images!r}")
    given: list[Image] = [images] if isinstance(images, (str, os.PathLike)) else list(images)
    names = [image for image in given if isinstance(image, (str, os.PathLike))]
    listing = Listing([])
    if names and len(names) == len(given):
        listing = find_photographs(names)
        given = list(listing.paths)
    if not 2 <= len(given) <= MAX_FRAMES:
        alone = f": {names[0]}; add the other exposures, or name a folder of them" if len(names) == 1 else ""
        raise InputError(
            f"images must be 2 to {MAX_FRAMES} photographs with different exposures, got {len(given)}{alone}"
        )
    check_each_once(listing.paths)
    read(0, len(given))
    found = []
    for n, image in enumerate(given):
        found.append(_read(image, f"images[{n}]"))
        read(n + 1, len(given))
    photographs = _balanced(found)
    photographs, notes, doubts = rescale_bracket(photographs)
    if listing.left_out:
        own = ", ".join(path.name for path in listing.left_out)
        notes.append(f"Left out of the folder, because apnt wrote it: {own}.")
    first = photographs[0]
    photographs[0] = replace(first, notes=(*first.notes, *notes), doubts=(*first.doubts, *doubts))
    _check_alike(photographs)
    return photographs, listing.stops


def check_count(
    photographs: Sequence[Photograph],
    times: Sequence[float] | np.ndarray | None,
    stops: Sequence[float] | np.ndarray | None,
) -> None:
    """Whether there is one exposure for each photograph.

    Raises:
        InputError: there is not.
    """
    for name, values in (("times", times), ("stops", stops)):
        if values is not None and np.ndim(values) == 1 and len(values) != len(photographs):
            raise InputError(f"{name} must be one number an image, {len(photographs)}, got {len(values)}")


def exif_times(photographs: Sequence[Photograph]) -> list[float]:
    """Exposures from EXIF and XMP, one a photograph, checked to be usable.

    Raises:
        InputError: missing in some, or equal, or too far apart.
    """
    if all(
        photograph.exposure == ExifExposure() and photograph.format == "array" for photograph in photographs
    ):
        raise InputError("times or stops must be given for arrays, which carry no EXIF")
    found = [photograph.exposure for photograph in photographs]
    exposures = exposures_of(found, [p.name for p in photographs])
    source = source_of(found)
    order = np.argsort(exposures, kind="stable")
    for first, second in pairwise(map(int, order)):
        if exposures[second] < exposures[first] * 2**MIN_STOPS:
            said = [photographs[n].exposure.words() for n in (first, second)]
            alike = said[0] if said[0] == said[1] else " and ".join(said)
            raise InputError(
                f"{source} exposures cannot be used, because {photographs[first].name} and "
                f"{photographs[second].name} were exposed alike ({alike}): leave one out, name the "
                f"photographs of one bracket, or {ask_exposures()}"
            )
    try:
        relative_times(exposures)
    except InputError as error:
        raise InputError(f"{source} exposures cannot be used ({error}): {ask_exposures()}") from error
    return exposures


def assemble(photographs: list[Photograph], times: np.ndarray) -> Bracket:
    """The bracket of photographs with these relative times, by ascending exposure.

    The pixels move: each photograph in the list is emptied as its frame is copied, so that they lie in memory
    once, and one frame more.
    """
    order = [int(n) for n in np.argsort(times, kind="stable")]
    ldr = scratch.empty((len(order), *photographs[0].pixels.shape), np.float32)
    holes = any(photograph.valid is not None for photograph in photographs)
    valid = scratch.filled(ldr.shape[:3], True, bool) if holes else None
    for k, n in enumerate(order):
        photograph = photographs[n]
        ldr[k] = photograph.pixels
        if valid is not None and photograph.valid is not None:
            valid[k] = photograph.valid
        photographs[n] = replace(photograph, pixels=ldr[k, :0], valid=None)
    return Bracket(photographs[order[0]].name, ldr, times[order], order=tuple(order), valid=valid)


def _read(image: Image, name: str) -> Photograph:
    if isinstance(image, (str, os.PathLike)):
        return read_photograph(image)
    if isinstance(image, Pillow.Image):
        return from_pillow(image, name)
    return from_array(np.asarray(image), name)


def _balanced(photographs: list[Photograph]) -> list[Photograph]:
    """RAW files developed with one white balance, that of the middle exposure."""
    if len({photograph.wb for photograph in photographs}) == 1 or not all(p.wb for p in photographs):
        return photographs
    order = sorted(range(len(photographs)), key=lambda n: photographs[n].exposure.time or 0.0)
    gains = photographs[order[len(order) // 2]].wb
    return [p if p.wb == gains else read_photograph(p.name, gains) for p in photographs]


def _sizes(photographs: Sequence[Photograph]) -> str:
    """Which photographs are of which size; of several brackets, what takes them apart."""
    named: dict[tuple[int, ...], list[str]] = {}
    for photograph in photographs:
        named.setdefault(photograph.pixels.shape[:2], []).append(photograph.name)
    said = [
        f"{some(names, _NAMED if len(names) <= _NAMED else 1)} of {width} x {height}"
        for (height, width), names in named.items()
    ]
    brackets = len(named) > 1 and min(map(len, named.values())) > 1
    several = "; apnt batch finds the brackets of a folder" if brackets else ""
    return f"got {', '.join(said)} pixels{several}"


def _check_alike(photographs: Sequence[Photograph]) -> None:
    shapes = {photograph.pixels.shape for photograph in photographs}
    if len(shapes) != 1:
        raise InputError(f"images must have the same size after EXIF rotation: {_sizes(photographs)}")
    if min(photographs[0].pixels.shape[:2]) < MIN_SIDE:
        raise InputError(f"images must be at least {MIN_SIDE} pixels a side: {_sizes(photographs)}")
    files = [photograph for photograph in photographs if photograph.format != "array"]
    if len({photograph.orientation for photograph in files}) > 1:
        flags = [f"{p.name} is {_TURNED[p.orientation]}" for p in files]
        raise InputError(
            f"images must have the same EXIF orientation: {', '.join(flags)}; remove the flags, or turn the "
            "photographs, so that all show the scene alike"
        )
    if len({photograph.curve for photograph in photographs}) != 1:
        curves = [f"{p.name} is {p.curve or 'display-referred'}" for p in photographs]
        raise InputError(f"images must be all linear or all display-referred: {', '.join(curves)}")
