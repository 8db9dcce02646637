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
from apnt.text import duration

if TYPE_CHECKING:
    from apnt.batch.job import Fuser

_FRAME = 0.25  # of the time a pixel takes in a bracket of three frames, what each frame more or less adds
_SIDES = ((96, 144), (96, 144), (288, 432))  # height and width; the first fuse of a process takes longer
_STOPS = 2.0


class Pace(NamedTuple):
    """Seconds of a bracket, whatever its size, and of a megapixel of three frames."""

    bracket: float
    megapixel: float

    def seconds(self, bracket: Bracket) -> float:
        """What a bracket is expected to take."""
        return self.bracket + self.megapixel * megapixels(bracket)


USUAL = Pace(0.3, 4.0)
"""Of 2 cores; by its ratio brackets are weighed where nothing was measured."""


def megapixels(bracket: Bracket) -> float:
    """Of a bracket of three frames that takes as long."""
    return bracket.pixels / 1e6 * (1 + _FRAME * (len(bracket.shots) - 3))


def measure(fuser: Fuser) -> Pace | None:
    """Fuse small brackets that are made by code; None where the options suit none of them.

    Args:
        fuser: what is going to fuse the brackets of the batch.
    """
    from apnt.data.procedural import procedural_bracket

    seconds = []
    with tempfile.TemporaryDirectory(prefix="apnt-trial-") as name:
        for n, (height, width) in enumerate(_SIDES):
            made = procedural_bracket(0, height, width, _STOPS)
            paths = [Path(name, f"{n}_{k}.png") for k in range(len(made))]
            for path, frame in zip(paths, made.ldr, strict=True):
                Image.fromarray(np.round(frame * 255).astype(np.uint8)).save(path)
            stops = [_STOPS * k for k in range(len(paths))]
            begun = time.perf_counter()
            try:
                fuser.fuse(paths, stops, *fuser.settings.outputs(Path(name), f"{n}"))
            except InputError:  # as with a camera's curve, or --strict
                return None
            seconds.append(time.perf_counter() - begun)
    small, large = (height * width / 1e6 for height, width in _SIDES[1:])
    slope = max(0.0, seconds[2] - seconds[1]) / (large - small)
    return Pace(max(0.0, seconds[1] - slope * small), slope)


class Left:
    """How long a batch still takes.

    Args:
        brackets: all that are to be fused.
        pace: measured before; None = what is usual, of which the ratios count.
        now: seconds of a clock.
    """

    def __init__(
        self, brackets: Sequence[Bracket], pace: Pace | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._now, self._begun = now, now()
        self._pace = pace or USUAL
        self._left = sum(map(self._pace.seconds, brackets))
        self._done, self._count = 0.0, 0

    def ended(self, bracket: Bracket) -> None:
        """A bracket is done, or has failed."""
        share = self._pace.seconds(bracket)
        self._done, self._left, self._count = self._done + share, self._left - share, self._count + 1

    def seconds(self) -> float:
        """What is left, if it goes on as it went, however many work at it; at least one bracket is done."""
        return max(0.0, self._left) * (self._now() - self._begun) / self._done

    def sentence(self) -> str:
        """``"2.1 s a bracket, 3.4 min left"``."""
        each = (self._now() - self._begun) / self._count
        return f"{each:.1f} s a bracket, {duration(self.seconds())} left"
