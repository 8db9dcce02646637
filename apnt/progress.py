"""The bar that shows how far a command is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from apnt.text import printable

volume: Literal["quiet", "normal", "verbose"] = "normal"
"""How much is said of progress: nothing; a bar where stderr is a terminal; a line a step, with its time."""


T = TypeVar("T")


def hidden(console: Console) -> bool:
    """Whether a bar is not to be shown there."""
    return volume == "quiet" or not console.is_terminal


def each(items: Sequence[T], description: str) -> Iterator[T]:
    """The items, behind a bar that names each as ``description`` does with ``{}``."""
    with progress(len(items)) as begin:
        for item in items:
            begin(description.format(item))
            yield item


@contextmanager
def progress(total: int) -> Iterator[Callable[[str], None]]:
    """A bar on stderr, where that is a terminal, or what :data:`volume` says.

    Args:
        total: number of steps.

    Yields:
        A function that is called with a description as each step begins.
    """
    if volume == "verbose":
        with _lines() as line:
            yield line
        return
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # stdout is not redirected: results go there, and rich would send them where the bar is.
    options: dict[str, Any] = {"transient": True, "redirect_stdout": False, "disable": hidden(console)}
    with Progress(*columns, console=console, **options) as bar:
        task = bar.add_task("", total=total)
        begun = 0

        def begin(description: str) -> None:
            nonlocal begun
            bar.update(task, description=escape(printable(description)), completed=begun)
            begun += 1

        yield begin


@contextmanager
def _lines() -> Iterator[Callable[[str], None]]:
    """A line on stderr as each step ends, with its seconds."""
    last, since = "", time.monotonic()

    def begin(description: str) -> None:
        nonlocal last, since
        now = time.monotonic()
        if last:
            print(f"{now - since:8.2f} s  {printable(last)}", file=sys.stderr, flush=True)
        last, since = description, now

    try:
        yield begin
    finally:
        begin("")
