"""How memory is asked for, and what is said where there is too little."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache


def ask_for_large_pages() -> None:
    """Have PyTorch take large pages, in this process before it first allocates, and in those it starts.

    Pictures take gigabytes of new memory, and handing it out page by page can take longer than the network. A
    user's own ``THP_MEM_ALLOC_ENABLE`` stays.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # of glibc's malloc.h
_MADV_HUGEPAGE = 14  # of Linux
_LARGE_PAGE = 2 << 20
_TRIM = 1 << 30  # bytes at the heap's end above which they are handed back
PLENTIFUL = 1.5
"""Times what is planned, from which on memory may lie idle."""
_keeps = False  # whether keep_freed was called
_keeps_all = False  # within keeping_all


def keep_freed() -> None:
    """Have the allocator keep pieces of up to 32 MB that are freed, for what asks next.

    By itself it starts with handing back what is above 128 kB, and the system makes and clears every page of
    the next one anew: hundreds of megabytes for a small picture. :func:`give_back` still returns all.
    """
    global _keeps
    _set(_MMAP_THRESHOLD, 32 << 20)  # the most that is allowed
    _set(_TRIM_THRESHOLD, _TRIM)
    _keeps = True


@contextmanager
def keeping_all(plentiful: bool, wanted: int = 0) -> Iterator[None]:
    """Have it keep larger pieces, too, where :func:`keep_freed` was asked for and memory is plentiful.

    Full-size features are larger, and their pages took a quarter to a third of the network's time. Between
    pieces of other sizes gaps are left: a fifth more memory.

    Args:
        plentiful: whether it is.
        wanted: bytes that are likely to be asked for, which then come in large pages.
    """
    global _keeps_all
    if not (plentiful and _keeps):
        yield
        return
    try:
        _set(_MMAP_MAX, 0)
        _set(_TRIM_THRESHOLD, -1)  # without end
        _keeps_all = True
        _reserve_large_pages(wanted)
        yield
    finally:
        _keeps_all = False
        _set(_MMAP_MAX, 1 << 16)  # what it begins with
        _set(_TRIM_THRESHOLD, _TRIM)
        give_back()


def _reserve_large_pages(size: int) -> None:
    """Have the end of the heap, so many bytes of addresses, be of large pages, which come when they are used.

    The heap's are small where it is not asked (``THP_MEM_ALLOC_ENABLE`` is for pieces beside it), and to make
    and clear them one by one is 5 to 10 % of the network's time.
    """
    libc = _libc()
    if libc is None or size < 2 * _LARGE_PAGE or not hasattr(libc, "mallopt") or not hasattr(libc, "madvise"):
        return
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    begin = libc.malloc(size)
    if begin is None:
        return
    first = -(-begin // _LARGE_PAGE) * _LARGE_PAGE
    libc.madvise(first, (begin + size - first) // _LARGE_PAGE * _LARGE_PAGE, _MADV_HUGEPAGE)  # or is refused
    libc.free(begin)


def _set(option: int, value: int) -> None:
    """``mallopt``, where the allocator has it."""
    mallopt = getattr(_libc(), "mallopt", None)  # of glibc
    if mallopt is not None:
        mallopt(option, value)


def one_thread_for_small_matrices() -> None:
    """Have NumPy's matrix products, of a few numbers each here, wait for no second thread.

    Works before NumPy is imported. A user's own ``OPENBLAS_NUM_THREADS`` stays.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def give_back() -> None:
    """Have the allocator return what is free to the system: pieces of it add up, tile after tile.

    Within :func:`keeping_all` it does not.
    """
    if _keeps_all:
        return
    trim = getattr(_libc(), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)


@cache
def _libc() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):
        return None


@contextmanager
def explained(what: str, advice: str) -> Iterator[None]:
    """Turn every kind of "no memory" into a MemoryError with a sentence: what asked, how much, the way out.

    Args:
        what: what the memory was for, such as a file's name.
        advice: the way out, such as ``"scale the photographs down"``.

    Raises:
        MemoryError: the block ran out of memory; one that has its sentence already passes.
    """
    try:
        yield
    except Exception as error:
        asked = _asked(error)
        if asked is None or isinstance(error, OutOfMemory):
            raise
        raise OutOfMemory(f"{what} needs more memory than there is ({asked}): {advice}") from error


SMALLER = "scale the photographs down, or run where there is more"
"""The way out where photographs are too large."""


class OutOfMemory(MemoryError):
    """No memory, in a sentence."""


def _asked(error: Exception) -> str | None:
    """How much was asked for, in the words of numpy, torch or OpenCV; None for another error."""
    text = " ".join(str(error).split())
    if not isinstance(error, MemoryError) and not _WORDS.search(text):
        return None
    found = _AMOUNT.search(text)
    return "by how much is not known" if found is None else f"{found[0]} at once"


_WORDS = re.compile(
    r"(can't|[Cc]annot) allocate|out of memory|not enough memory|Insufficient memory|failed to map segment"
    r"|start new thread|error return without exception set"  # what Python and its imports make of it
    r"|bad_alloc|could not (create|execute) a primitive$"  # C++, and oneDNN's code that is made at run time
)
_AMOUNT = re.compile(r"\d[\d.]* ?([KMGTPE]i?B|bytes)")
