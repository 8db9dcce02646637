"""A plan and its outcome as tables to read, and as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from apnt.batch.facts import Facts
from apnt.batch.plan import Plan, as_record
from apnt.batch.run import Summary
from apnt.batch.shots import LeftOut
from apnt.text import printable


def plan_lines(plan: Plan) -> list[str]:
    """The plan as JSON lines, which ``--groups`` reads."""
    return [json.dumps(as_record(bracket)) for bracket in plan.brackets] + left_out_lines(plan.left_out)


def facts_line(facts: Facts) -> str:
    """What there is to do, and what it takes."""
    return json.dumps({"plan": facts.record()})


def left_out_lines(left_out: Sequence[LeftOut]) -> list[str]:
    """One object a file: its name and why."""
    return [json.dumps({"left_out": str(entry.path), "reason": entry.reason}) for entry in left_out]


def record_line(record: dict[str, Any]) -> str:
    """What happened to one bracket."""
    return json.dumps(record)


def summary_line(plan: Plan, summary: Summary, seconds: float) -> str:
    """The last line: how many of what."""
    counts = {
        "done": len(summary.done),
        "skipped": len(summary.skipped),
        "failed": len(summary.failed),
        "left_out": len(plan.left_out),
        "seconds": round(seconds, 1),
    }
    return json.dumps({"summary": counts})


def print_plan(plan: Plan, facts: Facts) -> None:
    """Brackets with their frames, what is left out, and what there is to do."""
    table = _table("bracket", "frames", "taken over", "exposures", "megapixels")
    for bracket in plan.brackets:
        shots = bracket.shots
        times = [shot.taken.time for shot in shots if shot.taken.time is not None]
        known = [shot.stops for shot in shots if shot.stops is not None]
        stops = list(bracket.stops) if bracket.stops is not None else known
        known_all = len(stops) == len(shots)
        relative = ", ".join(f"{stop - min(stops):+.3g}" for stop in stops) + " EV" if known_all else "?"
        height, width = shots[0].size
        _row(
            table,
            bracket.name,
            ", ".join(path.name for path in bracket.paths),
            f"{max(times) - min(times):.1f} s" if len(times) == len(shots) else "?",
            relative,
            f"{len(shots)} x {height * width / 1e6:.3g}",
        )
    _print(table)
    doubts = [(bracket.name, doubt) for bracket in plan.brackets for doubt in bracket.doubts]
    _print_pairs("bracket", "doubt", doubts)
    _print_left_out(plan.left_out)
    for sentence in facts.sentences():
        _say(f"Plan     {sentence}")
    _say(f"{len(plan.brackets)} brackets, {len(plan.left_out)} files left out")


def print_summary(plan: Plan, summary: Summary, seconds: float) -> None:
    """What happened to every bracket, what is left out, and the counts."""
    table = _table("bracket", "frames", "result", "seconds", "what to know")
    for record in [*summary.skipped, *summary.done, *summary.failed]:
        said = [*record.get("doubts", ()), *record.get("warnings", ())]
        words = record.get("error") or " ".join(said)
        status = "done before" if record["status"] == "skipped" else record["status"]
        _row(
            table,
            record["bracket"],
            str(len(record["files"])),
            status,
            f"{record.get('seconds', 0):.1f}",
            words,
        )
    _print(table)
    _print_left_out(plan.left_out)
    _say(
        f"{len(summary.done)} done, {len(summary.skipped)} done before, {len(summary.failed)} failed, "
        f"{len(plan.left_out)} files left out; {seconds:.1f} s"
    )


def _print_left_out(left_out: Sequence[LeftOut]) -> None:
    _print_pairs("left out", "because it", [(str(entry.path), entry.reason) for entry in left_out])


def _print_pairs(first: str, second: str, rows: Sequence[tuple[str, str]]) -> None:
    if rows:
        table = _table(first, second)
        for row in rows:
            _row(table, *row)
        _print(table)


def _table(*names: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _row(table: Table, *cells: str) -> None:
    table.add_row(*(Text(printable(cell)) for cell in cells))


def _print(table: Table) -> None:
    Console(highlight=False).print(table)


def _say(line: str) -> None:
    Console(highlight=False, soft_wrap=True).print(Text(line))
