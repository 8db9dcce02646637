"""What a part of the bench tried and found, and the table of all of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Row:
    """One line of the table.

    Attributes:
        what: was tried.
        tries: how often.
        faults: a sentence each; the table holds their number.
        skipped: why it could not be tried here.
        seconds: that it took.
    """

    what: str
    tries: int = 0
    faults: list[str] = field(default_factory=list)
    skipped: str = ""
    seconds: float = 0.0

    def fault(self, text: str) -> None:
        """Note a fault, on one line."""
        self.faults.append(" ".join(text.split())[:400])


@contextmanager
def timed(row: Row) -> Iterator[Row]:
    """Measure the row; an exception of the bench itself is a fault of it."""
    begun = time.monotonic()
    try:
        yield row
    except Exception as error:
        row.fault(f"the bench itself: {type(error).__name__}: {error}")
    row.seconds += time.monotonic() - begun


def as_markdown(rows: list[Row]) -> str:
    """The table: what, tries, faults."""
    lines = ["| what | tries | faults |", "| --- | ---: | ---: |"]
    for row in rows:
        tries = row.skipped or f"{row.tries:,}"
        lines.append(f"| {row.what} | {tries} | {'-' if row.skipped else len(row.faults)} |")
    return "\n".join(lines) + "\n"


def descriptors() -> int:
    """Open files of this process."""
    return len(os.listdir("/proc/self/fd"))


def resident() -> float:
    """Memory of this process, MiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
