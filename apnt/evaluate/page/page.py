"""The report as one HTML file: scores of all methods, and pictures of the scenes with the lowest scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from apnt import __version__
from apnt.bracket import Bracket
from apnt.evaluate import tables
from apnt.evaluate.page.chart import make_chart
from apnt.evaluate.page.scene import Scene, make_scene
from apnt.evaluate.page.templates import render, text
from apnt.evaluate.pictures import data_uri, flow_wheel
from apnt.evaluate.protocols import PIXELS, Column
from apnt.evaluate.scores import Table
from apnt.methods import Maps, Method
from apnt.metrics import psnr_mu

_FEATURED = "#0b5cad"  # colour of the featured method
_OTHERS = ("#8a929c", "#d98e04", "#2a9d5c", "#7b52ab", "#12a3b8", "#a0522d")


class _Block(NamedTuple):
    """One of the tables with all numbers, its heading first."""

    title: str
    note: str
    rows: list[list[str]]


class Page:
    """Collects scenes while they are evaluated, and becomes a page.

    Args:
        methods: those that are evaluated, the baseline among them.
        limit: how many scenes have pictures; of more, those where the featured method (the last that can be
            explained, or else the last that makes radiance) is worst.
    """

    def __init__(self, methods: Mapping[str, Method], limit: int):
        self.methods = methods
        self.limit = limit
        explained = [name for name, method in methods.items() if method.explain is not None]
        radiance = [name for name, method in methods.items() if method.kind == "radiance"]
        self.featured = (explained or radiance)[-1]
        self._scenes: list[tuple[float, Scene]] = []  # with PSNR-mu of the featured method
        self._count = 0

    def add(self, bracket: Bracket, results: Mapping[str, np.ndarray], maps: Mapping[str, Maps]) -> None:
        """Take an evaluated bracket, the results of all methods on it, and the maps of those with any."""
        assert bracket.truth is not None
        score = psnr_mu(results[self.featured], bracket.truth)
        self._count += 1
        if len(self._scenes) == self.limit:
            best = max(self._scenes, key=lambda entry: entry[0])
            if score >= best[0]:
                return
            self._scenes.remove(best)
        scene = make_scene(self._count - 1, bracket, results, maps, self.methods, self.featured)
        self._scenes.append((score, scene))

    def render(self, table: Table, set_name: str, settings: Sequence[str] = ()) -> str:
        """The page, a whole HTML document that loads nothing from elsewhere.

        Args:
            table: scores of the methods on all scenes.
            set_name: of the set, for the title.
            settings: lines for the foot of the page: what repeats the numbers.
        """
        scenes = sorted((scene for _, scene in self._scenes), key=lambda scene: scene.position)
        titles = {name: method.title for name, method in self.methods.items()}
        colours = _colours(self.methods, self.featured)
        chosen = "Every scene of this evaluation."
        if len(scenes) < len(table.scenes):
            chosen = f"The {len(scenes)} scenes where {titles[self.featured]} scores lowest."
        return render(
            "page.html.j2",
            title=f"{set_name}: {len(table.scenes)} brackets, {len(titles)} methods",
            baseline=tables.BASELINE_TITLE,
            featured=self.featured,
            titles=titles,
            colours=colours,
            table=table,
            groups=_groups(table),
            best={column.key: _best(table, column) for column in table.columns},
            chart=make_chart(table, titles, colours, self.featured),
            blocks=_blocks(table, self.methods),
            scenes=scenes,
            chosen=chosen,
            wheel=data_uri(flow_wheel(), None),
            footer=[
                f"apnt {__version__}",
                *([tables.footnote(self.methods)] if tables.displayed(self.methods) else []),
                *settings,
            ],
        )


def _colours(methods: Mapping[str, Method], featured: str) -> dict[str, str]:
    others = iter(_OTHERS * len(methods))
    return {name: _FEATURED if name == featured else next(others) for name in methods}


def _groups(table: Table) -> dict[str, list[Column]]:
    """The headline columns of all protocols by the pixels that count."""
    columns = [column for column in table.columns if column.headline]
    return {p: group for p in PIXELS if (group := [column for column in columns if column.pixels == p])}


def _best(table: Table, column: Column) -> str:
    """The largest mean of a column as the table shows it; nothing where no method has one."""
    known = [mean for name in table.scores if not math.isnan(mean := table.mean(name, column.key))]
    return text(max(known), column.digits) if known else ""


def _blocks(table: Table, methods: Mapping[str, Method]) -> list[_Block]:
    """Everything that was measured: every protocol on every kind of pixels, then every scene."""
    blocks = []
    for protocol in table.protocols:
        for pixels in PIXELS:
            if any(column.pixels == pixels for column in protocol.columns):
                rows = tables.mean_rows(table, methods, protocol, pixels)
                blocks.append(_Block(f"{pixels} pixels", tables.meaning(protocol), rows))
    rows = tables.scene_rows(table, methods)
    return [*blocks, _Block("every scene", tables.meaning(table.protocols[0]), rows)]
