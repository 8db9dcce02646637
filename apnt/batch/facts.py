"""What a batch is going to do and to take, said before the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apnt.batch.journal import Journal
from apnt.batch.memory import size_of
from apnt.batch.plan import Bracket
from apnt.batch.run import Engine, Expected, Task
from apnt.batch.settings import Settings
from apnt.budget import shown
from apnt.text import counted, duration, plain

_ALIKE = 1.5  # times as long as another a bracket may take where one number stands for all


@dataclass(frozen=True)
class Facts:
    """What there is to do.

    Attributes:
        todo: brackets that are to be fused.
        done: how many were done before.
        expected: what that takes; None where there is nothing to do.
        again: how many of ``todo`` were done before, and lack a file now.
        writes: names of the files that each bracket becomes, with ``NAME`` for its own.
    """

    todo: Sequence[Bracket]
    done: int
    expected: Expected | None
    again: int = 0
    writes: Sequence[str] = ()

    @property
    def seconds(self) -> float | None:
        """What all takes; None = that is not known."""
        if self.expected is None or self.expected.pace is None:
            return None
        return sum(map(self.expected.pace.seconds, self.todo)) / self.expected.workers

    def record(self) -> dict[str, Any]:
        """As JSON has it: bytes and seconds."""
        record: dict[str, Any] = {
            "brackets": len(self.todo),
            "done_before": self.done,
            "again": self.again,
            "writes": list(self.writes),
            "frames": sum(len(bracket.shots) for bracket in self.todo),
            "megapixels": round(_megapixels(self.todo), 1),
        }
        if self.expected is None:
            return record
        need, largest, seconds = self.expected.need, _largest(self.todo), self.seconds
        return {
            **record,
            "largest": {
                "bracket": largest.name,
                "frames": len(largest.shots),
                "size": list(largest.size[::-1]),
            },
            "memory": need.most,
            "memory_there": need.there,
            "in_files": sum(limit is not None for limit in need.limits),
            "workers": self.expected.workers,
            "seconds_a_bracket": None if seconds is None else round(seconds / len(self.todo), 2),
            "seconds": None if seconds is None else round(seconds, 1),
        }

    def _a_bracket(self) -> str:
        """How long one takes, where that is known: ``"40 s a bracket"``, ``"6.1 s to 9.2 min a bracket"``."""
        assert self.expected is not None
        assert self.expected.pace is not None
        each = [self.expected.pace.seconds(bracket) for bracket in self.todo]
        if max(each) > _ALIKE * min(each):
            return f"{duration(min(each))} to {duration(max(each))} a bracket"
        return f"{duration(sum(each) / len(each))} a bracket"

    def sentences(self) -> list[str]:
        """What a user reads."""
        if self.expected is None:
            return [f"nothing: {_all(self.done)} done before" if self.done else "no brackets"]
        before = f", {self.done} done before" if self.done else ""
        if self.again:
            before += f", {self.again} again for files that are missing"
        frames = sum(len(bracket.shots) for bracket in self.todo)
        size = f"{plain(_megapixels(self.todo), 3)} megapixels"
        said = f"{counted(len(self.todo), 'bracket')} of {counted(frames, 'photograph')}, {size}{before}"
        largest, need, workers = _largest(self.todo), self.expected.need, self.expected.workers
        said += f"; the largest is {largest.name}, {size_of(largest)}"
        each = f" for each of {workers} workers" if workers > 1 else ""
        takes = [f"at most {shown(need.most)} of memory, of {shown(need.there)} that may be taken{each}"]
        limited = sum(limit is not None for limit in need.limits)
        if limited:
            takes.append(f"frames of {counted(limited, 'bracket')} lie in files, because they do not fit")
        if workers < self.expected.wanted:
            takes.append(f"{self.expected.wanted} workers do not fit into memory, {workers} do")
        if self.seconds is None:
            takes.append("the time is known after the first bracket")
        else:
            takes.append(f"about {self._a_bracket()}, {duration(self.seconds)} in all")
        *most, last = self.writes or [""]
        becomes = [f"each becomes {', '.join(most)}{' and ' if most else ''}{last}"] if last else []
        return [said, *becomes, "; ".join(takes)]


def facts_of(
    tasks: Sequence[Task], done: int, settings: Settings, engine: Engine, journal: Journal | None
) -> Facts:
    """Ask an engine what brackets take.

    Args:
        tasks: what is to be done.
        done: how many brackets were done before.
        settings: of the batch.
        engine: is asked.
        journal: of the folder of results; None = there is none, or it does not count.

    Raises:
        InputError: there is too little memory for one of them.
    """
    todo = [task.bracket for task in tasks]
    again = sum(journal is not None and journal.state(task.key).done is not None for task in tasks)
    writes = [path.name for path in settings.outputs(Path(), "NAME").files]
    return Facts(todo, done, engine.expect(todo) if todo else None, again, writes)


def _all(brackets: int) -> str:
    return "the one bracket was" if brackets == 1 else f"all {brackets} brackets were"


def _largest(brackets: Sequence[Bracket]) -> Bracket:
    return max(brackets, key=lambda bracket: len(bracket.shots) * bracket.pixels)


def _megapixels(brackets: Sequence[Bracket]) -> float:
    return sum(len(bracket.shots) * bracket.pixels for bracket in brackets) / 1e6
