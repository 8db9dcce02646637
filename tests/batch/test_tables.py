"""Tables of a batch: names stay whole, on a terminal of any width and where there is none."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.cells import cell_len
from rich.console import Console

from apnt.batch import tables
from apnt.batch.tables import Cell, fitted, lines, name, names, print_table, words

TITLES = ("bracket", "frames", "taken over", "exposures")
FRAMES = [f"OldHouse{n}.jpg" for n in range(1, 8)]
NAME = "merianos_old_house/OldHouse1"
SPACED = "day out/photo 1 of the house"

Printed = Callable[[int | None], str]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Printed:
    """What is printed on a terminal of a width, or, for None, into a pipe of whatever width is named."""

    def of(width: int | None) -> str:
        file = io.StringIO()
        terminal = width is not None
        monkeypatch.setattr(
            tables,
            "Console",
            lambda **options: Console(
                file=file, force_terminal=terminal, color_system=None, width=width or 40, **options
            ),
        )
        rows: list[tuple[Cell, ...]] = [
            (name(NAME), names(FRAMES), name("2.5 s"), words("+0, +1, +2, +3, +4, +5, +6 EV")),
            (name(SPACED), names(["a b.jpg", "c.jpg"]), name("?"), words("?")),
        ]
        print_table(TITLES, rows)
        return file.getvalue()

    return of


@pytest.mark.parametrize("width", [20, 31, 40, 60, 72, 80, 100, 140, None])
def test_names_are_never_cut(printed: Printed, width: int | None) -> None:
    shown = printed(width)
    for whole in (NAME, SPACED, *FRAMES, "a b.jpg", "2.5 s"):
        assert sum(whole in line for line in shown.splitlines()) >= 1, whole
    if width is not None and width >= 31:
        assert max(map(cell_len, shown.splitlines())) <= width


def test_each_row_is_a_line_where_there_is_no_terminal(printed: Printed) -> None:
    shown = printed(None).splitlines()
    assert sum(bool(line.strip()) for line in shown) == 2 + 2
    row = next(line for line in shown if NAME in line)
    assert all(frame in row for frame in FRAMES)
    assert row.rstrip().endswith("+6 EV")


def test_a_narrow_terminal_gets_one_below_the_other(printed: Printed) -> None:
    narrow, wide = printed(40), printed(100)
    assert "  taken over: 2.5 s" in narrow.splitlines()
    assert "  exposures: +0, +1, +2, +3, +4, +5," in narrow.splitlines()
    assert next(line.split() for line in wide.splitlines() if "taken over" in line)[0] == "bracket"


def test_columns_get_what_they_want_the_narrowest_first() -> None:
    assert fitted([5, 5, 5], [5, 8, 90], 40) == [5, 8, 27]
    assert fitted([5, 5], [50, 50], 40) == [20, 20]
    assert fitted([5, 5], [6, 6], 40) == [6, 6]


def test_lines_end_between_pieces() -> None:
    assert lines(words("one two three"), 7) == ["one two", "three"]
    assert lines(name("a name"), 3) == ["a name"]
    assert lines(words(""), 3) == []
    assert names(["a\x1b.jpg", "b.jpg"]) == ["a\\x1b.jpg,", "b.jpg"]
