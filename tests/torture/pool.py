"""Cases run in forked workers with a limit of memory and of time: one that dies or hangs is one fault."""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from results import Row

HANG = 20.0  # seconds
MEMORY = 3 << 30  # bytes beyond what the worker begins with
BATCH = 2000  # cases a worker runs before it is replaced

Case = Callable[[int, Path], str | None]
"""Runs the case of a number, in a folder of its own; returns what is wrong, or None."""


def run(row: Row, case: Case, count: int, first: int = 0, memory: int = MEMORY) -> None:
    """Run ``count`` cases one after the other, and note what is wrong in ``row``."""
    with tempfile.TemporaryDirectory(prefix="torture-", dir=_fast()) as folder:
        at, last = first, first + count
        while at < last:
            at = _worker(row, case, at, min(last, at + BATCH), Path(folder), memory)
    row.tries += count


def _worker(row: Row, case: Case, first: int, last: int, folder: Path, memory: int) -> int:
    """Run cases in one worker; returns the number of the next case."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(case, first, last, folder, memory, writing)
    os.close(writing)
    at, buffer = first, b""
    try:
        while at < last:
            ready, _, _ = select.select([reading], [], [], HANG)
            chunk = os.read(reading, 1 << 16) if ready else b""
            if not chunk:
                os.kill(pid, signal.SIGKILL) if not ready else None
                status = os.waitpid(pid, 0)[1]
                pid = 0
                how = f"no answer in {HANG:.0f} s" if not ready else _ended(status)
                row.fault(f"case {at}: {how}: {_tail(folder / 'stderr')}")
                return at + 1
            buffer += chunk
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                if line:
                    row.fault(f"case {at}: {line.decode(errors='replace')}")
                at += 1
        return at
    finally:
        os.close(reading)
        if pid:
            os.waitpid(pid, 0)
        noise = folder / "stdout"
        if noise.exists() and noise.stat().st_size:
            row.fault(f"cases {first} to {at}: printed on stdout: {_tail(noise)}")


def _child(case: Case, first: int, last: int, folder: Path, memory: int, writing: int) -> None:
    code = 1
    try:
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        with open("/proc/self/statm") as file:
            begun = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (begun + memory, begun + memory))
        for number in range(first, last):
            try:
                wrong = case(number, folder)
            except BaseException:
                wrong = traceback.format_exc()[-300:]
            os.write(writing, (" ".join((wrong or "").split()) + "\n").encode(errors="replace"))
        code = 0
    finally:
        sys.stdout.flush()
        os._exit(code)


def _ended(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended with {os.WEXITSTATUS(status)}"


def _tail(path: Path) -> str:
    return path.read_bytes()[-200:].decode(errors="replace") if path.exists() else ""


def _fast() -> str | None:
    """A folder in memory, where there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
