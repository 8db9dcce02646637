"""The bar that shows how far a command is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from apnt.text import printable


class Steps:
    """Tells how far a command is: step by step, and, where one works through tiles, tile by tile.

    Args:
        bar: where it is shown.
        total: number of steps.
    """

    def __init__(self, bar: Progress, total: int) -> None:
        self.bar, self.begun = bar, 0
        self.task = bar.add_task("", total=total)
        self.tiles: TaskID | None = None

    def __call__(self, description: str) -> None:
        """A step begins."""
        self.bar.update(self.task, description=description, completed=self.begun)
        self.begun += 1
        if self.tiles is not None:
            self.bar.remove_task(self.tiles)
            self.tiles = None

    def planned(self, sentence: str, tiles: int) -> None:
        """A step is cut into tiles; the sentence is printed, on a terminal or not."""
        self.bar.console.print(
            f"Plan     {printable(sentence)}", markup=False, highlight=False, soft_wrap=True
        )
        self.tiles = self.bar.add_task("Tiles", total=tiles)

    def tile(self) -> None:
        """One more tile is done."""
        if self.tiles is not None:
            self.bar.advance(self.tiles)


@contextmanager
def progress(total: int) -> Iterator[Steps]:
    """A bar on stderr, where that is a terminal.

    Args:
        total: number of steps.

    Yields:
        What is called with a description as each step begins; see :class:`Steps`.
    """
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield Steps(bar, total)
