"""One bracket after the other, with one network that is loaded once."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

from apnt import scratch
from apnt.batch.settings import Settings
from apnt.doing import Watcher, told
from apnt.io.exif import IN_GROUPS, asking
from apnt.methods import Options, check_method, load_method
from apnt.methods.registry import Watch
from apnt.prepare.options import Options as Preparation
from apnt.run import Clock, Outputs, fuse_into


class FuseWatch(Watch, Watcher, Protocol):
    """Who is told how far one bracket is."""

    def read(self, done: int, total: int) -> None:
        """So many of so many photographs are read."""


class _Forwarding:
    """What a method is loaded with, once, and hands on to who watches the bracket that is fused now."""

    watch: FuseWatch | None = None

    def planned(self, sentence: str, tiles: int, seconds: float) -> None:
        if self.watch is not None:
            self.watch.planned(sentence, tiles, seconds)

    def tile(self) -> None:
        if self.watch is not None:
            self.watch.tile()

    def read(self, done: int, total: int) -> None:
        if self.watch is not None:
            self.watch.read(done, total)


class Fuser:
    """What stays in a process from bracket to bracket: the method with its weights.

    Args:
        settings: of the batch, checked.

    Raises:
        InputError: weights or a device that cannot be used here.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._display = check_method(settings.method).kind == "display"
        self._watch = _Forwarding()
        options = Options(
            settings.weights, settings.device, settings.precision, None, settings.memory, self._watch
        )
        self._method = load_method(settings.method, options)

    def fuse(
        self,
        paths: Sequence[Path],
        stops: Sequence[float] | None,
        outputs: Outputs,
        limit: int | None = None,
        clock: Clock | None = None,
        watch: FuseWatch | None = None,
    ) -> dict[str, Any]:
        """Fuse one bracket and write it.

        Args:
            paths: its frames.
            stops: their exposures; None = by EXIF, or the pixels.
            outputs: of :meth:`apnt.batch.settings.Settings.outputs`; each is replaced as a whole.
            limit: bytes beyond which frames lie in files; None = they lie in memory.
            clock: see :func:`apnt.run.fuse_into`.
            watch: told of photographs that are read, of tiles, and of what else is done.

        Returns:
            What is worth a line in the journal: seconds, size, the report, and a hint at where it ran.

        Raises:
            Exception: whatever is wrong with this bracket.
        """
        begun = time.monotonic()
        settings = self.settings
        options = Preparation(
            settings.curve,
            settings.align,  # type: ignore[arg-type]  # checked with the other settings
            strict=settings.strict,
            trust_exposures=settings.trust_exposures,
            rendered=self._display,
        )
        with scratch.within(limit), asking(IN_GROUPS), nullcontext() if watch is None else told(watch):
            self._watch.watch, read = watch, self._watch.read
            try:
                run = fuse_into(
                    paths,
                    lambda: self._method,
                    outputs,
                    options,
                    stops=stops,
                    clock=clock,
                    read=read,
                )
            finally:
                self._watch.watch = None
            prepared = run.prepared
        return {
            "seconds": round(time.monotonic() - begun, 3),
            "size": list(prepared.bracket.size[::-1]),
            **dataclasses.asdict(prepared.report),
            "process": os.getpid(),
        }
