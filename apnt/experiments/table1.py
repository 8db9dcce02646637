"""Table I: the systems of the paper on sets with truth, the paper's figures beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from apnt import defaults
from apnt._fuse import fused_image
from apnt.errors import InputError
from apnt.evaluate.loop import evaluate_brackets
from apnt.evaluate.scores import Table
from apnt.evaluate.sets import SETS, load_set
from apnt.evaluate.tables import number
from apnt.experiments.choose import radiance_methods
from apnt.experiments.output import publish
from apnt.io.files import check_new
from apnt.methods import METHODS, Method
from apnt.metrics import PROTOCOL
from apnt.train.state import prepare_folder

PAPER = {
    "wu18": (41.65, 40.88, 0.9860, 0.9858),
    "kalantari17": (42.67, 41.22, 0.9877, 0.9845),
    "yan19": (43.61, 41.13, 0.9922, 0.9896),
    "apnt": (43.96, 41.69, 0.9957, 0.9914),
}
"""The paper's PSNR-mu, PSNR-L (dB), SSIM-mu and SSIM-L on DeepHDR's 15 test scenes."""

WHOLE = {"psnr_mu": 2, "psnr_linear": 2, "ssim_mu": 4, "ssim_linear": 4}
"""The measures of the paper's table -> decimals."""
PARTS = {"psnr_mu_saturated": 2, "psnr_mu_moving_saturated": 2}
_HEADS = ["PSNR-µ", "PSNR-L", "SSIM-µ", "SSIM-L", "sat.", "mov. sat."]

NOTES = (
    "Paper: DeepHDR's 15 test scenes, networks trained on its 74. Compare the order, not the levels: between "
    "papers one method moves by up to 1.8 dB in PSNR-µ on these same scenes.",
    f"Protocol: {PROTOCOL}. sat., mov. sat.: PSNR-µ on pixels saturated in the reference frame, and on those "
    "that also move.",
)


def run_table1(
    out: Path,
    *,
    sets: Sequence[str] | None = None,
    data: Path | None = None,
    weights: Sequence[str] = (defaults.WEIGHTS,),
    methods: Sequence[str] | None = None,
    limit: int | None = None,
    device: str | None = None,
    precision: str = "fp32",
    force: bool = True,
) -> dict[str, Any]:
    """Evaluate methods on sets with truth, print a table for each, and write all of them to ``out``.

    Args:
        out: folder for ``table1.md`` and ``table1.json``.
        sets: names of sets or folders of data sets such as DeepHDR; None = the validation sets.
        data: the folder that named sets are made from; folders need none.
        weights: of the networks, see :func:`apnt.methods.load_methods`.
        methods: names out of ``apnt.methods.METHODS``; None = all that make radiance, of the networks those
            with weights.
        limit: only the first so many brackets of each set.
        device, precision: of the networks.
        force: files that exist are replaced; False refuses it.

    Returns:
        What ``out/table1.json`` holds.

    Raises:
        InputError: arguments that cannot be used.
    """
    for file in ("table1.md", "table1.json"):
        check_new(out / file, force=force)
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1, got {limit}: leave it out for whole sets")
    loaded, left_out = radiance_methods(methods, weights, device, precision)
    names = list(sets or [name for name in SETS if name.startswith("val-")])
    found = {name: load_set(name, data if name in SETS else None) for name in names}  # errors before the work
    prepare_folder(out)
    console = Console(stderr=True)
    tables = {}
    for name, (brackets, total) in found.items():
        count = total if limit is None else min(limit, total)
        bar = track(islice(brackets, count), name, count, console=console, transient=True)
        fuse = {key: partial(fused_image, method=method) for key, method in loaded.items()}
        tables[name] = evaluate_brackets(fuse, bar)
    return _publish(out, tables, loaded, left_out)


def _publish(
    out: Path, tables: Mapping[str, Table], loaded: Mapping[str, Method], left_out: str
) -> dict[str, Any]:
    """Print and write a table for each set, one below the other."""
    rows = [["", *_HEADS]]
    paper = [[f"{METHODS[name].title}, the paper's", *_numbers(PAPER[name])] for name in PAPER]
    rows += [[*row, "-", "-"] for row in paper]
    measures = {**WHOLE, **PARTS}
    sets = {}
    for name, table in tables.items():
        rows.append([f"**{name}**, {len(table.scenes)} brackets", *[""] * len(_HEADS)])
        means = {key: {m: table.mean(key, m) for m in measures} for key in loaded}
        for key, method in loaded.items():
            rows.append([method.title, *(number(means[key][m], d) for m, d in measures.items())])
        sets[name] = {"scenes": table.scenes, "means": means, "scores": table.scores}
    notes = list(NOTES)
    if left_out:
        notes.append(left_out)
    content = {
        "protocol": PROTOCOL, "paper": {name: dict(zip(WHOLE, PAPER[name], strict=True)) for name in PAPER},
        "methods": {key: {"title": method.title, **method.details} for key, method in loaded.items()},
        "sets": sets,
    }  # fmt: skip
    publish(out, "table1", "Table I: the systems of the paper", rows, notes, content)
    return content


def _numbers(values: Sequence[float]) -> list[str]:
    return [number(value, digits) for value, digits in zip(values, WHOLE.values(), strict=True)]
