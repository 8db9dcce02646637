"""A batch in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from apnt.batch.job import Fuser
from apnt.batch.memory import Network, need_of, network_of
from apnt.batch.pace import STAGES, TRIALS, measure
from apnt.batch.plan import Bracket
from apnt.batch.run import Expected, Outcome, Stage, Task, Tell, untold
from apnt.batch.settings import Settings
from apnt.budget import usual
from apnt.progress import Pace, progress
from apnt.run import Clock

_READING = 0.1  # of the first stage; its photographs are compared and aligned after that


class _Told:
    """Tells how far one bracket is: its stages, photographs and tiles.

    Args:
        task: the bracket's.
        tell: is told.
        now: seconds of a clock.
    """

    def __init__(self, task: Task, tell: Tell, now: Callable[[], float] = time.monotonic) -> None:
        self._task, self._tell, self._now = task, tell, now
        self._tiles = self._done = 0
        self._pace = Pace(0, now=now)
        self._stage = STAGES[0]
        self._what, self._part, self._parts = "", 0, 0

    def stage(self, name: str) -> None:
        if name in STAGES:
            self._stage = name
            self._tell(self._task, Stage(name, _DOING[name]))

    def doing(self, what: str, parts: int | None) -> None:
        self._what, self._part, self._parts = what[:1].lower() + what[1:], 0, parts or 0
        self._within()

    def part_done(self) -> None:
        self._part += 1
        if self._part < self._parts:
            self._within()

    def _within(self) -> None:
        """Say what is done within a stage, which tells nothing new of the time that this takes."""
        words = f"{self._what}, {self._part + 1} of {self._parts}" if self._parts > 1 else self._what
        self._tell(self._task, Stage(self._stage, words, done=None))

    def read(self, done: int, total: int) -> None:
        words = f"photograph {done + 1} of {total}" if done < total else "comparing photographs"
        self._tell(self._task, Stage("read", words, done=_READING * done / total))

    def planned(self, sentence: str, tiles: int, seconds: float) -> None:
        self._tiles, self._done, self._pace = tiles, 0, Pace(tiles, seconds, self._now)
        self._fusing()

    def tile(self) -> None:
        self._done += 1
        self._pace.part()
        if self._done >= self._tiles:
            self._stage = "merge"
            self._tell(self._task, Stage("merge", "merging"))
            return
        self._fusing()

    def _fusing(self) -> None:
        tile = f", tile {self._done + 1} of {self._tiles}" if self._tiles > 1 else ""
        self._tell(self._task, Stage("fuse", f"fusing{tile}", self._pace.left()))


_DOING = {"read": "reading", "fuse": "fusing", "write": "writing", "report": "writing the report"}


class LocalEngine:
    """One bracket after the other, with one network that is loaded when it is first needed.

    Args:
        settings: of the batch.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def expect(self, brackets: Sequence[Bracket]) -> Expected:
        """See :class:`apnt.batch.run.Engine`."""
        need = need_of(brackets, self._network, self._there())  # refused before anything is loaded
        with progress(TRIALS, alike=None) as begin:
            return Expected(need, measure(self._fuser, begin))

    def __call__(
        self, tasks: Sequence[Task], begin: Callable[[Task], None], tell: Tell = untold
    ) -> Iterator[Outcome]:
        """See :class:`apnt.batch.run.Engine`."""
        if not tasks:
            return
        fuser = self._fuser
        for task in tasks:
            bracket = task.bracket
            try:
                begin(task)
                limit = self._settings.memory or need_of([bracket], self._network, self._there()).limits[0]
                watch = _Told(task, tell)
                clock = Clock(watch.stage)
                report = fuser.fuse(bracket.paths, bracket.stops, task.outputs, limit, clock, watch)
            except Exception as error:
                yield Outcome.failed(task, error)
            else:
                yield Outcome(task, report)

    @cached_property
    def _fuser(self) -> Fuser:
        return Fuser(self._settings)

    @cached_property
    def _network(self) -> Network:
        return network_of(self._settings)

    def _there(self) -> int:
        return self._settings.memory or usual()
