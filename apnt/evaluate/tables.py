"""A table of scores as text, Markdown and JSON."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from typing import Any

import rich.box
import rich.table
from rich.text import Text

from apnt.evaluate.protocols import PEERS, PIXELS, Column, Protocol
from apnt.evaluate.scores import Table
from apnt.evaluate.sets import has_conditions
from apnt.info import processor, versions
from apnt.methods import METHODS, Method
from apnt.text import printable

BASELINE = "medium"
"""The method that the others are compared with: what does not beat it is not worth running."""

BASELINE_TITLE = METHODS[BASELINE].title

NOT_APPLICABLE = "n/a"
"""What stands for a number that a method cannot have."""


def mean_rows(
    table: Table, methods: Mapping[str, Method], protocol: Protocol = PEERS, pixels: str | None = None
) -> list[list[str]]:
    """Heading and one row per method: means, and what the first measure gains over :data:`BASELINE`.

    Args:
        table, methods: what was measured, and with which methods.
        protocol: whose columns are shown.
        pixels: one of ``PIXELS``, all columns that count these pixels; None = the headline columns.
    """
    columns = [c for c in protocol.columns if (c.headline if pixels is None else c.pixels == pixels)]
    heads = [_head(table, column) if pixels is None else column.title for column in columns]
    rows = [["method", heads[0], f"over {BASELINE}", *heads[1:]]]
    for name in table.scores:
        if methods[name].kind == "display":
            rows.append([methods[name].title, *[NOT_APPLICABLE] * len(rows[0][1:])])
            continue
        first, *rest = [number(table.mean(name, column.key), column.digits) for column in columns]
        gain = table.mean(name, columns[0].key) - table.mean(BASELINE, columns[0].key)
        rows.append([methods[name].title, first, number(gain, columns[0].digits, sign="+"), *rest])
    return rows


def scene_rows(table: Table, methods: Mapping[str, Method]) -> list[list[str]]:
    """Heading and one row per scene: the first measure of the table, PSNR-mu by default, of every method."""
    column = table.columns[0]
    rows = [[column.title, *(methods[name].title for name in table.scores)]]
    for index, scene in enumerate(table.scenes):
        values = {name: scores[column.key][index] for name, scores in table.scores.items()}
        cells = [
            NOT_APPLICABLE if methods[name].kind == "display" else number(value, column.digits)
            for name, value in values.items()
        ]
        rows.append([scene, *cells])
    return rows


def displayed(methods: Mapping[str, Method]) -> list[str]:
    """Names of the methods that make a picture for a display, which is not compared with the truth."""
    return [name for name, method in methods.items() if method.kind == "display"]


def footnote(methods: Mapping[str, Method]) -> str:
    """Why some methods have no numbers."""
    titles = ", ".join(methods[name].title for name in displayed(methods))
    return (
        f"{NOT_APPLICABLE}: pictures for a display ({titles}); the truth is radiance, which they do not hold"
    )


def condition_rows(table: Table, methods: Mapping[str, Method]) -> list[list[str]]:
    """Heading and one row per condition: the headline measures of the first protocol, of every method.

    Args:
        table: of a set whose brackets are called ``<condition>/<scene>``; numbers are means over its scenes.
        methods: what was measured.
    """
    columns = [c for c in table.protocols[0].columns if c.headline and c.pixels != "saturated"]
    columns = [c for c in columns if c.unit]  # dB alone, so that rows stay narrow
    rows = [["condition", *(f"{methods[m].title}: " + _titles(columns) for m in table.scores)]]
    conditions = [scene.partition("/")[0] for scene in table.scenes]
    for condition in dict.fromkeys(conditions):
        chosen = [index for index, each in enumerate(conditions) if each == condition]
        part = Table(
            [table.scenes[index] for index in chosen],
            {
                name: {key: [values[index] for index in chosen] for key, values in scores.items()}
                for name, scores in table.scores.items()
            },
            table.protocols,
        )
        cells = [" / ".join(number(part.mean(m, c.key), c.digits) for c in columns) for m in table.scores]
        rows.append([condition, *cells])
    return rows


def _titles(columns: list[Column]) -> str:
    return " / ".join(column.title + PIXELS[column.pixels] for column in columns)


def caption(table: Table, set_name: str) -> str:
    """What the numbers of all protocols have in common: set, counts, pixels."""
    return (
        f"{set_name}, {len(table.scenes)} brackets, mean of per-image values; sat.: saturated in the "
        f"{BASELINE_TITLE} (how many images have such pixels)"
    )


def meaning(protocol: Protocol) -> str:
    """Name of a protocol and what its numbers mean."""
    return f"protocol {protocol.name}: {protocol.meaning}"


def as_report(table: Table, methods: Mapping[str, Method], set_name: str, per_scene: bool) -> str:
    """All tables in Markdown: of every protocol the headline, then its other columns; then every scene."""
    parts = [caption(table, set_name) + "\n"]
    if displayed(methods):
        parts.append(footnote(methods) + "\n")
    if has_conditions(set_name):
        parts += [f"By condition; {meaning(table.protocols[0])}\n"]
        parts += [as_markdown(condition_rows(table, methods))]
    for protocol in table.protocols:
        parts += [meaning(protocol) + "\n", as_markdown(mean_rows(table, methods, protocol))]
        for pixels in PIXELS:
            others = [c for c in protocol.columns if c.pixels == pixels and not c.headline]
            if others:
                count = table.count(others[0].key)
                parts.append(
                    f"{meaning(protocol)}; on {pixels} pixels of the {count} images that have them\n"
                )
                parts.append(as_markdown(mean_rows(table, methods, protocol, pixels)))
    if per_scene:
        parts += [f"{table.columns[0].title} of every scene; {meaning(table.protocols[0])}\n"]
        parts += [as_markdown(scene_rows(table, methods))]
    return "\n".join(parts)


def as_rich(rows: list[list[str]]) -> rich.table.Table:
    """Rows, the first of them the heading, for a terminal."""
    # Narrow enough for the eight columns to fit into 80 characters.
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    # As Text, because names of scenes and files may look like markup.
    cells = [[Text(printable(cell)) for cell in row] for row in rows]
    table.add_column(cells[0][0], no_wrap=True)
    for head in cells[0][1:]:
        table.add_column(head, justify="right")
    for row in cells[1:]:
        table.add_row(*row)
    return table


def as_markdown(rows: list[list[str]]) -> str:
    """Rows, the first of them the heading, as a Markdown table."""
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    cells = [[_markdown_cell(cell) for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in [cells[0], rule, *cells[1:]]) + "\n"


def _markdown_cell(text: str) -> str:
    """A cell whose text cannot end it, nor begin HTML."""
    return printable(text).replace("\n", " ").replace("|", "\\|").replace("<", "&lt;")


def as_json(
    table: Table, methods: Mapping[str, Method], set_name: str, settings: dict[str, Any]
) -> dict[str, Any]:
    """Every number and what it means; a missing value is null, an infinite one "inf"."""
    keys = [column.key for column in table.columns]
    return {
        "set": set_name,
        "protocol": table.protocols[0].meaning,
        "protocols": {
            protocol.name: {
                "meaning": protocol.meaning,
                "columns": {
                    c.key: {"title": c.title, "pixels": c.pixels, "unit": c.unit} for c in protocol.columns
                },
            }
            for protocol in table.protocols
        },
        "settings": settings,
        "methods": {
            name: {"title": methods[name].title, "kind": methods[name].kind, **methods[name].details}
            for name in table.scores
        },
        "versions": versions(),
        "machine": {"cpu": processor(), "platform": platform.platform()},
        "counts": {key: table.count(key) for key in keys},
        "means": {name: {key: _plain(table.mean(name, key)) for key in keys} for name in table.scores},
        "scenes": [
            {
                "name": scene,
                "scores": {
                    name: {key: _plain(scores[key][index]) for key in keys}
                    for name, scores in table.scores.items()
                },
            }
            for index, scene in enumerate(table.scenes)
        ],
    }


def _head(table: Table, column: Column) -> str:
    """Title of a column with its pixels and, where these are not all, how many images have them."""
    if column.pixels == "all":
        return column.title
    return f"{column.title}{PIXELS[column.pixels]} ({table.count(column.key)})"


def number(value: float | None, digits: int = 2, sign: str = "") -> str:
    """A number for a table; a dash where there is none."""
    return "-" if value is None or math.isnan(value) else f"{value:{sign}.{digits}f}"


def _plain(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else "inf"
