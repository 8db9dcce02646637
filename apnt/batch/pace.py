"""How long brackets take: by a trial before the work, and by those that are done during it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from apnt.batch.plan import Bracket
from apnt.errors import InputError
from apnt.run import Clock
from apnt.text import duration

if TYPE_CHECKING:
    from apnt.batch.job import Fuser

STAGES = ("read", "fuse", "merge", "write", "report")
"""What a bracket goes through; :func:`apnt.run.fuse_into` has "merge", after the network, in "fuse"."""

# Seconds of one core of a Xeon of 2.5 GHz with the weights "fast"; `benchmarks/batch.py pace` measures them.
_READ = 0.25, 0.12, 1.35  # a frame, from so many megapixels on, and a megapixel of each frame
_READ_MORE = 0.05  # what each frame beyond three adds to all of them, which are compared with each other
_FUSE = 0.15, 7.2  # a bracket, a megapixel
_WHOLE, _TILED = 0.52, 1.3  # megapixels above which the network works in tiles, and its time then
_MERGE = 9.0, 0.6  # a megapixel where there are more than three frames, and of each beyond
_WRITE = 0.35, 2.9  # a bracket, a megapixel
_PAGE = 0.3, 1.5, 0.08  # a page, a megapixel up to the first, which is what is shown, and there of each frame
_PAGE_ALL = 0.5, 0.03  # a megapixel, for the maps, and of each frame

_SIDES = ((96, 144), (288, 432))  # height and width; the first fuse of a process takes longer
_STOPS = 2.0
_HARD = 1.5  # times as long as those of photographs the frames of the trial are aligned: much moves in them
_TRIAL = 10.0  # seconds of brackets that count as much as the trial


class Pace(NamedTuple):
    """How many times as long as on one core each stage takes; by the ratio of stages brackets are weighed.

    ``report`` is 0 where none is written.
    """

    read: float = 1.0
    fuse: float = 1.0
    write: float = 1.0
    report: float = 0.0

    def stages(self, bracket: Bracket) -> dict[str, float]:
        """Seconds that each of :data:`STAGES` is expected to take."""
        return self.of(bracket.pixels / 1e6, len(bracket.shots))

    def of(self, megapixels: float, frames: int) -> dict[str, float]:
        """The same of so many frames of a size."""
        frame, until, pixel = _READ
        read = frames * (frame * min(1.0, megapixels / until) + pixel * megapixels)
        fuse = _FUSE[0] + _FUSE[1] * megapixels * (_TILED if megapixels > _WHOLE else 1)
        merge = megapixels * (_MERGE[0] + _MERGE[1] * (frames - 3)) if frames > 3 else 0.0
        return {
            "read": self.read * read * (1 + _READ_MORE * max(0, frames - 3)),
            "fuse": self.fuse * fuse,
            "merge": self.read * merge,  # which knows nothing of the network, or of a GPU
            "write": self.write * (_WRITE[0] + _WRITE[1] * megapixels),
            "report": self.report * _of_report(megapixels, frames),
        }

    def seconds(self, bracket: Bracket) -> float:
        """What a bracket is expected to take."""
        return sum(self.stages(bracket).values())


def _of_report(megapixels: float, frames: int) -> float:
    """Seconds of the page: each pixel of each frame is merged and averaged, and few of them are shown."""
    page, shown, shown_frame = _PAGE
    maps, frame = _PAGE_ALL
    return page + min(1.0, megapixels) * (shown + shown_frame * frames) + megapixels * (maps + frame * frames)


USUAL = Pace()
"""By its ratios brackets are weighed where nothing was measured."""


def measure(
    fuser: Fuser,
    begin: Callable[[str], None] = lambda description: None,
    now: Callable[[], float] | None = None,
) -> Pace | None:
    """Fuse small brackets that are made by code; None where the options suit none of them.

    How a stage grows with pixels and frames is known; the trial says how fast it is here. The difference
    of two small brackets, each of some seconds, would say little of one a hundred times as large.

    Args:
        fuser: what is going to fuse the brackets of the batch.
        begin: called with a description as each of :data:`TRIALS` begins.
        now: seconds of a clock; None = those of the wall.
    """
    from apnt.data.procedural import procedural_bracket

    clock, frames = Clock(now=now), 0
    with tempfile.TemporaryDirectory(prefix="apnt-trial-") as name:
        for n, (height, width) in enumerate(_SIDES):
            begin("Fusing small brackets, to tell the time")
            made = procedural_bracket(0, height, width, _STOPS)
            frames = len(made)
            paths = [Path(name, f"{n}_{k}.png") for k in range(frames)]
            for path, frame in zip(paths, made.ldr, strict=True):
                Image.fromarray(np.round(frame * 255).astype(np.uint8)).save(path)
            stops = [_STOPS * k for k in range(len(paths))]
            clock = Clock(now=now)
            try:
                fuser.fuse(paths, stops, fuser.settings.outputs(Path(name), f"{n}"), clock=clock)
            except InputError:  # as with a camera's curve, or --strict
                return None
            clock("")
    height, width = _SIDES[-1]
    usual = Pace(report=1.0).of(height * width / 1e6, frames)
    usual["read"] *= _HARD
    return Pace(*(clock.seconds.get(stage, 0.0) / usual[stage] for stage in Pace._fields))


TRIALS = len(_SIDES)
"""How many brackets :func:`measure` fuses."""


class _Running(NamedTuple):
    """A bracket that is being fused: since when, and what of it was left at a moment."""

    begun: float
    left: float
    at: float


class Left:
    """How long a batch still takes; what is asked counts down from one redraw to the next.

    Args:
        brackets: all that are to be fused.
        pace: measured before; None = ``usual``, of which the ratios count.
        workers: how many brackets are fused at a time.
        now: seconds of a clock.
        usual: by whose ratios brackets are weighed where nothing was measured.
    """

    def __init__(
        self,
        brackets: Sequence[Bracket],
        pace: Pace | None = None,
        workers: int = 1,
        now: Callable[[], float] = time.monotonic,
        usual: Pace = USUAL,
    ) -> None:
        self._now, self._pace, self._workers = now, pace or usual, workers
        self._known = pace is not None
        self._waiting = {id(bracket): self._pace.seconds(bracket) for bracket in brackets}
        self._running: dict[int, _Running] = {}
        # A trial counts as some work that has taken what was expected.
        self._expected = self._taken = _TRIAL if self._known else 0.0

    def begun(self, bracket: Bracket) -> None:
        """Work on a bracket begins, perhaps again."""
        seconds = self._pace.seconds(bracket) * self._rate()
        self._waiting.pop(id(bracket), None)
        self._running[id(bracket)] = _Running(self._now(), seconds, self._now())

    def reached(
        self, bracket: Bracket, stage: str, left: float | None = None, done: float | None = 0.0
    ) -> float:
        """A bracket is at a stage.

        Args:
            bracket: that has begun.
            stage: one of :data:`STAGES`.
            left: seconds that the stage still takes, where that is known.
            done: share of the stage that is done, else; None = nothing new is known.

        Returns:
            The share of the bracket that is done.
        """
        stages, rate, now = self._pace.stages(bracket), self._rate(), self._now()
        begun, known, at = self._running[id(bracket)]
        if left is None and done is None:
            left = max(0.0, known - (now - at))
        else:
            left = stages[stage] * rate * (1 - (done or 0.0)) if left is None else left
            left += sum(stages[later] for later in STAGES[STAGES.index(stage) + 1 :]) * rate
            self._running[id(bracket)] = _Running(begun, left, now)
        spent = now - begun
        return spent / (spent + left) if spent + left > 0 else 0.0

    def ended(self, bracket: Bracket, failed: bool = False) -> float:
        """A bracket is done, or has failed, which says nothing of how long the others take.

        Returns:
            Seconds that it took.
        """
        self._waiting.pop(id(bracket), None)  # what fails early has not begun
        running = self._running.pop(id(bracket), None)
        taken = 0.0 if running is None else self._now() - running.begun
        if not failed:
            self._expected += self._pace.seconds(bracket)
            self._taken += taken
            self._known = True
        return taken

    def seconds(self) -> float | None:
        """What is left; None where nothing is known yet, or the last bracket takes longer than expected."""
        if not self._known:
            return None
        now = self._now()
        waiting = sum(list(self._waiting.values())) * self._rate()
        running = [each.left - (now - each.at) for each in list(self._running.values())]
        if running and not waiting and max(running) <= 0:
            return None
        left = [max(0.0, each) for each in running]
        # Those that work now cannot share what is left of one bracket.
        return max([(waiting + sum(left)) / self._workers, *left])

    def sentence(self) -> str | None:
        """``"3.4 min left"``; None where that is not known."""
        seconds = self.seconds()
        return None if seconds is None else f"{duration(seconds)} left"

    def _rate(self) -> float:
        """How many times as long as expected brackets take."""
        return self._taken / self._expected if self._expected else 1.0
