"""Tables to read, in which no name is cut in two, however narrow the terminal is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from apnt.text import printable

_GAP = 2  # columns of a terminal between cells

Cell = Sequence[str]
"""Pieces, between which a line may end; none of them is cut."""


def name(text: str) -> Cell:
    """A name, which stays whole, with its spaces."""
    return [printable(text)]


def names(several: Sequence[str]) -> Cell:
    """Names, each whole, separated by commas."""
    return [f"{printable(one)}," for one in several[:-1]] + [printable(one) for one in several[-1:]]


def words(text: str) -> Cell:
    """Prose."""
    return printable(text).split()


def print_table(titles: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Print rows on stdout: as a table where the terminal has room for each piece, else one below the other.

    What is no terminal has room for everything, so that each row is a line there.
    """
    console = Console(highlight=False, soft_wrap=True)
    whole = [[_length(column) for column in row] for row in rows]
    pieces = [[max((cell_len(piece) for piece in cell), default=0) for cell in row] for row in rows]
    least, most = (
        [max(cell_len(title), *(row[k] for row in lengths)) for k, title in enumerate(titles)]
        for lengths in (pieces, whole)
    )
    room = console.width - _GAP * (len(titles) - 1) if console.is_terminal else sum(most)
    if room < sum(least):
        _print_list(console, titles, rows)
        return
    widths = fitted(least, most, room)
    rule = "─" if "utf" in console.encoding.lower() else "-"
    console.print()
    console.print(Text(_line(titles, widths), style="bold"))
    console.print(Text(rule * (sum(widths) + _GAP * (len(widths) - 1))))
    for row in rows:
        cells = [lines(cell, width) for cell, width in zip(row, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            console.print(Text(_line(parts, widths)))
    console.print()


def _line(parts: Sequence[str], widths: Sequence[int]) -> str:
    filled = (set_cell_size(part, width) for part, width in zip(parts, widths, strict=True))
    return (" " * _GAP).join(filled).rstrip()


def fitted(least: Sequence[int], most: Sequence[int], room: int) -> list[int]:
    """Widths of columns: each its least, and what room is left to those that want more, the narrowest first.

    Args:
        least, most: widths of the longest piece, and of the longest cell.
        room: for all columns, at least the sum of ``least``.
    """
    widths, free = list(least), room - sum(least)
    wanting = sorted(range(len(least)), key=lambda k: most[k] - least[k])
    for n, k in enumerate(wanting):
        more = min(most[k] - least[k], free // (len(wanting) - n))
        widths[k], free = widths[k] + more, free - more
    return widths


def lines(cell: Cell, width: int) -> list[str]:
    """Pieces, in lines of a width at most; a piece that is longer has a line of its own."""
    found: list[str] = []
    for piece in cell:
        if found and cell_len(found[-1]) + 1 + cell_len(piece) <= width:
            found[-1] += f" {piece}"
        else:
            found.append(piece)
    return found


def _length(cell: Cell) -> int:
    return cell_len(" ".join(cell))


def _print_list(console: Console, titles: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    for row in rows:
        console.print()
        console.print(Text(" ".join(row[0])))
        for title, cell in zip(titles[1:], row[1:], strict=True):
            said = lines([f"{title}:", *cell], console.width - 2 * _GAP)
            for n, line in enumerate(said if cell else []):
                console.print(Text(" " * (_GAP if n == 0 else 2 * _GAP) + line))
    console.print()
