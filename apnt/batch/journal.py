"""What was done in a folder of results: one line of JSON each, written as it happens."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apnt.errors import InputError
from apnt.io.inputs import check_regular

JOURNAL = "batch.jsonl"


@dataclass
class State:
    """What the journal says of one bracket, by its key.

    Attributes:
        begun: how often it was begun and came to no end, as where the process was killed.
        done: the last line that says that it was done; None = it was not.
        written: outputs that a begun run may have left.
    """

    begun: int = 0
    done: dict[str, Any] | None = None
    written: set[str] = field(default_factory=set)


class Journal:
    """The journal of a folder, held by one process at a time; see :func:`opened`."""

    def __init__(self, folder: Path, handle: int) -> None:
        self.folder = folder
        self._handle = handle
        self._states: dict[str, State] = {}
        self._makers: dict[str, dict[str, Any]] = {}
        for line in _lines(folder / JOURNAL):
            self._take(line)

    def state(self, key: str) -> State:
        """What is known of a bracket."""
        return self._states.get(key, State())

    def is_done(self, key: str, outputs: Sequence[Path]) -> bool:
        """Whether a bracket was done, and left all of these, which are there, of the same size."""
        done = self.state(key).done
        return done is not None and all(self._is_ours(done, name) for name in self.names(outputs))

    def may_replace(self, key: str, output: Path) -> bool:
        """Whether a file was left by this very bracket, done or not."""
        state, (name,) = self.state(key), self.names([output])
        return name in state.written or (state.done is not None and self._is_ours(state.done, name))

    def maker(self, output: Path) -> dict[str, Any] | None:
        """The last line on a bracket that was begun and writes this file; None where there is none."""
        (name,) = self.names([output])
        return self._makers.get(name)

    def names(self, outputs: Sequence[Path]) -> list[str]:
        """Files by their names in the folder."""
        return [str(path.relative_to(self.folder)) for path in outputs]

    def write(self, event: str, name: str, key: str, **what: Any) -> None:
        """Add a line; it is on the disk when this returns."""
        line = {"event": event, "bracket": name, "key": key, **what}
        os.write(self._handle, (json.dumps(line) + "\n").encode())
        os.fsync(self._handle)
        self._take(line)

    def sizes(self, outputs: Sequence[Path]) -> dict[str, int]:
        """Sizes of files in bytes, by their names in the folder."""
        return {name: (self.folder / name).stat().st_size for name in self.names(outputs)}

    def _is_ours(self, done: dict[str, Any], name: str) -> bool:
        try:
            return (self.folder / name).stat().st_size == done["outputs"].get(name)
        except OSError:
            return False

    def _take(self, line: dict[str, Any]) -> None:
        state = self._states.setdefault(line["key"], State())
        if line["event"] == "begun":
            state.begun += 1
            state.written |= set(line["outputs"])
            self._makers.update(dict.fromkeys(line["outputs"], line))
        elif line["event"] == "done":
            self._states[line["key"]] = State(done=line)
        elif line["event"] == "failed":
            state.begun = 0


def looked_at(folder: Path | None) -> Journal | None:
    """The journal of a folder, to read; None where there is none."""
    return Journal(folder, -1) if folder is not None and (folder / JOURNAL).is_file() else None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """What can be read; a process that was killed may have left half a line."""
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            line = json.loads(text)
            if isinstance(line, dict) and {"event", "bracket", "key"} <= line.keys():
                yield line


@contextmanager
def opened(folder: Path) -> Iterator[Journal]:
    """Open the journal of a folder, which exists; it is made where it is missing.

    Raises:
        InputError: another process works on the folder, or the name is taken by something else.
    """
    path = folder / JOURNAL
    if path.exists():
        check_regular(path, "the journal")
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        raise InputError(f"out must be writable, and {path} is not ({error.strerror})") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"out must be used by one batch at a time, and another works on {folder}"
            ) from None
        except OSError:
            pass  # some file systems have no locks
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            os.write(handle, b"\n")  # half a line of a process that was killed
        yield Journal(folder, handle)
    finally:
        os.close(handle)
