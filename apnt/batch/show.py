"""A plan and its outcome as tables to read, and as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from apnt.batch.facts import Facts
from apnt.batch.plan import Plan, as_record
from apnt.batch.run import Summary
from apnt.batch.shots import LeftOut
from apnt.batch.tables import Cell, name, names, print_table, words
from apnt.text import counted, duration, plain


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
    rows = []
    for bracket in plan.brackets:
        shots = bracket.shots
        times = [shot.taken.time for shot in shots if shot.taken.time is not None]
        known = [shot.stops for shot in shots if shot.stops is not None]
        stops = list(bracket.stops) if bracket.stops is not None else known
        known_all = len(stops) == len(shots)
        relative = ", ".join(f"{stop - min(stops):+.3g}" for stop in stops) + " EV" if known_all else "?"
        height, width = shots[0].size
        rows.append(
            (
                name(bracket.name),
                names([path.name for path in bracket.paths]),
                name(duration(max(times) - min(times)) if len(times) == len(shots) else "?"),
                words(relative),
                name(f"{len(shots)} x {plain(height * width / 1e6, 3)}"),
            )
        )
    _print(("bracket", "frames", "taken over", "exposures", "megapixels"), rows)
    doubts = [(name(bracket.name), words(doubt)) for bracket in plan.brackets for doubt in bracket.doubts]
    _print(("bracket", "doubt"), doubts)
    _print_left_out(plan.left_out)
    for sentence in facts.sentences():
        _say(f"Plan     {sentence}")
    _say(f"{counted(len(plan.brackets), 'bracket')}, {counted(len(plan.left_out), 'file')} left out")


def print_summary(plan: Plan, summary: Summary, seconds: float) -> None:
    """What happened to every bracket, what is left out, and the counts."""
    rows = []
    for record in [*summary.skipped, *summary.done, *summary.failed]:
        said = [*record.get("doubts", ()), *record.get("warnings", ())]
        status = "done before" if record["status"] == "skipped" else record["status"]
        rows.append(
            (
                name(record["bracket"]),
                name(str(len(record["files"]))),
                name(status),
                name(duration(record["seconds"]) if "seconds" in record else ""),
                words(record.get("error") or " ".join(said)),
            )
        )
    _print(("bracket", "frames", "result", "time", "what to know"), rows)
    _print_left_out(plan.left_out)
    _say(
        f"{len(summary.done)} done, {len(summary.skipped)} done before, {len(summary.failed)} failed, "
        f"{counted(len(plan.left_out), 'file')} left out; {duration(seconds)}"
    )


def _print_left_out(left_out: Sequence[LeftOut]) -> None:
    _print(("left out", "because it"), [(name(str(entry.path)), words(entry.reason)) for entry in left_out])


def _print(titles: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    if rows:
        print_table(titles, rows)


def _say(line: str) -> None:
    Console(highlight=False, soft_wrap=True).print(Text(line))
