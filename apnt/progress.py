"""The bar that shows how far a command is."""

from __future__ import annotations

import math
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
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress_bar import ProgressBar
from rich.text import Text

from apnt.text import duration, printable

volume: Literal["quiet", "normal", "verbose"] = "normal"
"""How much is said of progress: nothing; a bar where stderr is a terminal; a line a step, with its time."""


_STEADY = 0.7  # of a part that moves as the others did; then ever slower, so that it is never shown as done

clock = time.monotonic
"""Seconds, by which all time is told."""

T = TypeVar("T")


class Pace:
    """How long alike parts still take: by those that are done, and before the first by what is expected.

    Args:
        total: how many there are.
        seconds: that all are expected to take; None = that is not known.
        now: seconds of a clock; None = :data:`clock`.
    """

    def __init__(
        self, total: int, seconds: float | None = None, now: Callable[[], float] | None = None
    ) -> None:
        now = now or clock
        self._now, self._total, self._seconds = now, total, seconds
        self._begun = self._last = now()
        self._done = 0

    def part(self) -> None:
        """One more is done."""
        self._done, self._last = self._done + 1, self._now()

    def left(self) -> float | None:
        """Seconds; it counts down within a part. None where nobody knows, also where a part takes longer."""
        if self._done:
            each = (self._last - self._begun) / self._done
        elif self._seconds is not None:
            each = self._seconds / self._total
        else:
            return None
        left = each * (self._total - self._done) - (self._now() - self._last)
        rest = each * (self._total - self._done - 1)
        return max(left, rest) if rest > 0 or left > 0 else None

    def within(self) -> float:
        """The share of the part at work that is done, by what others took; 0 where nobody knows."""
        if self._done:
            each = (self._last - self._begun) / self._done
        else:
            each = (self._seconds or 0.0) / max(1, self._total)
        share = (self._now() - self._last) / each if each > 0 else 0.0
        rest = 1 - _STEADY
        return share if share < _STEADY else 1 - rest * math.exp((_STEADY - share) / rest)


class _Bar(BarColumn):
    """A bar that also moves within a part, by what a task's field ``within`` says, asked at each redraw."""

    def render(self, task: Task) -> ProgressBar:
        """The bar of a task."""
        bar = super().render(task)
        within = task.fields.get("within")
        if within is not None and task.total:
            bar.completed = min(task.total, task.completed + within())
        return bar


class _TimeLeft(ProgressColumn):
    """What a task's field ``left``, which is asked at each redraw, says."""

    def render(self, task: Task) -> Text:
        """The time left, in words; nothing where that is not known."""
        left = task.fields.get("left")
        said = None if left is None else left()
        if isinstance(said, float):
            said = f"{duration(said)} left"
        return Text(said or "", style="progress.remaining")


class _Count(MofNCompleteColumn):
    """``3/7``; nothing where there is nothing to count."""

    def render(self, task: Task) -> Text:
        """The count of a task."""
        return super().render(task) if task.total else Text("")


class Steps:
    """Tells how far a command is: step by step, and, where one has parts, such as tiles, part by part.

    Args:
        bar: where it is shown.
        total: number of steps.
        alike: see :func:`progress`.
    """

    def __init__(self, bar: Progress, total: int, alike: int | None = None) -> None:
        self.bar, self.begun, self.alike = bar, 0, alike
        self.pace = None if alike is None or total < alike else Pace(total // alike)
        self.task = bar.add_task("", total=total, left=None if self.pace is None else self.pace.left)
        self.parts: tuple[TaskID, Pace] | None = None

    def __call__(self, description: str) -> None:
        """A step begins."""
        self.says(description)
        self.bar.update(self.task, completed=self.begun)
        if self.pace is not None and self.alike and self.begun and self.begun % self.alike == 0:
            self.pace.part()
        self.begun += 1
        self._without_parts()

    def says(self, description: str, done: float | None = None) -> None:
        """What is done now, within a step; ``done`` is how many steps are, as far as that is known."""
        self.bar.update(self.task, description=escape(printable(description)), completed=done)

    def lasts(self, left: Callable[[], str | None]) -> None:
        """Who is asked, at each redraw, what there is to say of the time left."""
        self.bar.update(self.task, left=left)

    def ended(self, description: str, seconds: float) -> None:
        """A step that was not said to begin, as where several go on at a time, is done."""
        self.begun += 1
        self.bar.update(self.task, completed=self.begun)

    def read(self, done: int, total: int) -> None:
        """So many of so many photographs are read."""
        if done == 0:
            self._with_parts("Photographs", total)
        elif done < total:
            self._part()
        else:
            self._with_parts("Comparing them", None)

    def planned(self, sentence: str, tiles: int, seconds: float) -> None:
        """A step is cut into tiles; the sentence is printed, on a terminal or not."""
        if volume != "quiet":
            text = f"Plan     {printable(sentence)}"
            self.bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        self._with_parts("Tiles", tiles, seconds)

    def tile(self) -> None:
        """One more tile is done."""
        self._part()

    def doing(self, what: str, parts: int | None) -> None:
        """Something begins within a step, see :func:`apnt.doing.doing`."""
        self._with_parts(escape(printable(what)), parts)

    def part_done(self) -> None:
        """One more of its parts is done."""
        self._part()

    def _with_parts(self, name: str, total: int | None, seconds: float | None = None) -> None:
        self._without_parts()
        pace = Pace(total or 1, seconds)
        self.parts = self.bar.add_task(name, total=total, left=pace.left, within=pace.within), pace

    def _part(self) -> None:
        if self.parts is not None:
            task, pace = self.parts
            pace.part()
            self.bar.advance(task)

    def _without_parts(self) -> None:
        if self.parts is not None:
            self.bar.remove_task(self.parts[0])
            self.parts = None


class Lines:
    """A line on stderr as each step ends, with the time that it took; see :class:`Steps`."""

    def __init__(self) -> None:
        self.last, self.since = "", clock()

    def __call__(self, description: str) -> None:
        """A step begins."""
        now = clock()
        if self.last:
            self.ended(self.last, now - self.since)
        self.last, self.since = description, now

    def says(self, description: str, done: float | None = None) -> None:
        """What is done now, of which nothing is said, as of the time left, of photographs and of tiles."""

    def lasts(self, left: Callable[[], str | None]) -> None:
        """Who knows the time left."""

    def ended(self, description: str, seconds: float) -> None:
        """A step is done."""
        print(f"{duration(seconds):>10}  {printable(description)}", file=sys.stderr, flush=True)

    def read(self, done: int, total: int) -> None:
        """So many of so many photographs are read."""

    def planned(self, sentence: str, tiles: int, seconds: float) -> None:
        """A step is cut into tiles."""
        say_plan(sentence)

    def tile(self) -> None:
        """One more tile is done."""

    def doing(self, what: str, parts: int | None) -> None:
        """Something begins within a step."""

    def part_done(self) -> None:
        """One more of its parts is done."""


def hidden(console: Console) -> bool:
    """Whether a bar is not to be shown there."""
    return volume == "quiet" or not console.is_terminal


def ends_told() -> bool:
    """Whether a line is to tell, as each of many things ends, what no bar shows: stderr is no terminal."""
    return volume == "normal" and hidden(Console(stderr=True))


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
def progress(total: int, *, alike: int | None = 1) -> Iterator[Steps | Lines]:
    """A bar on stderr, where that is a terminal and there is a step, or what :data:`volume` says.

    Args:
        total: number of steps.
        alike: so many steps at a time take as long as the next so many, by which the time left is told, as
            soon as that many are done; None = they differ, and it is not.

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
        _Bar(),
        _Count(),
        TimeElapsedColumn(),
        _TimeLeft(),
    )
    # stdout is not redirected: results go there, and rich would send them where the bar is.
    options: dict[str, Any] = {
        "transient": True,
        "redirect_stdout": False,
        "get_time": lambda: clock(),
        "disable": hidden(console) or not total,
    }
    with Progress(*columns, console=console, **options) as bar:
        yield Steps(bar, total, alike)
