"""Input files: regular ones, for a pipe ends when somebody else decides, and a device never."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from apnt.errors import InputError


def check_regular(path: str | Path, name: str | None = None) -> Path:
    """Check that a path leads to a regular file, before anything opens it.

    Args:
        path: the file; links are followed.
        name: what error messages call it; by default the path itself.

    Raises:
        InputError: it is missing, a folder, a pipe, a socket or a device, or may not be looked at.
    """
    called = name or str(path)
    where = f"{path}, which" if name else "it"
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{called} does not exist: check the path" + (f", {path}" if name else "")) from None
    except (OSError, ValueError) as error:  # a name too long, a loop of links, a zero byte
        raise InputError(f"{called} cannot be read ({error}): check the path") from error
    if not stat.S_ISREG(mode):
        raise InputError(f"{called} must be a file, and {where} is {kind(mode)}: copy its content to a file")
    return Path(path)


def kind(mode: int) -> str:
    """What ``st_mode`` says that a path is, in words."""
    kinds = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a file" if stat.S_ISREG(mode) else "a device")
