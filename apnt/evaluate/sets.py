"""The sets of brackets that can be evaluated, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from apnt.data.bracket import Bracket
from apnt.errors import InputError


def load_set(name: str, data: str | Path | None = None) -> tuple[Iterable[Bracket], int]:
    """The brackets of a set, made or read one at a time, and how many there are.

    Args:
        name: one of ``SETS``.
        data: the folder that the set is read or made from; None = what the set itself falls back to.

    Raises:
        InputError: no such set, or its files are not there.
    """
    if name not in SETS:
        raise InputError(f"set must be one of {', '.join(SETS)}, got {name!r}")
    return SETS[name](data)


def _val_v1(data: str | Path | None) -> tuple[Iterable[Bracket], int]:
    from apnt.data.val_v1 import SCENES, val_v1

    return val_v1(data), 2 * len(SCENES)


SETS: dict[str, Callable[[str | Path | None], tuple[Iterable[Bracket], int]]] = {"val-v1": _val_v1}
