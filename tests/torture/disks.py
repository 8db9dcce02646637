"""Disks that are full or read-only, and two writers of one file: the old or the new, never half."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import commands
from results import Row, timed

_SUFFIXES = (".exr", ".hdr", ".tif")
_READ_ONLY = 1  # MS_RDONLY
_OLD = b"old"


def disks(total: int, seed: int) -> list[Row]:
    """A small disk where one can be mounted, and in any case a limit on the size of files."""
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        folder = Path(name)
        commands.make_inputs(folder)
        rows = [_limited(folder, total // 2, seed), _two_writers(folder, max(1, total // 4))]
        return [*rows, _full(folder, max(1, total // 8), seed), _read_only(folder, max(1, total // 8))]


def _expect(row: Row, what: str, code: int | None, log: Path, output: Path) -> None:
    """After a write that cannot succeed: a sentence, exit code 1 (2 where it was foreseen)."""
    text = log.read_text(errors="replace")
    preview = output.with_name(f"{output.stem}_preview.jpg")
    if code == 0 and output.read_bytes() != _OLD and preview.read_bytes() != _OLD:
        return  # there was room for all
    if code not in (1, 2):
        row.fault(f"{what}: exit code {code}: {text[-200:]}")
    if "Traceback" in text or text.count("Error: ") != 1:
        row.fault(f"{what}: no sentence: {text[-300:]}")
    if commands.leftovers(output.parent):
        row.fault(f"{what}: left {commands.leftovers(output.parent)}")


def _limited(folder: Path, count: int, seed: int) -> Row:
    row = Row("writes that end early (limit on the size of a file)")
    out, log = folder / "limited", folder / "log"
    out.mkdir()
    with timed(row):
        for turn in range(count):
            dice = random.Random(f"{seed} limit {turn}")
            output = out / f"a{dice.choice(_SUFFIXES)}"
            output.write_bytes(_OLD)
            (out / "a_preview.jpg").write_bytes(_OLD)
            size = int(10 ** dice.uniform(0, 5))
            # The child's log is limited as well: its sentence is longer than the smallest files.
            limit = commands.limit_file_size(max(size, 1024))
            code = commands.wait(commands.start(commands.fuse(folder, output), log, limit))
            row.tries += 1
            _expect(row, f"limit {size}, {output.suffix}", code, log, output)
            if code and output.read_bytes() != _OLD and not _whole(output):
                row.fault(f"limit {size}: {output.name} is torn")
    return row


def _whole(path: Path) -> bool:
    if path.suffix == ".tif":
        import tifffile

        return tifffile.imread(path).shape == (64, 80, 3)
    from apnt.io.radiance import read_radiance

    return read_radiance(path).shape == (64, 80, 3)


def _two_writers(folder: Path, count: int) -> Row:
    row = Row("two writers of one file")
    out = folder / "two"
    out.mkdir()
    with timed(row):
        for turn in range(count):
            output = out / f"a{_SUFFIXES[turn % 3]}"
            pids = [commands.start(commands.fuse(folder, output), folder / f"log{n}") for n in range(2)]
            codes = [commands.wait(pid) for pid in pids]
            row.tries += 1
            if codes != [0, 0]:
                row.fault(f"exit codes {codes}: {(folder / 'log0').read_text()[-200:]}")
            elif not _whole(output) or commands.leftovers(out):
                row.fault(f"{output.name} is torn, or {commands.leftovers(out)} is left")
    return row


@contextlib.contextmanager
def _tmpfs(folder: Path, options: str) -> Iterator[Path]:
    """A small disk in memory; raises OSError where this user may not mount one."""
    folder.mkdir(exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    try:
        yield folder
    finally:
        libc.umount2(os.fsencode(folder), 2)


def _full(folder: Path, count: int, seed: int) -> Row:
    row = Row("full disks (a small tmpfs)")
    try:
        with timed(row):
            for turn in range(count):
                dice = random.Random(f"{seed} full {turn}")
                with _tmpfs(folder / "full", f"size={4 * dice.randint(2, 20)}k") as disk:
                    output = disk / f"a{dice.choice(_SUFFIXES)}"
                    output.write_bytes(_OLD)
                    (disk / "a_preview.jpg").write_bytes(_OLD)
                    code = commands.wait(commands.start(commands.fuse(folder, output), folder / "log"))
                    row.tries += 1
                    _expect(row, f"full {turn}, {output.suffix}", code, folder / "log", output)
                    if output.read_bytes() != _OLD and not _whole(output):
                        row.fault(f"full {turn}: {output.name} is torn")
    finally:
        _not_mounted(row)
    return row


def _read_only(folder: Path, count: int) -> Row:
    row = Row("read-only disks (a small tmpfs)")
    with timed(row), _tmpfs(folder / "read", "size=64k") as disk:
        for suffix in _SUFFIXES:
            (disk / f"a{suffix}").write_bytes(_OLD)
        (disk / "a_preview.jpg").write_bytes(_OLD)
        libc = ctypes.CDLL(None)
        libc.mount(None, os.fsencode(disk), None, 32 | _READ_ONLY, None)  # MS_REMOUNT
        for turn in range(count):
            output = disk / f"a{_SUFFIXES[turn % 3]}"
            code = commands.wait(commands.start(commands.fuse(folder, output), folder / "log"))
            row.tries += 1
            _expect(row, f"read-only, {output.suffix}", code, folder / "log", output)
            if code == 0:
                row.fault(f"{output.name}: exit code 0")
    _not_mounted(row)
    return row


def _not_mounted(row: Row) -> None:
    if any("mount" in fault and "Errno" in fault for fault in row.faults):
        row.faults.clear()
        row.skipped = "no right to mount"
