"""``apnt evaluate``: run methods on a set, print the tables, write the numbers and the pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from rich.console import Console

from apnt import defaults
from apnt._fuse import fuse_bracket
from apnt.bracket import Bracket
from apnt.errors import InputError
from apnt.evaluate import tables
from apnt.evaluate.loop import evaluate_brackets
from apnt.evaluate.page import Page
from apnt.evaluate.protocols import load_protocol
from apnt.evaluate.scores import Table
from apnt.evaluate.sets import has_conditions, load_set
from apnt.evaluate.structure import CAUTION, StructureScores
from apnt.io.files import check_output, write_text
from apnt.methods import DEFAULT, Maps, Method, load_methods
from apnt.progress import progress
from apnt.text import printable


def evaluate_set(
    set_name: str,
    data: str | Path | None = None,
    weights: str | Sequence[str] = defaults.WEIGHTS,
    methods: Sequence[str] | None = None,
    json_path: str | Path | None = None,
    markdown_path: str | Path | None = None,
    device: str | None = None,
    precision: str = "fp32",
    limit: int | None = None,
    per_scene: bool = False,
    *,
    html_path: str | Path | None = None,
    html_scenes: int = defaults.REPORT_SCENES,
    protocols: Sequence[str] = defaults.PROTOCOLS,
    peak_luminance: float = defaults.PEAK_LUMINANCE,
    force: bool = True,
) -> Table:
    """Evaluate methods on a set of brackets and print their mean scores.

    Args:
        set_name: one of ``apnt.evaluate.sets.SETS``, or the folder of a data set.
        data: the folder that a named set is made from; None = what the set falls back to.
        weights: of the networks: "default", "fast", a file or a Hub id; see
            :func:`apnt.methods.load_methods`.
        methods: names out of ``apnt.methods.METHODS``; None = ``apnt.methods.DEFAULT``. Those that make a
            picture for a display are not scored as radiance: the truth is radiance.
            ``apnt.evaluate.tables.BASELINE`` is always one, because the others are compared with it.
        json_path: also write every number, with settings, versions and machine, to this ``.json``.
        markdown_path: also write the tables to this ``.md``.
        device: where the networks and ColorVideoVDP run; None = the GPU where there is one.
        precision: in which the networks run, see :func:`apnt.fuse`.
        limit: only the first so many brackets.
        per_scene: also print the first measure of every scene.
        html_path: also write scores and pictures to this ``.html``, one file that loads nothing else.
        html_scenes: how many scenes the page has pictures of; of more, those with the lowest scores.
        protocols: what is measured, names out of ``apnt.evaluate.protocols.PROTOCOLS``.
        force: files that exist are replaced; False refuses it.
        peak_luminance: cd/m^2 at which the protocols of displays show radiance 1.

    Returns:
        The scores.

    Raises:
        InputError: an argument that cannot be used; found before the work where possible.
        OSError: a file cannot be written; what it held before is whole.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1, got {limit}: leave it out for the whole set")
    if html_scenes < 1:
        raise InputError(f"html_scenes must be at least 1, got {html_scenes}")
    outputs = (("json", json_path, ".json"), ("markdown", markdown_path, ".md"), ("html", html_path, ".html"))
    for name, path, suffix in outputs:
        if path is not None:
            check_output(path, (suffix,), name=name, force=force)
    if not protocols:
        raise InputError("protocols must name at least one protocol, got none")
    measured = [
        load_protocol(name, peak_luminance=peak_luminance, device=device) for name in dict.fromkeys(protocols)
    ]
    brackets, total = load_set(set_name, data)
    names = list(dict.fromkeys([tables.BASELINE, *(DEFAULT if methods is None else methods)]))
    several = [weights] if isinstance(weights, str) else list(weights)
    loaded = load_methods(names, several, device, precision)
    total = total if limit is None else min(limit, total)

    structure = StructureScores(loaded)
    page = None if html_path is None else Page(loaded, html_scenes)
    maps: dict[str, Maps] = {}
    fuses = {
        name: _fused(name, method, maps if page is not None else None) for name, method in loaded.items()
    }

    def add(bracket: Bracket, results: dict[str, np.ndarray]) -> None:
        structure.add(bracket, results)
        if page is not None:
            page.add(bracket, results, maps)

    with progress(total * len(loaded), alike=len(loaded)) as step:
        table = evaluate_brackets(
            fuses,
            islice(brackets, total),
            measured,
            display=tables.displayed(loaded),
            begin=lambda scene, method: step(f"{scene}: {loaded[method].title}"),
            done=add,
        )

    if markdown_path is not None:
        report = tables.as_report(table, loaded, set_name, per_scene)
        if structure.scenes:
            report += "\n" + tables.as_markdown(structure.rows()) + f"\n{CAUTION}.\n"
        write_text(markdown_path, report)
    if json_path is not None:
        settings = {"limit": limit, "peak_luminance": peak_luminance}
        content = tables.as_json(table, loaded, set_name, settings)
        if structure.scenes:
            content["mef_ssim"] = structure.as_json()
        write_text(json_path, json.dumps(content, indent=1, allow_nan=False) + "\n")
    if html_path is not None and page is not None:
        write_text(html_path, page.render(table, set_name, _settings(loaded)))
    # After the files, because the reader of a pipe may close it early.
    _print(table, loaded, set_name, per_scene)
    if structure.scenes:
        Console().print(tables.as_rich(structure.rows()))
        Console().print(CAUTION + ".", highlight=False)
    return table


def _fused(name: str, method: Method, maps: dict[str, Maps] | None) -> Callable[[Bracket], np.ndarray]:
    """The function that runs ``method``; it leaves its maps in ``maps``, where that is given."""

    def fuse(bracket: Bracket) -> np.ndarray:
        fused = fuse_bracket(bracket, method, maps=maps is not None)
        if maps is not None and fused.maps is not None:
            maps[name] = fused.maps
        return fused.image

    return fuse


def _print(table: Table, loaded: Mapping[str, Method], set_name: str, per_scene: bool) -> None:
    console = Console()
    if has_conditions(set_name):
        console.print(tables.as_rich(tables.condition_rows(table, loaded)))
        console.print(f"protocol {table.protocols[0].name}, as below\n", highlight=False)
    if per_scene:
        console.print(tables.as_rich(tables.scene_rows(table, loaded)))
        console.print(f"protocol {table.protocols[0].name}, as below\n", highlight=False)
    for protocol in table.protocols:
        console.print(tables.as_rich(tables.mean_rows(table, loaded, protocol)))
        console.print(tables.meaning(protocol) + "\n", highlight=False)
    console.print(printable(tables.caption(table, set_name)), markup=False)
    if tables.displayed(loaded):
        console.print(tables.footnote(loaded), highlight=False)


def _settings(loaded: Mapping[str, Method]) -> list[str]:
    """A line for each method with details: what repeats its numbers."""
    return [
        f"{method.title}: " + ", ".join(f"{key} {value}" for key, value in method.details.items())
        for method in loaded.values()
        if method.details
    ]
