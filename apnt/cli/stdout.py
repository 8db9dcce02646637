"""Standard output whose errors say that they are its own: a full disk behind ``>``."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


_NAME = "standard output"


class _Stdout(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            error.filename = _NAME
            raise


def name_stdout() -> None:
    """Have errors of ``sys.stdout`` bear its name, in the rest of this process."""
    out = sys.stdout
    if not isinstance(out, io.TextIOWrapper):  # there is none
        return
    out.flush()
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_Stdout(out.fileno(), "w", closefd=False)),
        encoding=out.encoding,
        errors=out.errors,
        line_buffering=out.line_buffering,
        write_through=out.write_through,
    )


def give_up(error: Exception) -> None:
    """After an error of standard output, have the rest go nowhere: Python would try again as it ends."""
    if getattr(error, "filename", None) != _NAME:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
