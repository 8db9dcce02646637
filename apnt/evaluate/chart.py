"""The scores of every scene as a drawing: one line per scene, one dot per method."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from apnt.evaluate.table import Table

_WIDTH = 1100  # pixels, with the names of the scenes
_PITCH = 22  # from scene to scene
_TOP = 22  # room for the numbers of the scale
_NAME = 26  # characters of a scene's name


def chart(table: Table, titles: Mapping[str, str], inks: Mapping[str, str], shown: str) -> str:
    """HTML with a heading, the drawing (SVG) and its legend.

    Args:
        table: its first column is drawn.
        titles: of the methods.
        inks: method -> CSS colour.
        shown: the method whose dots are larger and on top.
    """
    column = table.columns[0]
    values = {name: scores[column.key] for name, scores in table.scores.items()}
    finite = [value for row in values.values() for value in row if math.isfinite(value)]
    if not finite:
        return ""
    low, high, step = _scale(min(finite), max(finite))
    left = min(_NAME, max(len(scene) for scene in table.scenes)) * 8 + 16
    height = _TOP + len(table.scenes) * _PITCH + 8

    def across(value: float) -> float:
        return left + (min(value, high) - low) / (high - low) * (_WIDTH - left - 20)

    parts = []
    for n in range(round((high - low) / step) + 1):
        x = f"{across(low + n * step):.1f}"
        parts.append(f'<line x1="{x}" x2="{x}" y1="{_TOP}" y2="{height}" stroke="#e3e7ec"/>')
        parts.append(f'<text class="tick" x="{x}" y="14" text-anchor="middle">{low + n * step:.6g}</text>')
    for row, scene in enumerate(table.scenes):
        y = _TOP + (row + 0.5) * _PITCH
        name = scene if len(scene) <= _NAME else scene[: _NAME - 1] + "…"
        parts.append(f'<text x="{left - 12}" y="{y + 4.5:g}" text-anchor="end">{escape(name)}</text>')
        known = {method: v[row] for method, v in values.items() if not math.isnan(v[row])}
        if known:
            ends = f'x1="{across(min(known.values())):.1f}" x2="{across(max(known.values())):.1f}"'
            parts.append(f'<line {ends} y1="{y:g}" y2="{y:g}" stroke="#c9d0d8" stroke-width="2"/>')
        for method in sorted(known, key=lambda m: m == shown):
            dot = f'cx="{across(known[method]):.1f}" cy="{y:g}" r="{6.5 if method == shown else 5}"'
            tip = f"{titles[method]}: {known[method]:.{column.digits}f}"
            parts.append(f'<circle {dot} fill="{inks[method]}"><title>{escape(tip)}</title></circle>')
    keys = "".join(
        f'<span><span class="key" style="background:{inks[method]}"></span>{escape(titles[method])}</span>'
        for method in values
    )
    unit = f" in {column.unit}" if column.unit else ""
    size = f'width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"'
    return (
        f"<h3>{escape(column.title)}{unit} of every scene"
        f"<small>protocol {escape(table.protocols[0].name)}</small></h3>"
        f'<div class="scroll"><svg {size} role="img">{"".join(parts)}</svg></div>'
        f'<p class="legend">{keys}</p>'
    )


def _scale(least: float, most: float) -> tuple[float, float, float]:
    """Ends and step of a scale with about four to ten steps of 1, 2 or 5 times a power of ten."""
    spread = max(most - least, 0.02 * abs(most), 1e-3)
    step = 10.0 ** math.floor(math.log10(spread / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if spread / (step * factor) <= 8)
    low, high = math.floor(least / step) * step, math.ceil(most / step) * step
    return low, max(high, low + step), step
