"""Output files and folders: checked before the work, replaced as a whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from apnt.errors import InputError
from apnt.io.inputs import kind

PREFIX = ".apnt-"
"""How the names of unfinished files begin."""

_LEFT = 1 << 20  # bytes below which a disk counts as full: writers stop at their last block

_UNFINISHED: dict[Path, int] = {}
"""Files that are being written -> the process that writes them."""


def check_output(
    path: str | Path,
    suffixes: Sequence[str],
    inputs: Sequence[str | Path] = (),
    *,
    name: str = "output",
    force: bool = True,
) -> Path:
    """Check, before any work, that a file can be written, and remove what killed processes left beside it.

    Args:
        path: where the file will be written.
        suffixes: the extensions that name a format, such as ``(".hdr", ".exr")``.
        inputs: files that must not be overwritten.
        name: what error messages call the path.
        force: an existing file will be replaced; False refuses it.

    Returns:
        The path.

    Raises:
        InputError: a directory, an unknown extension, a folder that is missing or not writable, or an input.
    """
    path = Path(path)
    mode = None
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        pass  # a new file, or a folder that is none: told below
    except OSError as error:  # a name too long, a folder that may not be entered
        raise InputError(
            f"{name} must be writable, and {path} is not ({error.strerror}): choose another place"
        ) from error
    if path.is_dir():
        raise InputError(f"{name} must be a file, and {path} is a directory: add a file name")
    if mode is not None and not stat.S_ISREG(mode):
        raise InputError(f"{name} must be a file, and {path} is {kind(mode)}: choose another name")
    if path.suffix.lower() not in suffixes:
        raise InputError(f"{name} must end in {', '.join(suffixes)}, got {path}")
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        reason = "is a file" if folder.exists() else "does not exist: create it first"
        raise InputError(f"{name} must lie in a folder, and {folder} {reason}")
    if not os.access(folder, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise InputError(f"{name} must be writable, and {path} is not: choose another place")
    remove_stale(folder)
    for source in inputs:
        if path.exists() and Path(source).exists() and path.samefile(source):
            raise InputError(f"{name} must not overwrite an input, and {path} is one: choose another name")
    check_new(path, name=name, force=force)
    return path


def check_new(path: str | Path, *, name: str = "output", force: bool = True) -> None:
    """Check that a file which would be lost may be replaced.

    Args:
        path: where a file will be written.
        name: what error messages call the path.
        force: it may.

    Raises:
        InputError: the file exists. /dev/null and pipes hold nothing that could be lost.
    """
    if not force and Path(path).is_file():
        raise InputError(f"{name} must be a new file, and {path} exists: replace it with --force")


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; it takes the place of ``path`` when the block succeeds.

    The new file keeps the mode of an older one, and its owner where the system lets it. When the block
    raises, the temporary file is removed and an older file at ``path`` stays as it was. What a killed process
    has left in the folder is removed first.
    """
    target = Path(os.path.realpath(path))  # through a link, so that the link stays one
    with scratch_path(target) as temporary:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        _keep_mode(temporary, target)
        os.replace(temporary, target)


@contextmanager
def scratch_path(path: str | Path) -> Iterator[Path]:
    """Give a new empty file beside ``path``, of its suffix, that is gone when the block ends.

    Where the process is killed meanwhile, it goes when apnt next writes into the folder.
    """
    target = Path(path)
    remove_stale(target.parent)
    temporary, lock = target.with_name(f"{PREFIX}{secrets.token_hex(8)}{target.suffix}"), None
    _UNFINISHED[temporary] = os.getpid()  # before it is made: a signal may come at any moment
    try:
        lock = _locked(temporary)
        yield temporary
    except OSError as error:
        known = _explained(error, temporary, target)
        if known is error:
            raise
        raise known from error
    finally:
        temporary.unlink(missing_ok=True)
        _UNFINISHED.pop(temporary, None)
        if lock is not None:
            os.close(lock)


@contextmanager
def after(written: Path) -> Iterator[None]:
    """Have an error of the disk in the block say that a file was written before, and is whole."""
    try:
        yield
    except OSError as error:
        if error.strerror is not None:
            error.strerror += f", after {written} was written whole"
        raise


def _explained(error: OSError, temporary: Path, target: Path) -> OSError:
    """An error with the name that the user knows, and its cause where it only says what is missing."""
    if type(error) is OSError and error.errno is None:  # of writers that count bytes, and tell no more
        disk = os.statvfs(target.parent)
        if disk.f_bavail * disk.f_frsize < _LEFT:
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        text = str(error).replace(str(temporary), str(target))
        return OSError(errno.EIO, f"it could not be written whole, {text}", str(target))
    if error.errno is not None and error.filename in (None, str(temporary)):
        error.filename = str(target)  # the system says no more than that the disk is full
    return error


def remove_unfinished() -> None:
    """Remove what this process has begun to write and not finished: for a process that is about to end.

    A child that was forked meanwhile leaves the files of its parent.
    """
    for path, process in tuple(_UNFINISHED.items()):
        if process == os.getpid():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def remove_stale(folder: Path) -> None:
    """Remove the unfinished files of processes that have ended, which no longer hold their locks."""
    for path in folder.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # gone, held by a living process, or somebody else's
            handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(handle)


def _locked(temporary: Path) -> int:
    """Make an empty file; its descriptor, which holds a lock while this process lives."""
    while True:
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        with contextlib.suppress(OSError):  # some file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            if os.fstat(handle).st_ino == os.stat(temporary).st_ino:
                return handle
        except FileNotFoundError:  # another process took it for stale before it was locked
            pass
        os.close(handle)


def _keep_mode(temporary: Path, target: Path) -> None:
    try:
        old = os.stat(target)
    except OSError:
        return
    with contextlib.suppress(OSError):  # only the superuser gives files away
        os.chown(temporary, old.st_uid, old.st_gid)
    with contextlib.suppress(OSError):
        os.chmod(temporary, stat.S_IMODE(old.st_mode))


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file; an older one is replaced whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8; an older one is replaced whole or not at all.

    Bytes of names that are no text are written out, as ``\\udcff``.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def make_folder(path: str | Path, *, name: str = "out") -> Path:
    """Make a folder and those above it, where they are missing.

    Args:
        path: the folder.
        name: what error messages call it.

    Returns:
        The path.

    Raises:
        InputError: a file has this name, or that of a folder above.
        OSError: the disk refused.
    """
    path = Path(path)
    for place in (path, *path.parents):
        if place.exists() and not place.is_dir():
            raise InputError(f"{name} must be a folder, and {place} is a file: choose another name")
    path.mkdir(parents=True, exist_ok=True)
    return path
