"""What is being done within a step, told to whoever shows it: a bar moves, whatever takes long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Watcher(Protocol):
    """Who shows it."""

    def doing(self, what: str, parts: int | None) -> None:
        """Something begins, in words, of so many parts; None = it has none that are counted."""

    def part_done(self) -> None:
        """One more of its parts is done."""


_WATCHER: ContextVar[Watcher | None] = ContextVar("watcher", default=None)
"""Of this thread; None = nobody is told."""


@contextmanager
def told(watcher: Watcher) -> Iterator[None]:
    """Have somebody be told, in the block, of what is done in this thread."""
    before = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(before)


def doing(what: str, parts: int | None = None) -> None:
    """Something begins that may take seconds.

    Args:
        what: in words, such as "Making the picture".
        parts: in how many it is done; None = it has none that are counted.
    """
    watcher = _WATCHER.get()
    if watcher is not None:
        watcher.doing(what, parts)


def part_done() -> None:
    """One more part of what was begun last is done."""
    watcher = _WATCHER.get()
    if watcher is not None:
        watcher.part_done()
