"""Fig. 7: how much is lost where all exposures but the reference are translated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from apnt import defaults
from apnt._fuse import fused_image
from apnt.bracket import Bracket
from apnt.errors import InputError
from apnt.evaluate.loop import evaluate_brackets
from apnt.evaluate.scores import Table
from apnt.evaluate.sets import load_set
from apnt.evaluate.tables import number
from apnt.experiments.choose import radiance_methods
from apnt.experiments.output import publish
from apnt.experiments.plot import line_plot, write_picture
from apnt.io.files import check_new
from apnt.metrics import PROTOCOL
from apnt.train.state import prepare_folder

SHIFTS = (0, 5, 10, 20)
PAPER_UNSHIFTED = 43.96
"""The paper's PSNR-mu at 0 pixels; its Fig. 7 is a plot and names no other number."""


def run_fig7(
    out: Path,
    *,
    weights: Sequence[str] = (defaults.WEIGHTS,),
    set_name: str = "val-v1",
    data: Path | None = None,
    methods: Sequence[str] | None = None,
    shifts: Sequence[int] = SHIFTS,
    limit: int | None = None,
    device: str | None = None,
    precision: str = "fp32",
    force: bool = True,
) -> dict[str, Any]:
    """Evaluate methods on translated brackets, print the table and write table, numbers and plot to ``out``.

    Args:
        out: folder for ``fig7.md``, ``fig7.json`` and ``fig7.png``.
        weights: of the networks, see :func:`apnt.methods.load_methods`.
        set_name, data: the brackets, see :func:`apnt.evaluate.sets.load_set`; of val-v1 only those with a
            still camera.
        methods: names out of ``apnt.methods.METHODS``; None = all that make radiance, of the networks those
            with weights.
        shifts: pixels by which the exposures are moved, down and to the right.
        limit: only the first so many brackets.
        device, precision: of the networks.
        force: files that exist are replaced; False refuses it.

    Returns:
        What ``out/fig7.json`` holds.

    Raises:
        InputError: arguments that cannot be used.
    """
    for file in ("fig7.md", "fig7.json", "fig7.png"):
        check_new(out / file, force=force)
    shifts = sorted(set(shifts))
    if not shifts or shifts[0] < 0:
        raise InputError(f"shifts must be numbers of pixels from 0, got {shifts}")
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1, got {limit}: leave it out for the whole set")
    brackets = _brackets(set_name, data, limit)  # so that an error in the set is found before the work
    loaded, left_out = radiance_methods(methods, weights, device, precision)
    fuse = {name: partial(fused_image, method=method) for name, method in loaded.items()}
    prepare_folder(out)
    found = list(brackets)
    console = Console(stderr=True)
    tables = {}
    for shift in shifts:
        moved = [translated(bracket, shift, shifts[-1]) for bracket in found]
        bar = track(moved, f"{shift} pixels", len(moved), console=console, transient=True)
        tables[shift] = evaluate_brackets(fuse, bar)
    titles = {name: method.title for name, method in loaded.items()}
    frames = " and ".join(found[0].frame_names[k] for k in found[0].others)
    return _publish(out, set_name, frames, tables, titles, left_out)


def translated(bracket: Bracket, shift: int, margin: int) -> Bracket:
    """Move all exposures but the reference by ``shift`` pixels down and to the right, and cut borders off.

    Args:
        bracket: whatever its motion, the translation is added to it.
        shift: from 0 to ``margin``.
        margin: cut off on each side of all frames and the truth, the same for all shifts that are compared;
            the pixels that move in come from there, so none is invented.

    Raises:
        InputError: frames that are too small for the margin.
    """
    height, width = bracket.size
    if not 0 <= shift <= margin:
        raise InputError(f"shift must lie between 0 and margin, {margin}, got {shift}")
    if min(height, width) - 2 * margin < 32:
        raise InputError(
            f"shifts must leave at least 32 pixels of {bracket.name}, {width} x {height}, and {margin} on "
            "each side do not: take smaller ones"
        )

    def cut(image: Any, offset: int = 0) -> Any:
        return image[margin - offset : height - margin - offset, margin - offset : width - margin - offset]

    shifts = [0 if k == bracket.reference else shift for k in range(len(bracket))]
    frames = np.stack([cut(frame, offset) for frame, offset in zip(bracket.ldr, shifts, strict=True)])
    truth = None if bracket.truth is None else cut(bracket.truth)
    moving = None if bracket.moving is None else cut(bracket.moving)
    return Bracket(bracket.name, frames, bracket.times, truth, moving, bracket.reference)


def _brackets(set_name: str, data: Path | None, limit: int | None) -> Iterable[Bracket]:
    """The brackets that are translated, made one at a time; the set is checked at once."""
    brackets: Iterable[Bracket] = load_set(set_name, data)[0]
    if set_name == "val-v1":
        # Its other half has a camera that moves by up to 20 pixels already.
        brackets = (bracket for bracket in brackets if bracket.name.endswith("_0"))
    return islice(brackets, limit)


def _publish(
    out: Path,
    set_name: str,
    frames: str,
    tables: Mapping[int, Table],
    titles: Mapping[str, str],
    left_out: str,
) -> dict[str, Any]:
    """Print and write the table, the numbers and the plot.

    Args:
        out: an existing folder.
        set_name: of the brackets.
        frames: names of the exposures that were moved.
        tables: shift -> scores.
        titles: of the methods.
        left_out: which networks are missing, for the notes.
    """
    shifts = list(tables)
    scenes = tables[shifts[0]].scenes
    means = {name: [table.mean(name, "psnr_mu") for table in tables.values()] for name in titles}
    scores = {
        name: {str(shift): table.scores[name]["psnr_mu"] for shift, table in tables.items()}
        for name in titles
    }
    rows = [["PSNR-µ", *(f"{shift} px" for shift in shifts), "change"]]
    paper: list[float | None] = [PAPER_UNSHIFTED if shift == 0 else None for shift in shifts]
    rows.append(["the paper", *(number(value) for value in paper), "-"])
    for name, values in means.items():
        rows.append(
            [titles[name], *(number(value) for value in values), number(values[-1] - values[0], sign="+")]
        )
    notes = [
        f"{len(scenes)} brackets of {set_name}"
        + (" with a still camera" if set_name == "val-v1" else "")
        + f"; {frames} exposure moved down and to the right, {shifts[-1]} pixels cut off each border "
        "of all, so that every column shows the same pixels of the truth. Other motion stays, on top.",
        "Paper: on the 15 test scenes of DeepHDR; it shows the other values as a plot without numbers.",
        f"Protocol: {PROTOCOL}.",
        *([left_out] if left_out else []),
    ]
    falls = {name: values[0] - values[-1] for name, values in means.items()}
    content = {
        "set": set_name, "shifts": shifts, "protocol": PROTOCOL, "scenes": scenes,
        "paper": paper, "means": means, "falls": falls, "scores": scores,
    }  # fmt: skip
    publish(out, "fig7", f"Fig. 7: translation of {frames} exposure", rows, notes, content)
    lines = {titles[name]: values for name, values in means.items() if all(map(math.isfinite, values))}
    write_picture(out / "fig7.png", line_plot(shifts, lines, "translation, pixels", "PSNR-mu, dB"))
    return content
