"""A batch in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from apnt.batch.job import Fuser
from apnt.batch.memory import Network, need_of, network_of
from apnt.batch.pace import measure
from apnt.batch.plan import Bracket
from apnt.batch.run import Expected, Outcome, Task
from apnt.batch.settings import Settings
from apnt.budget import usual
from apnt.progress import progress


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
        with progress(1) as begin:
            begin("Fusing small brackets, to tell the time")
            return Expected(need, measure(self._fuser))

    def __call__(self, tasks: Sequence[Task], begin: Callable[[Task], None]) -> Iterator[Outcome]:
        """See :class:`apnt.batch.run.Engine`."""
        if not tasks:
            return
        fuser = self._fuser
        for task in tasks:
            bracket = task.bracket
            try:
                begin(task)
                limit = self._settings.memory or need_of([bracket], self._network, self._there()).limits[0]
                report = fuser.fuse(bracket.paths, bracket.stops, task.output, task.picture, limit)
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
