"""``apnt evaluate``: run methods on a set, print the table, keep the numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import track

from apnt.errors import InputError
from apnt.evaluate import report
from apnt.evaluate.methods import TITLES, load_method
from apnt.evaluate.sets import load_set
from apnt.evaluate.table import Table, evaluate
from apnt.io.files import atomic_path, check_output


def run(
    set_name: str,
    data: str | Path | None = None,
    weights: str = "default",
    methods: Sequence[str] | None = None,
    json_path: str | Path | None = None,
    markdown_path: str | Path | None = None,
    device: str | None = None,
    precision: str = "fp32",
    limit: int | None = None,
    per_scene: bool = False,
) -> Table:
    """Evaluate methods on a set of brackets and print their mean scores.

    Args:
        set_name: one of ``apnt.evaluate.sets.SETS``.
        data: the folder that the set is read or made from; None = what the set falls back to.
        weights: of APNT-Fusion: "default", a file, or a Hub id.
        methods: names out of ``apnt.evaluate.methods.TITLES``; None = all. The medium exposure is always one,
            because the others are compared with it.
        json_path: also write every number, with settings, versions and machine, to this ``.json``.
        markdown_path: also write the table to this ``.md``.
        device: where APNT-Fusion runs; None = the GPU where there is one.
        precision: in which APNT-Fusion runs, see :func:`apnt.fuse`.
        limit: only the first so many brackets.
        per_scene: also print PSNR-mu of every scene.

    Returns:
        The scores.

    Raises:
        InputError: an argument that cannot be used, found before anything is run where possible.
        OSError: a file cannot be written; what it held before is whole.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1, got {limit}: leave it out for the whole set")
    for name, path, suffix in (("json", json_path, ".json"), ("markdown", markdown_path, ".md")):
        if path is not None:
            check_output(path, (suffix,), name=name)
    brackets, count = load_set(set_name, data)
    names = list(dict.fromkeys([report.REFERENCE, *(TITLES if methods is None else methods)]))
    loaded = {name: load_method(name, weights, device, precision) for name in names}

    count = count if limit is None else min(limit, count)
    progress = track(
        islice(brackets, count), f"evaluating {set_name}", count, console=Console(stderr=True), transient=True
    )
    table = evaluate({name: method.fuse for name, method in loaded.items()}, progress)

    means = report.mean_rows(table, loaded)
    scenes = report.scene_rows(table, loaded) if per_scene else None
    note = report.caption(table, set_name)
    console = Console()
    if scenes is not None:
        console.print(report.as_rich(scenes))
    console.print(report.as_rich(means))
    console.print(note)
    if markdown_path is not None:
        parts = [note + "\n", report.as_markdown(means), *([report.as_markdown(scenes)] if scenes else [])]
        with atomic_path(markdown_path) as path:
            path.write_text("\n".join(parts), encoding="utf-8")
    if json_path is not None:
        content = report.as_json(table, loaded, set_name, {"limit": limit})
        with atomic_path(json_path) as path:
            path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return table
