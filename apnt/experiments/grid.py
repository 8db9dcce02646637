"""Figs. 5, 6 and 8: pictures of several methods side by side, with squares enlarged below them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image
from rich.console import Console

from apnt import defaults
from apnt._fuse import fused_image
from apnt.bracket import Bracket
from apnt.errors import InputError
from apnt.evaluate.pictures import fit, tone_map_alike
from apnt.evaluate.sets import load_set
from apnt.experiments.choose import with_weights
from apnt.experiments.output import machine, write_json
from apnt.io.exif import IN_FOLDER, asking
from apnt.io.files import atomic_path, check_new
from apnt.io.folder import find_photographs
from apnt.methods import Method, load_methods
from apnt.prepare.pipeline import Options, prepare
from apnt.train.state import prepare_folder

Box = tuple[int, int, int]
"""A square: left, top and side, pixels."""

_GAP, _TITLE = 6, 22  # pixels between pictures, and of a title's row
_INK = (40, 40, 40)
_COLOURS = ((230, 60, 40), (0, 130, 220))  # RGB of the frames of the squares
_QUALITY = 88


class Frames(NamedTuple):
    """A bracket as each kind of method gets it; the names are those of the kinds."""

    radiance: Bracket
    display: Bracket


@dataclass(frozen=True)
class Figure:
    """A figure of the paper.

    Attributes:
        methods: what it compares.
        caption: what it shows.
    """

    methods: tuple[str, ...]
    caption: str


FIGURES = {
    "fig5": Figure(("kalantari17", "yan19", "apnt"), "Fig. 5: networks on scenes that move"),
    "fig6": Figure(("mertens", "gu12", "shen14", "li21", "apnt"), "Fig. 6: exposure fusion of static scenes"),
    "fig8": Figure(("li21", "apnt"), "Fig. 8: exposure fusion of scenes that move"),
}


def run_grid(
    name: str,
    out: Path,
    folders: Sequence[Path] = (),
    *,
    set_name: str = defaults.SET,
    data: Path | None = None,
    weights: Sequence[str] = (defaults.WEIGHTS,),
    methods: Sequence[str] | None = None,
    boxes: Sequence[Box] = (),
    limit: int | None = 3,
    width: int = 320,
    device: str | None = None,
    precision: str = "fp32",
    force: bool = True,
) -> list[Path]:
    """Fuse brackets by several methods and write one picture for each bracket.

    Args:
        name: of :data:`FIGURES`.
        out: folder for ``NAME_BRACKET.jpg`` and ``NAME.json``.
        folders: of photographs, a bracket each, prepared as ``apnt fuse`` does; none takes a set.
        set_name, data: the brackets otherwise, see :func:`apnt.evaluate.sets.load_set`.
        weights: of the networks, see :func:`apnt.methods.load_methods`.
        methods: instead of the figure's, of whose networks those without weights are left out and named.
        boxes: squares that are enlarged, at most two; none takes the two where the methods differ most.
        limit: only the first so many brackets.
        width: of a method's picture, pixels.
        device, precision: of the networks.
        force: files that exist are replaced; False refuses it.

    Returns:
        The pictures that were written.

    Raises:
        InputError: arguments that cannot be used.
    """
    if name not in FIGURES:
        raise InputError(f"figure must be one of {', '.join(FIGURES)}, got {name!r}")
    check_new(out / f"{name}.json", force=force)  # which a whole figure has, whatever its pictures are called
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1, got {limit}: leave it out for three")
    if len(boxes) > len(_COLOURS):
        raise InputError(f"boxes must be at most {len(_COLOURS)}, got {len(boxes)}")
    if not 64 <= width <= 2000:
        raise InputError(f"width must be from 64 to 2000 pixels, got {width}")
    left_out = ""
    if methods is None:
        methods, left_out = with_weights(FIGURES[name].methods, weights)
    loaded = load_methods(methods, weights, device, precision)
    kinds = {method.kind for method in loaded.values()}
    brackets: Iterable[Frames]
    if folders:
        for folder in folders:
            find_photographs([folder])  # what is missing is found before the work
        brackets = (_photographs(folder, kinds) for folder in folders)
    else:
        brackets = (Frames(bracket, bracket) for bracket in load_set(set_name, data)[0])
    prepare_folder(out)
    paths, found = [], []
    for frames in islice(brackets, limit):
        bracket = frames.radiance
        results = {key: fused_image(getattr(frames, m.kind), m) for key, m in loaded.items()}
        squares = list(boxes) or _places(list(_pictures(results, loaded).values()))
        for square in squares:
            _check(square, bracket)
        path = out / f"{name}_{bracket.name}.jpg"
        _write(path, draw(bracket, results, loaded, squares, width))
        paths.append(path)
        found.append({"bracket": bracket.name, "boxes": squares, "picture": path.name})
    details = {key: {"title": method.title, **method.details} for key, method in loaded.items()}
    content: dict[str, Any] = {
        "title": FIGURES[name].caption,
        "methods": details,
        "brackets": found,
        "machine": machine(),
    }
    if left_out:
        content["notes"] = [left_out]
        Console(stderr=True).print(left_out, markup=False, highlight=False)
    write_json(out / f"{name}.json", content)
    return paths


def draw(
    bracket: Bracket,
    results: dict[str, np.ndarray],
    methods: dict[str, Method],
    boxes: Sequence[Box],
    width: int,
) -> np.ndarray:
    """The figure of one bracket: the reference frame, each method, the truth where it is known.

    Radiance is tone-mapped by one curve, pictures for a display are shown as they are.

    Args:
        bracket: what was fused.
        results: method -> (H, W, 3), by its kind radiance or a picture, in [0, 1].
        methods: of the results.
        boxes: squares to enlarge.
        width: of a picture.

    Returns:
        RGB uint8.
    """
    shown = _pictures(results, methods, bracket.truth)
    frame = np.round(255 * np.clip(bracket.reference_frame, 0, 1)).astype(np.uint8)
    columns = {"reference frame": frame, **shown}
    return np.concatenate([_column(title, image, boxes, width) for title, image in columns.items()], axis=1)


def _pictures(
    results: dict[str, np.ndarray], methods: dict[str, Method], truth: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Title -> (H, W, 3) uint8."""
    radiance = {key: image for key, image in results.items() if methods[key].kind == "radiance"}
    if truth is not None:
        radiance["truth"] = truth
    mapped = dict(zip(radiance, tone_map_alike(list(radiance.values())), strict=True)) if radiance else {}
    pictures = {}
    for key, image in results.items():
        title = methods[key].title
        pictures[title] = mapped[key] if key in mapped else np.round(255 * image).astype(np.uint8)
    return pictures if truth is None else {**pictures, "truth": mapped["truth"]}


def _column(title: str, image: np.ndarray, boxes: Sequence[Box], width: int) -> np.ndarray:
    """A title, the picture with the squares marked, and below it the squares side by side."""
    scale = width / image.shape[1]
    height = max(1, round(image.shape[0] * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.resize(image, (width, height), interpolation=method)
    side = (width - _GAP * (len(boxes) - 1)) // max(len(boxes), 1)
    zoomed = []
    for (left, top, size), colour in zip(boxes, _COLOURS, strict=False):
        first, last = [
            (round(x * scale), round(y * scale)) for x, y in ((left, top), (left + size, top + size))
        ]
        cv2.rectangle(small, first, last, colour, 2, cv2.LINE_AA)
        cut = cv2.resize(
            image[top : top + size, left : left + size], (side, side), interpolation=cv2.INTER_NEAREST
        )
        cv2.rectangle(cut, (0, 0), (side - 1, side - 1), colour, 2)
        zoomed.append(cut)
    rows = [_named(title, width), small]
    if zoomed:
        row = np.full((side + _GAP, width, 3), 255, np.uint8)
        for number, cut in enumerate(zoomed):
            left = number * (side + _GAP)
            row[_GAP:, left : left + side] = cut
        rows.append(row)
    return np.pad(np.concatenate(rows), ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255)


def _named(title: str, width: int) -> np.ndarray:
    row = np.full((_TITLE, width, 3), 255, np.uint8)
    cv2.putText(row, title, (2, _TITLE - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _INK, 1, cv2.LINE_AA)
    return row


def _places(pictures: Sequence[np.ndarray]) -> list[Box]:
    """The two squares, apart from each other, where the pictures differ most."""
    stack = np.stack([picture.astype(np.float32) for picture in pictures])
    spread = stack.std(axis=0).mean(axis=-1) if len(stack) > 1 else cv2.Laplacian(stack[0].mean(axis=-1), -1)
    side = int(np.clip(min(spread.shape) // 5, min(16, *spread.shape), 240))
    # Squared: a few large differences, such as a ghost, matter more than a tint of the whole.
    total = cv2.boxFilter(spread.astype(np.float64) ** 2, -1, (side, side), anchor=(0, 0), normalize=True)
    total = total[: spread.shape[0] - side + 1, : spread.shape[1] - side + 1].copy()
    found: list[Box] = []
    for _ in _COLOURS:
        if not np.isfinite(total.max()):
            break
        top, left = (int(n) for n in np.unravel_index(total.argmax(), total.shape))
        found.append((left, top, side))
        total[max(0, top - side) : top + side, max(0, left - side) : left + side] = -np.inf
    return found


def _check(box: Box, bracket: Bracket) -> None:
    left, top, side = box
    height, width = bracket.size
    if not (side >= 1 and 0 <= left <= width - side and 0 <= top <= height - side):
        raise InputError(
            f"boxes must lie inside {bracket.name}, {width} x {height} pixels, got left {left}, top {top}, "
            f"side {side}"
        )


def _photographs(folder: Path, kinds: Collection[str]) -> Frames:
    """Prepared as ``apnt fuse`` does: display methods get the frames as their files show them, aligned."""

    def prepared(rendered: bool) -> Bracket:
        with asking(IN_FOLDER):
            bracket = prepare(folder, options=Options(rendered=rendered)).bracket
        return replace(bracket, name=folder.resolve().name)

    radiance = prepared(rendered=False)
    return Frames(radiance, prepared(rendered=True) if "display" in kinds else radiance)


def _write(path: Path, picture: np.ndarray) -> None:
    with atomic_path(path) as partial:
        Image.fromarray(fit(picture, 4096)).save(partial, "JPEG", quality=_QUALITY, optimize=True)
