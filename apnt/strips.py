"""Rows that are worked on at once, where copies of whole pictures would take too much memory."""

from __future__ import annotations

from collections.abc import Iterator

_ROWS = 256


def strips(height: int) -> Iterator[slice]:
    """Rows 0 to ``height``, a few hundred at a time."""
    for start in range(0, height, _ROWS):
        yield slice(start, min(start + _ROWS, height))
