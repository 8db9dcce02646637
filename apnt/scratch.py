"""Large arrays that lie in files without names, so that what is not in use need not lie in memory."""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from numpy.typing import DTypeLike

from apnt import budget
from apnt.memory import give_back
from apnt.strips import strips

_SMALLEST = 32 << 20  # bytes; what is smaller is not worth a file
_READ = 32 << 20  # bytes of an array that come into memory at once, where only some of it is read
_PAUSE = 0.01  # seconds between two looks at the memory
HELD_AT_MOST = 128 << 20
"""Bytes of files in memory, about: they come back from the system's cache fast."""
_LOCK = threading.Lock()
_HELD: list[weakref.ref[mmap.mmap]] = []


_LIMIT: ContextVar[int | None] = ContextVar("limit", default=None)
"""Bytes that the process should take, in this thread; None where nothing is limited."""


class NoRoom(OSError):
    """No place for an array on the disk, in a sentence."""


@contextmanager
def within(memory: int | None) -> Iterator[None]:
    """Have arrays of :func:`empty` lie in files in the block, of which little stays in memory.

    A file's pages come back by themselves where they are read. The files have no names: they are gone when
    the arrays are, or the process is, however it ends.

    Args:
        memory: bytes that this process should take at most; None leaves arrays in memory.
    """
    if memory is None:
        yield
        return
    before = _LIMIT.set(memory)
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(stop,), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
        _LIMIT.reset(before)


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """An array of any content, in a file within :func:`within`, else in memory.

    Raises:
        NoRoom: the disk is full.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if not limited() or size < _SMALLEST:
        return np.empty(shape, dtype)
    folder = os.environ.get("TMPDIR") or ("/var/tmp" if os.path.isdir("/var/tmp") else tempfile.gettempdir())
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            reserve(file.fileno(), size)
        except OSError as error:
            room = f"{folder} must have {budget.shown(size)} of room for frames that do not fit into memory"
            raise NoRoom(f"{room} ({error.strerror}): name another folder in TMPDIR") from error
        mapped = mmap.mmap(file.fileno(), size)
    _HELD.append(weakref.ref(mapped))
    return np.frombuffer(mapped, dtype).reshape(shape)


def reserve(file: int, size: int) -> None:
    """Give a file its size on the disk, so that a full one is an error now and not a signal later."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.ftruncate(file, size)


def room() -> int | None:
    """Bytes that the process may still take, beside files; None where nothing is limited."""
    limit = _LIMIT.get()
    return None if limit is None else max(0, limit - HELD_AT_MOST - held())


def held() -> int:
    """Bytes that the process takes when it begins what comes next: what cannot be let go."""
    let_go()
    give_back()
    return budget.resident()


def check_room(size: int) -> None:
    """See that a piece of work of so many bytes can be done.

    Raises:
        InputError: it takes more than the budget leaves; it names the smallest budget that does not.
    """
    limit = _LIMIT.get()
    if limit is not None and (needed := held() + HELD_AT_MOST + size) > limit:
        raise budget.too_small(limit, needed, "raise it with --memory, or scale the photographs down")


def at_once(most: int, size: int) -> int:
    """How many pieces of work of so many bytes each can be done at once: at least one, at most ``most``."""
    left = room()
    return most if left is None else max(1, min(most, left // size))


def limited() -> bool:
    """Whether arrays lie in files now."""
    return _LIMIT.get() is not None


def filled(shape: tuple[int, ...], value: object, dtype: DTypeLike) -> np.ndarray:
    """An array of one value, as :func:`empty` makes it."""
    array = empty(shape, dtype)
    array[...] = value
    return array


def by_strips(
    array: np.ndarray, function: Callable[[np.ndarray], np.ndarray], dtype: DTypeLike = np.float32
) -> np.ndarray:
    """What a function makes of an array, a strip at a time: of its shape, as :func:`empty` makes it."""
    out = empty(array.shape, dtype)
    for rows in strips(len(array)):
        out[rows] = function(array[rows])
    return out


def every(array: np.ndarray, step: int) -> np.ndarray:
    """``array[::step, ::step]``, copied by strips: of what is read, megabytes around come into memory."""
    out = np.empty((-(-len(array) // step), -(-array.shape[1] // step), *array.shape[2:]), array.dtype)
    for rows in strips(len(out), max(1, _READ // (step * array[:1].nbytes))):
        out[rows] = array[rows.start * step : rows.stop * step : step, ::step]
        let_go()
    return out


def let_go() -> None:
    """Have all files leave memory; what was written stays in them."""
    with _LOCK:  # the watcher does it, too
        for held in list(_HELD):
            mapped = held()
            if mapped is None:
                _HELD.remove(held)
            else:
                mapped.madvise(mmap.MADV_DONTNEED)


def _watch(stop: threading.Event) -> None:
    """Let go where files have grown in memory: what they take is then no part of what is planned."""
    size = budget.resident if budget.mapped() is None else budget.mapped
    left = size() or 0
    while not stop.wait(_PAUSE):
        if (size() or 0) > left + HELD_AT_MOST:
            let_go()
            left = size() or 0
