"""The scores of every scene as a drawing: one line per scene, one dot per method."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from apnt.evaluate.scores import Table

_WIDTH = 1100  # pixels, with the names of the scenes
_PITCH = 22  # from scene to scene
_TOP = 22  # room for the numbers of the scale
_NAME = 26  # characters of a scene's name


class Dot(NamedTuple):
    """The score of one method, in pixels from the left; ``text`` is shown under the pointer."""

    x: float
    radius: float
    colour: str
    text: str


class Row(NamedTuple):
    """The scores of one scene, in pixels from the top; without dots where no method has a score."""

    name: str
    y: float
    dots: list[Dot]


class Chart(NamedTuple):
    """What ``chart.html.j2`` draws, in pixels.

    Attributes:
        top, left: where the scale begins.
        ticks: position from the left and text of each number of the scale.
        keys: colour and title of each method.
    """

    title: str
    protocol: str
    width: int
    height: int
    top: int
    left: int
    ticks: list[tuple[float, str]]
    rows: list[Row]
    keys: list[tuple[str, str]]


def make_chart(
    table: Table, titles: Mapping[str, str], colours: Mapping[str, str], featured: str
) -> Chart | None:
    """Lay out the first column of a table; None where it holds no finite number.

    Args:
        table: scores of the methods.
        titles: of the methods.
        colours: method -> CSS colour.
        featured: the method whose dots are larger and on top.
    """
    column = table.columns[0]
    values = {name: scores[column.key] for name, scores in table.scores.items()}
    finite = [value for row in values.values() for value in row if math.isfinite(value)]
    if not finite:
        return None
    low, high, step = scale(min(finite), max(finite))
    left = min(_NAME, max(len(scene) for scene in table.scenes)) * 8 + 16

    def across(value: float) -> float:
        return round(left + (min(value, high) - low) / (high - low) * (_WIDTH - left - 20), 1)

    def dot(method: str, value: float) -> Dot:
        text = f"{titles[method]}: {value:.{column.digits}f}"
        return Dot(across(value), 6.5 if method == featured else 5, colours[method], text)

    rows = []
    for index, scene in enumerate(table.scenes):
        known = {name: v[index] for name, v in values.items() if not math.isnan(v[index])}
        dots = [dot(name, known[name]) for name in sorted(known, key=lambda name: name == featured)]
        name = scene if len(scene) <= _NAME else scene[: _NAME - 1] + "…"
        rows.append(Row(name, _TOP + (index + 0.5) * _PITCH, dots))
    marks = [low + n * step for n in range(round((high - low) / step) + 1)]
    return Chart(
        title=column.title + (f" in {column.unit}" if column.unit else ""),
        protocol=table.protocols[0].name,
        width=_WIDTH,
        height=_TOP + len(rows) * _PITCH + 8,
        top=_TOP,
        left=left,
        ticks=[(across(mark), f"{mark:.6g}") for mark in marks],
        rows=rows,
        keys=[(colours[name], titles[name]) for name in values],
    )


def scale(least: float, most: float) -> tuple[float, float, float]:
    """Ends and step of a scale with about four to ten steps of 1, 2 or 5 times a power of ten."""
    spread = max(most - least, 0.02 * abs(most), 1e-3)
    step = 10.0 ** math.floor(math.log10(spread / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if spread / (step * factor) <= 8)
    low, high = math.floor(least / step) * step, math.ceil(most / step) * step
    return low, max(high, low + step), step
