"""``apnt data validate``: check a data set and print its content, missing files and oddities."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import rich.box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from apnt.data.layouts import Layout
from apnt.data.validate import Finding, Report, scenes_in_words, validate
from apnt.progress import hidden
from apnt.text import plain, printable, shortened

_MOST_LISTED = 20  # unusable scenes that are listed one by one
_SET = "the set"
_EXAMPLES = 3  # odd scenes that are named
_CLIPPED = 0.01  # share of a truth's pixels at its maximum above which the report mentions it


def validated(folder: Path, layout: str | None = None) -> Report:
    """Validate a data set behind a bar.

    Args:
        folder: of the data set.
        layout: name out of ``apnt.data.layouts.LAYOUTS``; None recognises it.

    Raises:
        InputError: no such folder or layout.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    errors = Console(stderr=True)
    with Progress(*columns, console=errors, transient=True, disable=hidden(errors)) as bar:
        task = bar.add_task("Reading scenes", total=None)
        return validate(folder, layout, lambda done, of: bar.update(task, completed=done, total=of))


def print_validation(report: Report, as_json: bool = False) -> None:
    """Print the report as tables, or as JSON, see :meth:`apnt.data.validate.Report.as_json`."""
    if as_json:
        print(json.dumps(report.as_json(), indent=1, allow_nan=False))
    else:
        Console().print(as_rich(report))


def as_rich(report: Report) -> RenderableType:
    """The report for a terminal."""
    parts: list[RenderableType] = [_overview(report)]
    for level, heading in (("unusable", "Cannot be used"), ("odd", "Odd")):
        rows = _rows([finding for finding in report.findings if finding.level == level], level)
        if rows:
            table = Table(
                heading, "", box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False
            )
            for scene, message in rows:
                table.add_row(Text(printable(scene)), Text(printable(message)))
            parts += ["", table]
    parts += ["", _verdict(report)]
    return Group(*parts)


def _overview(report: Report) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, text in _facts(report):
        table.add_row(name, Text(printable(text)))
    return table


def _facts(report: Report) -> list[tuple[str, str]]:
    """Names and texts of the overview's lines."""
    layout = report.layout
    facts = [("Folder", str(report.folder)), ("Layout", "not recognised" if layout is None else layout.title)]
    if layout is not None:
        facts.append(("Scenes", _splits(report)))
        for name, lines in (
            ("Exposures", _exposures(report, layout)),
            ("Frames", _frames(report, layout)),
            ("Truth", _truth(report, layout)),
        ):
            facts += [(name if number == 0 else "", line) for number, line in enumerate(lines)]
        if report.unexpected:
            names = ", ".join(path.name for path in report.unexpected[:_EXAMPLES])
            more = ", ..." if len(report.unexpected) > _EXAMPLES else ""
            facts.append(("Other files", f"{len(report.unexpected)}, not known to the layout: {names}{more}"))
    return facts


def _splits(report: Report) -> str:
    splits: Counter[str] = Counter(scene.split or "none" for scene in report.scenes)
    if set(splits) == {"none"}:
        return f"{len(report.scenes)}, in no training or test folder"
    names = {"train": "training", "test": "test", "val": "validation", "none": "in neither"}
    shares = ", ".join(f"{splits[split]} {name}" for split, name in names.items() if splits[split])
    return f"{len(report.scenes)}: {shares}"


def _exposures(report: Report, layout: Layout) -> list[str]:
    if layout.unit is None:
        lines = ["this set has no exposure times: give stops, or have them estimated"]
        measured = [scene.measured_stops for scene in report.scenes if scene.measured_stops is not None]
        spans = sorted(stops[2] for stops in measured)
        if spans:
            text = f"by the pixels of {scenes_in_words(len(spans))}, {spans[0]:.1f} to {spans[-1]:.1f} stops"
            lines.append(f"{text} from the shortest to the longest exposure")
        return lines
    lines = [f"{layout.exposures}, taken as {'log2 stops' if layout.unit == 'stops' else 'linear seconds'}"]
    groups = report.count(scene.stops for scene in report.scenes)
    for stops, number in groups[:5]:
        spacing, ratios = " ".join(f"{s:.3g}" for s in stops), " : ".join(plain(2**s, 4) for s in stops)
        lines.append(f"{spacing} stops, {ratios} ({scenes_in_words(number)})")
    return lines if len(groups) <= 5 else [*lines, f"and {len(groups) - 5} other spacings"]


def _frames(report: Report, layout: Layout) -> list[str]:
    sizes = [
        f"{w} x {h} ({scenes_in_words(n)})"
        for (w, h), n in report.count(scene.size for scene in report.scenes)
    ]
    bits = [
        f"{b} bits ({scenes_in_words(n)})" for b, n in report.count(scene.bits for scene in report.scenes)
    ]
    if not sizes:
        return ["none could be read"]
    few = sizes[:3] + ([f"{len(sizes) - 3} other sizes"] if len(sizes) > 3 else [])
    lines = [", ".join([*few, *bits])]
    if layout.take is not None:
        lines.append(f"frames {', '.join(map(str, layout.take))} of {layout.count} are used")
    elif layout.count is None and any(scene.frames > 3 for scene in report.scenes):
        lines.append("of more than three frames, the first, the middle and the last are used")
    return lines


def _truth(report: Report, layout: Layout) -> list[str]:
    if layout.truth is None:
        return ["none in this set: it can be fused, not trained on or evaluated"]
    largest = [scene.truth_max for scene in report.scenes if scene.truth_max is not None]
    scales = sorted(scene.truth_scale for scene in report.scenes if scene.truth_scale is not None)
    if not largest:
        return [f"{layout.truth}, none could be read"]
    maxima = f"maxima {plain(min(largest), 3)} to {plain(max(largest), 3)}"
    lines = [f"{layout.truth} ({scenes_in_words(len(largest))}), {maxima}"]
    clipped = [scene.truth_clipped or 0.0 for scene in report.scenes]
    full = sum(share > _CLIPPED for share in clipped)
    if full:
        share = f"{max(clipped):.1%} of the pixels"
        lines.append(f"up to {share} at the maximum; more than {_CLIPPED:.0%} in {scenes_in_words(full)}")
    if scales:
        middle = scales[len(scales) // 2]
        least, most = plain(scales[0], 3), plain(scales[-1], 3)
        spread = f"{plain(middle, 3)} times as bright as the medium frame ({least} to {most})"
        lines.append(f"{spread}; 1 is right")
    return lines


def _rows(findings: list[Finding], level: str) -> list[tuple[str, str]]:
    """One row for each unusable finding, one for each kind of odd finding."""
    rows = [(finding.scene or _SET, finding.message) for finding in findings]
    if level == "unusable":
        kept, more = shortened(rows, _MOST_LISTED)
        return [*kept, (more, "--json names them all")] if more else kept
    kinds: dict[str, list[Finding]] = {}
    for finding in findings:
        kinds.setdefault(finding.code, []).append(finding)
    rows = []
    for alike in kinds.values():
        if len(alike) <= _EXAMPLES:
            rows += [(finding.scene or _SET, finding.message) for finding in alike]
        else:
            names = ", ".join(str(finding.scene) for finding in alike[:_EXAMPLES])
            rows.append((scenes_in_words(len(alike)), f"such as {names}: {alike[0].message}"))
    return rows


def _verdict(report: Report) -> str:
    """The last line, with rich's markup."""
    if report.layout is None:
        return "[red]No data set was recognised.[/red] docs/data.md lists the layouts, --layout names one."
    total, bad = len(report.scenes), len(report.unusable)
    if not report.good:
        advice = "download or copy them again, or let training skip them (docs/data.md)"
        return f"[red]{bad} of {scenes_in_words(total)} cannot be used[/red]: {advice}."
    verdict = "[green]Every scene can be used.[/green]"
    if report.layout.truth is None:
        return verdict
    folder = escape(printable(str(report.folder)))
    train = f"Train     apnt train --config CONFIG --data {folder} --out RUN"
    return f"{verdict}\n{train}\nEvaluate  apnt evaluate --set {folder}"
