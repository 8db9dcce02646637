"""A plan carried out: what is done is skipped, what fails is noted, and the rest goes on."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from apnt.batch.differences import made_of, why_other
from apnt.batch.journal import Journal
from apnt.batch.memory import Need
from apnt.batch.pace import USUAL, Left, Pace
from apnt.batch.plan import Bracket, Plan, as_record
from apnt.batch.settings import Settings
from apnt.errors import InputError
from apnt.io.files import check_output, make_folder
from apnt.io.written import is_own
from apnt.run import Outputs
from apnt.text import reason, some


@dataclass(frozen=True)
class Task:
    """A bracket, what its result depends on, and where that goes."""

    bracket: Bracket
    key: str
    outputs: Outputs

    @property
    def files(self) -> list[Path]:
        """What is written."""
        return self.outputs.files


@dataclass(frozen=True)
class Outcome:
    """How a task ended: what :meth:`apnt.batch.job.Fuser.fuse` returned, or what went wrong, in words.

    Attributes:
        task: what it was.
        report: of a bracket that was fused and written; else None.
        words: what went wrong.
        disk_full: it was the disk of the results, which no later bracket changes.
    """

    task: Task
    report: dict[str, Any] | None = None
    words: str = ""
    disk_full: bool = False

    @classmethod
    def failed(cls, task: Task, error: Exception) -> Outcome:
        """The outcome of an error."""
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        return cls(task, words=in_words(error), disk_full=full)


def in_words(error: Exception) -> str:
    """An error in one line; those that have a sentence are that."""
    text = " ".join(str(error).split())
    return (
        text
        if isinstance(error, (InputError, MemoryError)) and text
        else f"{type(error).__name__}: {reason(error)}"
    )


@dataclass(frozen=True)
class Expected:
    """What an engine expects before it begins.

    Attributes:
        need: what each worker takes.
        pace: how fast one is; None = that is known after the first bracket.
        workers: how many work at a time.
        wanted: how many would if memory did not count.
    """

    need: Need
    pace: Pace | None = None
    workers: int = 1
    wanted: int = 1


class Stage(NamedTuple):
    """How far a task is.

    Attributes:
        name: one of :data:`apnt.batch.pace.STAGES`.
        words: what is done, ``"fusing, tile 3 of 20"``.
        left: seconds that this stage still takes; None = that is not known.
        done: share of the stage that is done, for what does not know that; None = nothing new is known.
    """

    name: str
    words: str
    left: float | None = None
    done: float | None = 0.0


Tell = Callable[[Task, Stage], None]
"""Who is told how far a task is."""


def untold(task: Task, stage: Stage) -> None:
    """Nobody."""


class Bar(Protocol):
    """Where a user sees how far the batch is, see :class:`apnt.progress.Steps`."""

    def says(self, description: str, done: float | None = None) -> None:
        """What is done now, and how many brackets are, the one at work by its share."""

    def lasts(self, left: Callable[[], str | None]) -> None:
        """Who knows the time left."""

    def ended(self, description: str, seconds: float) -> None:
        """A bracket is done."""


class Engine(Protocol):
    """Carries out tasks, in any order."""

    def expect(self, brackets: Sequence[Bracket]) -> Expected:
        """What brackets, at least one, are going to take.

        Raises:
            InputError: there is too little memory for one of them.
        """
        ...

    def __call__(
        self, tasks: Sequence[Task], begin: Callable[[Task], None], tell: Tell = untold
    ) -> Iterator[Outcome]:
        """Call ``begin`` as work on a task begins, also again, and yield every outcome once.

        Those that know how far a task is ``tell`` it, between its beginning and its outcome.
        """
        ...


@dataclass
class Summary:
    """Records of all brackets, as JSON lines have them, by how they ended."""

    done: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)


def make_tasks(
    plan: Plan, settings: Settings, journal: Journal, force: bool
) -> tuple[list[Task], list[Task]]:
    """What there is to do, and what was done before.

    Brackets that a killed process had begun come last, those begun most often at the very end: one that takes
    the process down each time holds up no other.

    Raises:
        InputError: an output exists and is not what an interrupted run of the same bracket left, or, with
            force too, is a photograph.
    """
    todo, done = [], []
    taken: dict[Path, str] = {}
    inputs = {path.resolve() for bracket in plan.brackets for path in bracket.paths}
    inputs |= {entry.path.resolve() for entry in plan.left_out if not _ours(entry.path, journal)}
    for bracket in plan.brackets:
        task = make_task(bracket, settings, journal.folder)
        if journal.is_done(task.key, task.files) and not force:
            done.append(task)
            continue
        todo.append(task)
        lost = [path for path in task.files if path.resolve() in inputs]
        if lost:
            raise InputError(
                f"outputs must not overwrite photographs, and {lost[0]} is one: choose another folder"
            )
        for path in () if force else task.files:
            if path.exists() and not journal.may_replace(task.key, path):
                taken[path] = why_other(journal.maker(path), bracket, settings)
    if taken:
        why = some(list(dict.fromkeys(taken.values())), between="; ")
        raise InputError(
            f"outputs must be new files, and {some(list(taken))} exist, {why}: choose another folder, or "
            "replace them with --force"
        )
    return sorted(todo, key=lambda task: journal.state(task.key).begun), done


def _ours(path: Path, journal: Journal) -> bool:
    """Whether a file that was left out is what an earlier batch wrote here."""
    return is_own(path) or (path.is_relative_to(journal.folder) and journal.maker(path) is not None)


def make_task(bracket: Bracket, settings: Settings, folder: Path) -> Task:
    """What is to be done with a bracket."""
    return Task(bracket, bracket.key(settings), settings.outputs(folder, bracket.name))


def run(
    todo: Sequence[Task],
    skipped: Sequence[Task],
    journal: Journal,
    settings: Settings,
    engine: Engine,
    show: Callable[[dict[str, Any]], None],
    bar: Bar,
    expected: Expected | None = None,
) -> Summary:
    """Carry out tasks and note in the journal what happens.

    Of a bracket that fails nothing is left that was not there before, such as a picture whose page could not
    be written.

    Args:
        todo, skipped: from :func:`make_tasks`.
        journal: of the folder of results.
        settings: of the batch.
        engine: does the work.
        show: called with the record of each bracket as it ends.
        bar: told how far it is.
        expected: by the engine.

    Raises:
        OSError: the disk is full, which no later bracket changes.
    """
    summary = Summary()
    for task in skipped:
        summary.skipped.append(_record(task, "skipped", journal.state(task.key).done or {}))
        show(summary.skipped[-1])

    pace, workers = (None, 1) if expected is None else (expected.pace, expected.workers)
    usual = USUAL._replace(report=float(settings.report))
    left = Left([task.bracket for task in todo], pace, workers, usual=usual)
    bar.lasts(left.sentence)
    ended = 0
    new: dict[str, list[Path]] = {}

    def started(task: Task) -> None:
        left.begun(task.bracket)
        bar.says(f"Fusing {task.bracket.name}")
        for path in task.files:
            make_folder(path.parent)
            check_output(path, (path.suffix,))
        new.setdefault(task.key, [path for path in task.files if not path.exists()])
        what = made_of(task.bracket, settings)
        journal.write("begun", task.bracket.name, task.key, outputs=journal.names(task.files), **what)

    def told(task: Task, stage: Stage) -> None:
        share = left.reached(task.bracket, stage.name, stage.left, stage.done)
        bar.says(f"{task.bracket.name}: {stage.words}", ended + share)

    for outcome in engine(todo, started, told):
        task = outcome.task
        if outcome.report is not None:
            line = {"outputs": journal.sizes(task.files), **outcome.report}
            journal.write("done", task.bracket.name, task.key, **line)
            summary.done.append(_record(task, "done", line))
            show(summary.done[-1])
        else:
            for path in new.get(task.key, ()):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            journal.write("failed", task.bracket.name, task.key, error=outcome.words)
            summary.failed.append(_record(task, "failed", {"error": outcome.words}))
            show(summary.failed[-1])
        if outcome.disk_full:
            raise OSError(errno.ENOSPC, f"{outcome.words}: make room, and the same command goes on from here")
        seconds = left.ended(task.bracket, failed=outcome.report is None)
        ended += 1
        how = "" if outcome.report is not None else " (failed)"
        bar.ended(f"{task.bracket.name}{how}", seconds)
    return summary


def _record(task: Task, status: str, what: dict[str, Any]) -> dict[str, Any]:
    hidden = ("event", "bracket", "key")
    return {**as_record(task.bracket), "status": status, **{k: v for k, v in what.items() if k not in hidden}}
