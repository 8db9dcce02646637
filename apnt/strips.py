"""Rows that are worked on at once, where copies of whole pictures would take too much memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_ROWS = 256
_PIXELS = 1 << 19


def strips(height: int, rows: int = 0) -> Iterator[slice]:
    """Rows 0 to ``height``, a few hundred, or ``rows``, at a time."""
    rows = rows or _ROWS
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))


def rows_of(width: int, pixels: int = _PIXELS) -> int:
    """How many rows of this width have about so many pixels; pictures that are fused at once have no more."""
    return max(1, pixels // width)


class Part(NamedTuple):
    """Rows, or columns, that are worked on at once, with what they depend on.

    Attributes:
        seen: with the halo.
        own: without it.
        inner: its own within those seen.
    """

    seen: slice
    own: slice
    inner: slice

    @property
    def length(self) -> int:
        """Of what is seen."""
        return self.seen.stop - self.seen.start


def parts(size: int, length: int, halo: int) -> Iterator[Part]:
    """Cut 0 to ``size`` into parts of ``length``, with up to ``halo`` more on either side."""
    for start in range(0, size, length):
        stop = min(start + length, size)
        low, high = max(0, start - halo), min(size, stop + halo)
        yield Part(slice(low, high), slice(start, stop), slice(start - low, stop - low))
