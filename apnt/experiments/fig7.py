"""Fig. 7: how much is lost where the short and the long exposure are translated against the medium one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from apnt._fuse import fused_image
from apnt.bracket import Bracket
from apnt.errors import InputError
from apnt.evaluate.report import number
from apnt.evaluate.sets import load_set
from apnt.evaluate.table import evaluate
from apnt.experiments.output import publish
from apnt.experiments.plot import line_plot, write_picture
from apnt.methods import METHODS, Options, load_method
from apnt.metrics import PROTOCOL
from apnt.train.state import prepare_folder

SHIFTS = (0, 5, 10, 20)
PAPER_UNSHIFTED = 43.96
"""The paper's PSNR-mu at 0 pixels; its Fig. 7 is a plot and names no other number."""


def run_fig7(
    out: Path,
    *,
    weights: str = "default",
    set_name: str = "val-v1",
    data: Path | None = None,
    methods: Sequence[str] | None = None,
    shifts: Sequence[int] = SHIFTS,
    limit: int | None = None,
    device: str | None = None,
    precision: str = "fp32",
) -> dict[str, Any]:
    """Evaluate methods on translated brackets, print the table and write table, numbers and plot to ``out``.

    Args:
        out: folder for ``fig7.md``, ``fig7.json`` and ``fig7.png``.
        weights: of APNT-Fusion.
        set_name, data: the brackets, see :func:`apnt.evaluate.sets.load_set`; of val-v1 only those with a
            still camera.
        methods: names out of ``apnt.methods.METHODS``; None = all.
        shifts: pixels by which short and long exposure are moved, down and to the right.
        limit: only the first so many brackets.
        device, precision: of APNT-Fusion.

    Returns:
        What ``out/fig7.json`` holds.

    Raises:
        InputError: arguments that cannot be used.
    """
    shifts = sorted(set(shifts))
    if not shifts or shifts[0] < 0:
        raise InputError(f"shifts must be numbers of pixels from 0, got {shifts}")
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1, got {limit}: leave it out for the whole set")
    brackets = _brackets(set_name, data, limit)  # what is wrong with the set is found before the work
    names = list(dict.fromkeys(METHODS if methods is None else methods))
    loaded = {name: load_method(name, Options(weights, device, precision)) for name in names}
    fuse = {name: partial(fused_image, method=method) for name, method in loaded.items()}
    prepare_folder(out)
    found = list(brackets)
    console = Console(stderr=True)
    means: dict[str, list[float]] = {name: [] for name in names}
    scores: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    for shift in shifts:
        moved = [translated(bracket, shift, shifts[-1]) for bracket in found]
        table = evaluate(fuse, track(moved, f"{shift} pixels", len(found), console=console, transient=True))
        for name in names:
            means[name].append(table.mean(name, "psnr_mu"))
            scores[name][str(shift)] = table.scores[name]["psnr_mu"]
    titles = {name: method.title for name, method in loaded.items()}
    return _report(out, set_name, shifts, means, scores, titles, table.scenes)


def translated(bracket: Bracket, shift: int, margin: int) -> Bracket:
    """Move the short and the long exposure by ``shift`` pixels down and to the right, and cut borders off.

    Args:
        bracket: whatever its motion, the translation is added to it.
        shift: from 0 to ``margin``.
        margin: cut off on each side of all frames and the truth, the same for every shift that is compared;
            what moves in comes from there, so no pixel is made up.

    Raises:
        InputError: frames that are too small for the margin.
    """
    height, width = bracket.ldr.shape[1:3]
    if not 0 <= shift <= margin:
        raise InputError(f"shift must lie between 0 and margin, {margin}, got {shift}")
    if min(height, width) - 2 * margin < 32:
        raise InputError(
            f"shifts must leave at least 32 pixels of {bracket.name}, {width} x {height}, and {margin} on "
            "each side do not: take smaller ones"
        )

    def cut(image: Any, offset: int = 0) -> Any:
        return image[margin - offset : height - margin - offset, margin - offset : width - margin - offset]

    frames = bracket.ldr[[0, 1, 2], margin : height - margin, margin : width - margin].copy()
    for k in (0, 2):
        frames[k] = cut(bracket.ldr[k], shift)
    truth = None if bracket.truth is None else cut(bracket.truth)
    moving = None if bracket.moving is None else cut(bracket.moving)
    return Bracket(bracket.name, frames, bracket.times, truth, moving)


def _brackets(set_name: str, data: Path | None, limit: int | None) -> Iterable[Bracket]:
    """The brackets that are translated, made one after the other; the set is checked at once."""
    brackets: Iterable[Bracket] = load_set(set_name, data)[0]
    if set_name == "val-v1":
        # Its other half has a camera that moves by up to 20 pixels already.
        brackets = (bracket for bracket in brackets if bracket.name.endswith("_0"))
    return islice(brackets, limit)


def _report(
    out: Path,
    set_name: str,
    shifts: Sequence[int],
    means: dict[str, list[float]],
    scores: dict[str, dict[str, list[float]]],
    titles: dict[str, str],
    scenes: list[str],
) -> dict[str, Any]:
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
        + f"; short and long exposure moved down and to the right, {shifts[-1]} pixels cut off each border "
        "of all, so that every column shows the same pixels of the truth. Other motion stays, on top.",
        "Paper: on the 15 test scenes of DeepHDR; it shows the other values as a plot without numbers.",
        f"Protocol: {PROTOCOL}.",
    ]
    falls = {name: values[0] - values[-1] for name, values in means.items()}
    content = {
        "set": set_name, "shifts": list(shifts), "protocol": PROTOCOL, "scenes": scenes,
        "paper": paper, "means": means, "falls": falls, "scores": scores,
    }  # fmt: skip
    publish(out, "fig7", "Fig. 7: translation of short and long exposure", rows, notes, content)
    lines = {titles[name]: values for name, values in means.items() if all(map(math.isfinite, values))}
    write_picture(out / "fig7.png", line_plot(list(shifts), lines, "translation, pixels", "PSNR-mu, dB"))
    return content
