"""Input files: regular ones, for a pipe ends when somebody else decides, and a device never."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from apnt.errors import InputError

LARGEST_TEXT = 16 << 20
"""Bytes; a table of the longest response is smaller."""


def check_regular(path: str | Path, name: str | None = None) -> Path:
    """Check that a path leads to a regular file, before anything opens it.

    Args:
        path: the file; links are followed.
        name: what error messages call it; by default the path itself.

    Raises:
        InputError: it is missing, a folder, a pipe, a socket or a device, or may not be looked at.
    """
    mode = check_exists(path, name)
    if not stat.S_ISREG(mode):
        called, where = (name, f"{path}, which") if name else (path, "it")
        raise InputError(f"{called} must be a file, and {where} is {kind(mode)}: copy its content to a file")
    return Path(path)


def no_folder(path: str | Path) -> str:
    """What a path that is no folder is, to end a sentence: a file, or nothing."""
    return "is a file" if os.path.exists(path) else "does not exist"


def check_exists(path: str | Path, name: str | None = None) -> int:
    """Check that a path leads to something; its ``st_mode``.

    Args:
        path: of a file or a folder; links are followed.
        name: what error messages call it; by default the path itself.

    Raises:
        InputError: it is missing, or may not be looked at.
    """
    called = name or str(path)
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{called} does not exist: check the path" + (f", {path}" if name else "")) from None
    except (OSError, ValueError) as error:  # a name too long, a loop of links, a zero byte
        raise InputError(f"{called} cannot be read ({error}): check the path") from error


def exists(path: str | Path) -> bool:
    """Whether a path leads to something that may be looked at."""
    try:
        check_exists(path)
    except InputError:
        return False
    return True


def is_path(name: str | os.PathLike[str]) -> bool:
    """Whether a name can only be meant as a path: it has a folder, or a suffix."""
    path = Path(name)
    return len(path.parts) > 1 or path.suffix != ""


def read_text(path: str | Path, name: str, encoding: str = "utf-8") -> str:
    """Read a text file that people write, such as a recipe.

    Raises:
        InputError: it is no regular file, or larger than any such file.
        OSError, UnicodeDecodeError: it cannot be read, or is no text.
    """
    size = check_regular(path, name).stat().st_size
    if size > LARGEST_TEXT:
        raise InputError(f"{name} must be a text file, and {path} is larger than any: {size / 2**20:.0f} MiB")
    return Path(path).read_text(encoding=encoding)


def kind(mode: int) -> str:
    """What ``st_mode`` says that a path is, in words."""
    kinds = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a file" if stat.S_ISREG(mode) else "a device")
