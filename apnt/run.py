"""One fuse, from the photographs to the image: what a report is about."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apnt._fuse import Fused
    from apnt.methods import Method
    from apnt.prepare.pipeline import Prepared

REPORT_SUFFIXES = (".html",)
"""What reports are written to."""


@dataclass(frozen=True)
class Look:
    """How the picture is made, see :func:`apnt.render`."""

    look: str = "local"
    exposure: float = 0.0
    white_balance: str = "as-shot"


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

    Attributes:
        seconds: of the steps that have ended.
    """

    def __init__(self, begin: Callable[[str], None] = lambda step: None) -> None:
        self.seconds: dict[str, float] = {}
        self._begin = begin
        self._step, self._since = "", time.perf_counter()

    def __call__(self, step: str) -> None:
        now = time.perf_counter()
        if self._step:
            self.seconds[self._step] = self.seconds.get(self._step, 0.0) + now - self._since
        self._step, self._since = step, now
        self._begin(step)
