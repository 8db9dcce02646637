"""The table of means at the top of the page: headline columns, grouped by the pixels that count."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from apnt.evaluate.protocols import Column
from apnt.evaluate.scores import Table
from apnt.methods import Method


class Cell(NamedTuple):
    """A heading or a number; ``first`` of its group of columns, ``best`` of its column."""

    text: str
    first: bool
    best: bool = False


class Row(NamedTuple):
    """The means of one method."""

    method: str
    title: str
    cells: list[Cell]


class Summary(NamedTuple):
    """What ``summary.html.j2`` shows; ``groups`` are the title and the number of columns of each group."""

    groups: list[tuple[str, int]]
    heads: list[Cell]
    rows: list[Row]


def summarize(table: Table, methods: Mapping[str, Method]) -> Summary:
    """Group the headline columns of all protocols, and write out the means of all methods."""
    groups: dict[str, list[Column]] = {}
    for column in table.columns:
        if column.headline:
            groups.setdefault(column.pixels, []).append(column)
    columns = [(column, n == 0) for group in groups.values() for n, column in enumerate(group)]
    best = {column.key: _best(table, column) for column, _ in columns}
    rows = []
    for name in table.scores:
        texts = [_text(table.mean(name, column.key), column.digits) for column, _ in columns]
        cells = [Cell(t, first, t == best[c.key]) for t, (c, first) in zip(texts, columns, strict=True)]
        rows.append(Row(name, methods[name].title, cells))
    return Summary(
        groups=[(_group_title(table, pixels, group[0]), len(group)) for pixels, group in groups.items()],
        heads=[Cell(f"{c.title}, {c.unit}" if c.unit else c.title, first) for c, first in columns],
        rows=rows,
    )


def _group_title(table: Table, pixels: str, column: Column) -> str:
    """The pixels of a group and, where some scenes have none, how many have some."""
    count = table.count(column.key)
    return f"{pixels} pixels" + (f", {count} images" if count < len(table.scenes) else "")


def _best(table: Table, column: Column) -> str:
    """The largest mean of a column as the table shows it; nothing where no method has one."""
    known = [mean for name in table.scores if not math.isnan(mean := table.mean(name, column.key))]
    return _text(max(known), column.digits) if known else ""


def _text(value: float, digits: int) -> str:
    if math.isnan(value):
        return "–"
    return "∞" if value == math.inf else f"{value:.{digits}f}"
