"""The bar that shows how far a command is."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

from rich.console import Console
from rich.markup import escape
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

volume: Literal["quiet", "normal", "verbose"] = "normal"
"""How much is said of progress: nothing; a bar where stderr is a terminal; a line a step, with its time."""


T = TypeVar("T")


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
        self.bar.update(self.task, description=escape(printable(description)), completed=self.begun)
        self.begun += 1
        if self.tiles is not None:
            self.bar.remove_task(self.tiles)
            self.tiles = None

    def planned(self, sentence: str, tiles: int) -> None:
        """A step is cut into tiles; the sentence is printed, on a terminal or not."""
        if volume != "quiet":
            text = f"Plan     {printable(sentence)}"
            self.bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        self.tiles = self.bar.add_task("Tiles", total=tiles)

    def tile(self) -> None:
        """One more tile is done."""
        if self.tiles is not None:
            self.bar.advance(self.tiles)


class Lines:
    """A line on stderr as each step ends, with its seconds; see :class:`Steps`."""

    def __init__(self) -> None:
        self.last, self.since = "", time.monotonic()

    def __call__(self, description: str) -> None:
        """A step begins."""
        now = time.monotonic()
        if self.last:
            print(f"{now - self.since:8.2f} s  {printable(self.last)}", file=sys.stderr, flush=True)
        self.last, self.since = description, now

    def planned(self, sentence: str, tiles: int) -> None:
        """A step is cut into tiles."""
        say_plan(sentence)

    def tile(self) -> None:
        """One more tile is done, of which nothing is said."""


def hidden(console: Console) -> bool:
    """Whether a bar is not to be shown there."""
    return volume == "quiet" or not console.is_terminal


def each(items: Sequence[T], description: str) -> Iterator[T]:
    """The items, behind a bar that names each as ``description`` does with ``{}``."""
    with progress(len(items)) as begin:
        for item in items:
            begin(description.format(item))
            yield item


def say_plan(sentence: str) -> None:
    """Print what is going to be done, on stderr."""
    if volume != "quiet":
        print(f"Plan     {printable(sentence)}", file=sys.stderr, flush=True)


@contextmanager
def progress(total: int, *, by_count: bool = True) -> Iterator[Steps | Lines]:
    """A bar on stderr, where that is a terminal, or what :data:`volume` says.

    Args:
        total: number of steps.
        by_count: show the time left as if all steps took as long; False where descriptions say it.

    Yields:
        What is called with a description as each step begins; see :class:`Steps`.
    """
    if volume == "verbose":
        lines = Lines()
        try:
            yield lines
        finally:
            lines("")
        return
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        *([TimeRemainingColumn()] if by_count else []),
    )
    # stdout is not redirected: results go there, and rich would send them where the bar is.
    options: dict[str, Any] = {"transient": True, "redirect_stdout": False, "disable": hidden(console)}
    with Progress(*columns, console=console, **options) as bar:
        yield Steps(bar, total)
