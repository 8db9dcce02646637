"""A table of scores as text, Markdown and JSON."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rich.box
import rich.table
import torch

from apnt import __version__
from apnt.evaluate.methods import Method
from apnt.evaluate.table import COLUMNS, Table
from apnt.metrics import PROTOCOL

REFERENCE = "medium"


def mean_rows(table: Table, methods: Mapping[str, Method]) -> list[list[str]]:
    """Heading and one row per method: means, and the PSNR-mu that it gains over the medium exposure alone."""
    heads = [f"{c.title} ({table.count(c.key)})" if c.pixels != "all" else c.title for c in COLUMNS]
    rows = [["method", heads[0], "over medium", *heads[1:]]]
    for name in table.scores:
        first, *rest = [_number(table.mean(name, column.key), column.digits) for column in COLUMNS]
        gain = table.mean(name, "psnr_mu") - table.mean(REFERENCE, "psnr_mu")
        rows.append([methods[name].title, first, _number(gain, 2, sign="+"), *rest])
    return rows


def scene_rows(table: Table, methods: Mapping[str, Method]) -> list[list[str]]:
    """Heading and one row per scene: PSNR-mu of every method."""
    rows = [["PSNR-µ", *(methods[name].title for name in table.scores)]]
    for index, scene in enumerate(table.scenes):
        rows.append([scene, *(_number(table.scores[name]["psnr_mu"][index], 2) for name in table.scores)])
    return rows


def caption(table: Table, set_name: str) -> str:
    """What the numbers mean: set, protocol, counts."""
    return (
        f"{set_name}, {len(table.scenes)} brackets, mean of per-image values; sat.: saturated in the medium "
        f"exposure (how many images have such pixels); {PROTOCOL}"
    )


def as_rich(rows: list[list[str]]) -> rich.table.Table:
    """Rows, the first of them the heading, for a terminal."""
    # Narrow enough for the eight columns to fit into 80 characters.
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    table.add_column(rows[0][0], no_wrap=True)
    for head in rows[0][1:]:
        table.add_column(head, justify="right")
    for row in rows[1:]:
        table.add_row(*row)
    return table


def as_markdown(rows: list[list[str]]) -> str:
    """Rows, the first of them the heading, for a page."""
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], rule, *rows[1:]]) + "\n"


def as_json(
    table: Table, methods: Mapping[str, Method], set_name: str, settings: dict[str, Any]
) -> dict[str, Any]:
    """What is needed to read the numbers again; a missing value is null, an infinite one "inf"."""
    keys = [column.key for column in COLUMNS]
    scores = table.scores.items()
    return {
        "set": set_name,
        "protocol": PROTOCOL,
        "settings": settings,
        "methods": {name: {"title": methods[name].title, **methods[name].details} for name in table.scores},
        "versions": {
            "apnt": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
        },
        "machine": {"cpu": cpu_name(), "platform": platform.platform()},
        "counts": {key: table.count(key) for key in keys},
        "means": {name: {key: _plain(table.mean(name, key)) for key in keys} for name in table.scores},
        "scenes": [
            {
                "name": scene,
                "scores": {
                    name: {key: _plain(column[key][index]) for key in keys} for name, column in scores
                },
            }
            for index, scene in enumerate(table.scenes)
        ],
    }


def cpu_name() -> str:
    """The processor's name as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _number(value: float, digits: int, sign: str = "") -> str:
    return "-" if math.isnan(value) else f"{value:{sign}.{digits}f}"


def _plain(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else "inf"
