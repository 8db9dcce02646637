"""One fuse, from the photographs to the files that are written; what a report is about."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from apnt import defaults
from apnt.io import files
from apnt.io.folder import find_photographs
from apnt.outputs import Picture, write_outputs
from apnt.prepare.options import Options as Preparation
from apnt.prepare.pipeline import Prepared, prepare

if TYPE_CHECKING:
    from apnt._fuse import Fused
    from apnt.methods import Method

REPORT_SUFFIXES = (".html",)
"""What reports are written to."""


@dataclass(frozen=True)
class Look:
    """How the picture is made, see :func:`apnt.render`."""

    look: str = defaults.LOOK
    exposure: float = 0.0
    white_balance: str = defaults.WHITE_BALANCE


@dataclass(frozen=True, eq=False)
class Run:
    """One fuse.

    Attributes:
        name: of the result, such as the output's file.
        prepared: from :func:`apnt.prepare.pipeline.prepare`; its frames are shown.
        fused: from :func:`apnt._fuse.fuse_bracket`, with maps where the method has them.
        method: what fused it.
        kind: of the method, "radiance" or "display".
        seconds: what was done -> how long it took.
        look: of the picture.
        chosen: the reference frame was chosen, and not named by the user.
    """

    name: str
    prepared: Prepared
    fused: Fused
    method: Method
    kind: str = "radiance"
    seconds: Mapping[str, float] = field(default_factory=dict)
    look: Look = Look()
    chosen: bool = True


class Clock:
    """Called with a step's name as it begins; passes it on, and keeps how long each step took.

    Args:
        begin: called with the name too.
        now: seconds of a clock; None = those of the wall.

    Attributes:
        seconds: of the steps that have ended.
    """

    def __init__(
        self, begin: Callable[[str], None] = lambda step: None, now: Callable[[], float] | None = None
    ) -> None:
        self.seconds: dict[str, float] = {}
        self._begin = begin
        self._now = now or time.perf_counter
        self._step, self._since = "", self._now()

    def __call__(self, step: str) -> None:
        now = self._now()
        if self._step:
            self.seconds[self._step] = self.seconds.get(self._step, 0.0) + now - self._since
        self._step, self._since = step, now
        self._begin(step)


@dataclass(frozen=True)
class Outputs:
    """What is written of one fuse, all of it checked.

    Attributes:
        radiance: the HDR image.
        picture: of it; its path may be None.
        metadata: what is kept of the reference frame, one of :data:`apnt.io.kept.POLICIES`.
        report: the page; None = none.
    """

    radiance: Path
    picture: Picture
    metadata: str = "all"
    report: Path | None = None

    @property
    def files(self) -> list[Path]:
        """All of them, in the order in which they are written."""
        return [path for path in (self.radiance, self.picture.path, self.report) if path is not None]


def fuse_into(
    images: Sequence[str | Path],
    load: Callable[[], Method],
    outputs: Outputs,
    options: Preparation,
    *,
    times: Sequence[float] | None = None,
    stops: Sequence[float] | None = None,
    clock: Clock | None = None,
    maps: bool = False,
    read: Callable[[int, int], None] = lambda done, total: None,
    usable: Callable[[], object] = lambda: None,
) -> Run:
    """Fuse photographs into files: what ``apnt fuse``, ``apnt batch`` and ``apnt ui`` do with each bracket.

    Args:
        images: files of one bracket, or a folder of them.
        load: called after the photographs were read, for the method.
        outputs: what is written; files that exist are replaced.
        options, times, stops: see :func:`apnt.prepare.pipeline.prepare`.
        clock: called with ``"read"``, ``"weights"``, ``"fuse"``, ``"write"`` and, where there is one,
            ``"report"`` as these steps begin.
        maps: keep what the network saw; a report needs it.
        read, usable: see :func:`apnt.prepare.pipeline.prepare`.

    Raises:
        InputError: photographs or exposures that cannot be used.
        OSError: the disk refused.
    """
    clock = clock or Clock()
    clock("read")
    paths = find_photographs(images).paths
    prepared = prepare(images, times, stops, options, read, usable)
    clock("weights")
    method = load()
    from apnt._fuse import fuse_bracket  # it needs PyTorch, which may be imported while photographs are read

    clock("fuse")
    fused = fuse_bracket(prepared.bracket, method, maps=maps or outputs.report is not None)
    clock("write")
    moment = paths[prepared.report.reference]
    write_outputs(
        outputs.radiance,
        fused.image,
        prepared,
        moment,
        outputs.picture,
        outputs.metadata,
        display=method.kind == "display",
        strict=options.strict,
    )
    shown = outputs.picture
    look = Look(shown.look, shown.exposure, shown.white_balance)
    made = Run(
        outputs.radiance.name,
        prepared,
        fused,
        method,
        method.kind,
        clock.seconds,
        look,
        chosen=options.reference is None,
    )
    if outputs.report is not None:
        clock("report")
        from apnt.report import write_report  # pages are not needed without one

        with files.after(outputs.radiance):
            write_report(outputs.report, made)
    return made
