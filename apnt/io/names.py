"""Names of files for libraries that take UTF-8 alone: on Linux a name is any bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def as_text(path: str | Path) -> Iterator[str]:
    """A name in UTF-8 of a file that exists: its own, or one by way of its folder or itself, opened here.

    Args:
        path: the file; of a name that is no UTF-8 the suffix is kept where the folder's is the reason.
    """
    path = Path(path)
    if _is_utf8(str(path)):
        yield str(path)
        return
    inside = _is_utf8(path.name)
    handle = os.open(path.parent if inside else path, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{handle}/{path.name}" if inside else f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
