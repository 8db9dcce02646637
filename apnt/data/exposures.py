"""Exposure files of data sets: one number a frame, in the unit of the layout."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from apnt.data.layouts import Layout
from apnt.errors import InputError
from apnt.io.exposure import parse_stops, parse_times, relative_times
from apnt.io.inputs import read_text

_LEAST_STOPS = 1e-3
"""Closer exposures are the same one, written twice. A file in another unit is told by its pixels."""


class Exposures(NamedTuple):
    """The three frames of a scene that are used, and their exposures.

    Attributes:
        values: the numbers in the file, one a frame in the order of the names.
        taken: which three frames are used, by ascending exposure, as indices into the names.
        times: (3,) float64, relative to the shortest of the three.
    """

    values: tuple[float, ...]
    taken: tuple[int, int, int]
    times: np.ndarray

    @property
    def in_order(self) -> bool:
        """Whether the exposures of all frames ascend in the order of their names."""
        return list(self.values) == sorted(self.values)


def read_exposures(path: Path, layout: Layout, count: int) -> Exposures:
    """Read an exposure file and choose the three frames of a scene.

    Args:
        path: numbers separated by lines, spaces or commas; seconds may be fractions such as 1/400.
        layout: defines the unit, and which three of more than three frames are used.
        count: how many frames the scene has; at least 3.

    Raises:
        InputError: no such file, no text, not one number a frame, or exposures of the three that are equal,
            not positive, not finite, or more than 2**12 apart.
    """
    try:
        text = read_text(path, "exposures", encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} must be a text file with {_numbers(layout, count)}: {error}") from error
    words = ",".join(text.replace(",", " ").split())
    parse = parse_times if layout.unit == "seconds" else parse_stops
    try:
        values = parse(words) if words else []
        if len(values) != count:
            raise InputError(f"it holds {len(values)}: {words[:80]}")
        return _choose(values, layout)
    except InputError as error:
        raise InputError(f"{path} must hold {_numbers(layout, count)}: {error}") from error


def _choose(values: list[float], layout: Layout) -> Exposures:
    """Sort frames by exposure, not by name, and take the three that the layout uses."""
    ranked = np.argsort(np.array(values), kind="stable")
    first, second, third = (int(ranked[n]) for n in layout.positions(len(values)))
    taken = (first, second, third)
    three = [values[n] for n in taken]
    seconds = layout.unit == "seconds"
    times = relative_times(three if seconds else None, None if seconds else three, least=_LEAST_STOPS)
    return Exposures(tuple(values), taken, times)


def _numbers(layout: Layout, count: int) -> str:
    """The content of an exposure file, in words."""
    unit = "exposure times in seconds" if layout.unit == "seconds" else "exposures in log2 stops"
    return f"{count} {unit}, one a frame"
