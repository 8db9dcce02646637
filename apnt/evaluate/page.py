"""The report as one HTML file: scores of all methods, and for the worst scenes everything there is to see."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from apnt import __version__
from apnt.bracket import Bracket
from apnt.evaluate import report
from apnt.evaluate.chart import chart
from apnt.evaluate.pictures import data_uri, flow_wheel
from apnt.evaluate.protocols import PIXELS, Column, Protocol
from apnt.evaluate.scene import scene_html
from apnt.evaluate.style import CSS, SCRIPT
from apnt.evaluate.table import Table
from apnt.methods import Maps, Method
from apnt.metrics import psnr_mu

_SHOWN = "#0b5cad"  # colour of the method that is shown
_INK = ("#8a929c", "#d98e04", "#2a9d5c", "#7b52ab", "#12a3b8", "#a0522d")  # of the others


@dataclass(frozen=True)
class _Scene:
    """One scene of the page: its place in the set, the shown method's PSNR-mu, and the HTML."""

    index: int
    score: float
    name: str
    html: str


class Page:
    """Collects scenes while they are evaluated, and becomes a page.

    Args:
        methods: those that are evaluated, the medium exposure among them.
        keep: how many scenes are shown with pictures; of more, those where the shown method (the last that
            can be explained, or else the last) is worst.
    """

    def __init__(self, methods: Mapping[str, Method], keep: int):
        self.methods = methods
        self.keep = keep
        explained = [name for name, method in methods.items() if method.explain is not None]
        self.shown = (explained or list(methods))[-1]
        self._scenes: list[_Scene] = []
        self._seen = 0

    def add(self, bracket: Bracket, results: Mapping[str, np.ndarray], maps: Mapping[str, Maps]) -> None:
        """Take one evaluated bracket, the results of all methods on it, and the maps of those that see."""
        assert bracket.truth is not None
        score = psnr_mu(results[self.shown], bracket.truth)
        self._seen += 1
        if len(self._scenes) == self.keep:
            best = max(self._scenes, key=lambda scene: scene.score)
            if score >= best.score:
                return
            self._scenes.remove(best)
        html = scene_html(bracket, results, maps, self.methods, self.shown)
        self._scenes.append(_Scene(self._seen - 1, score, bracket.name, html))

    def render(self, table: Table, set_name: str, settings: Sequence[str] = ()) -> str:
        """The page, a whole HTML document that loads nothing from elsewhere.

        Args:
            table: scores of the methods on all scenes.
            set_name: of the set, for the title.
            settings: lines for the foot of the page: what repeats the numbers.
        """
        scenes = sorted(self._scenes, key=lambda scene: scene.index)
        title = f"{set_name}: {len(table.scenes)} brackets, {len(self.methods)} methods"
        inks = _inks(self.methods, self.shown)
        titles = {name: method.title for name, method in self.methods.items()}
        some = len(scenes) < len(table.scenes)
        chosen = (
            f"The {len(scenes)} scenes where {self.methods[self.shown].title} scores lowest."
            if some
            else "Every scene of this evaluation."
        )
        links = "".join(f'<a href="#s{s.index}">{escape(s.name)}</a>' for s in scenes)
        sections = "".join(f'<section id="s{s.index}">{s.html}</section>' for s in scenes)
        wheel = data_uri(flow_wheel(), None)
        footer = "".join(f"<p>{escape(line)}</p>" for line in [f"apnt {__version__}", *settings])
        body = f"""<h1>{escape(title)}</h1>
<p class="soft">Mean of per-image values; larger is better. The truth is the medium exposure's moment.</p>
{_summary(table, self.methods, self.shown, inks)}
{chart(table, titles, inks, self.shown)}
{_all_numbers(table, self.methods)}
<h3>Pictures<small>{escape(chosen)} Click one to enlarge it; arrows then flip through its row.</small></h3>
<nav>{links}</nav>
{sections}
<footer>{footer}</footer>"""
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<style>{CSS}.wheel {{ background-image: url({wheel}); }}</style></head>\n"
            f"<body><main>{body}</main>\n"
            '<dialog><img alt=""><p><b></b><span>← → flip &nbsp; Esc closes</span></p></dialog>'
            f"<script>{SCRIPT}</script></body></html>\n"
        )


def _inks(methods: Mapping[str, Method], shown: str) -> dict[str, str]:
    others = iter(_INK * len(methods))
    return {name: _SHOWN if name == shown else next(others) for name in methods}


def _summary(table: Table, methods: Mapping[str, Method], shown: str, inks: Mapping[str, str]) -> str:
    """The table of means: headline columns of all protocols, grouped by the pixels that count."""
    groups: dict[str, list[Column]] = {}
    for column in table.columns:
        if column.headline:
            groups.setdefault(column.pixels, []).append(column)
    top, second = "<th></th>", "<th>method</th>"
    for pixels, columns in groups.items():
        count = table.count(columns[0].key)
        label = f"{pixels} pixels" if count == len(table.scenes) else f"{pixels} pixels, {count} images"
        top += f'<th class="group first" colspan="{len(columns)}">{label}</th>'
        second += _cells("th", [f"{c.title}, {c.unit}" if c.unit else c.title for c in columns])
    rows = ""
    for name in table.scores:
        cells = ""
        for columns in groups.values():
            texts = [_text(table.mean(name, c.key), c.digits) for c in columns]
            cells += _cells(
                "td", texts, [text == _best(table, c) for text, c in zip(texts, columns, strict=True)]
            )
        mark = ' class="shown"' if name == shown else ""
        key = f'<span class="key" style="background:{inks[name]}"></span>'
        rows += f"<tr{mark}><td>{key}{escape(methods[name].title)}</td>{cells}</tr>"
    notes = "".join(
        f'<p class="note">Protocol <b>{escape(p.name)}</b>: {escape(p.meaning)}.</p>' for p in table.protocols
    )
    return (
        f'<div class="scroll"><table><thead><tr>{top}</tr><tr>{second}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        f'{notes}<p class="note"><b>Saturated</b>: a channel of the medium exposure is clipped there; '
        "<b>moving saturated</b>: an object also moves over it.</p>"
    )


def _best(table: Table, column: Column) -> str:
    """The largest mean of a column as the table shows it; nothing where no method has one."""
    known = [mean for name in table.scores if not math.isnan(mean := table.mean(name, column.key))]
    return _text(max(known), column.digits) if known else ""


def _cells(tag: str, texts: Sequence[str], best: Sequence[bool] = ()) -> str:
    """Cells of one group of columns: the first has room before it, the best are bold."""
    cells = ""
    for n, text in enumerate(texts):
        kinds = ("first " if n == 0 else "") + ("best" if best and best[n] else "")
        cells += f'<{tag} class="{kinds}">{escape(text)}</{tag}>'
    return cells


def _all_numbers(table: Table, methods: Mapping[str, Method]) -> str:
    """Everything that was measured, folded away."""
    parts = ""
    for protocol in table.protocols:
        for pixels in PIXELS:
            if any(column.pixels == pixels for column in protocol.columns):
                parts += _block(
                    f"{pixels} pixels", protocol, report.mean_rows(table, methods, protocol, pixels)
                )
    parts += _block("every scene", table.protocols[0], report.scene_rows(table, methods))
    return f'<details><summary>All numbers</summary><div class="blocks">{parts}</div></details>'


def _block(title: str, protocol: Protocol, rows: list[list[str]]) -> str:
    note = f'<p class="note">{escape(report.meaning(protocol))}</p>'
    return f"<div><h3>{escape(title)}</h3>{note}{_html_table(rows)}</div>"


def _html_table(rows: list[list[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows[1:])
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _text(value: float, digits: int) -> str:
    if math.isnan(value):
        return "–"
    return "∞" if value == math.inf else f"{value:.{digits}f}"
