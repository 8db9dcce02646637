"""Where an experiment's numbers go: the terminal, a Markdown page and a JSON file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from apnt.evaluate.tables import as_markdown, as_rich
from apnt.info import collect
from apnt.io.files import write_text


def publish(
    out: Path, name: str, title: str, rows: list[list[str]], notes: Sequence[str], content: dict[str, Any]
) -> None:
    """Print a table with its notes, and write it to ``out/name.md`` and everything to ``out/name.json``.

    Args:
        out: an existing folder.
        name: of the files.
        title: of the table.
        rows: the table, its heading first.
        notes: what a reader must know, a paragraph each.
        content: every number; NaN and infinity become null.
    """
    page = "\n".join([f"# {title}\n", as_markdown(rows), *(f"{note}\n" for note in notes)])
    write_text(out / f"{name}.md", page)
    write_json(out / f"{name}.json", {"title": title, **content, "notes": list(notes), "machine": machine()})
    # After the files, because the reader of a pipe may close it early.
    console = Console()
    console.print(title, style="bold", markup=False)
    console.print(as_rich(rows))
    for note in notes:
        console.print(note, markup=False, highlight=False)


def machine() -> dict[str, Any]:
    """Versions and processor, without names of folders."""
    found = collect()
    return {key: found[key] for key in ("versions", "cpu", "cuda")}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON, NaN and infinity as null; an older file is replaced whole or not at all."""
    write_text(path, json.dumps(_plain(content), indent=1, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
