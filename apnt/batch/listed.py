"""What a user says of the grouping: a file of brackets, in TOML or as JSON lines."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from apnt.batch.shots import Shot
from apnt.errors import InputError
from apnt.io.exposure import relative_times
from apnt.io.inputs import read_text
from apnt.text import reason

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SUFFIXES = (".toml", ".jsonl")
_KEYS = {"bracket", "files", "stops", "times"}


@dataclass(frozen=True)
class Listed:
    """One bracket as a user has it.

    Attributes:
        shots: its frames.
        name: of its outputs; None = after its first frame.
        stops: its exposures in the order of the frames, in stops; None = by EXIF, or the pixels.
    """

    shots: tuple[Shot, ...]
    name: str | None = None
    stops: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Overrides:
    """What a file says: brackets, and photographs that belong to none."""

    brackets: list[Listed] = field(default_factory=list)
    left_out: list[Shot] = field(default_factory=list)


def read_overrides(path: Path, shots: Sequence[Shot]) -> Overrides:
    """Read a file of brackets.

    TOML has a table ``[[bracket]]`` for each, with ``files`` and, where wanted, ``name`` and ``stops`` or
    ``times``, and a list ``leave_out``. JSON lines are what ``apnt batch --dry-run --json`` prints: of each
    object ``bracket`` is the name; an object with ``left_out`` leaves that file out, and others are passed
    over. Files are named by paths relative to the folder of this one, absolute ones, or the ends of paths
    that were found, and may be patterns.

    Args:
        path: ends in .toml or .jsonl.
        shots: the photographs that were found.

    Raises:
        InputError: the file cannot be read, or names what was not found, or one photograph twice.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"groups must be a .toml or .jsonl file, got {path}")
    try:
        text = read_text(path, "groups")
        entries, leave_out = _from_toml(text) if path.suffix.lower() == ".toml" else _from_lines(text)
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"groups must be valid {path.suffix[1:].upper()}, and {path} is not: {error}"
        ) from error
    names = _Names(path, shots)
    brackets = [_bracket(entry, names, f"{path}, bracket {n}") for n, entry in enumerate(entries, 1)]
    # Lines that were printed name all that was left out, also what is no photograph.
    anything = path.suffix.lower() != ".toml"
    left_out = [shot for name in leave_out for shot in names.take(name, missing=anything)]
    given = [listed.name for listed in brackets if listed.name is not None]
    for name in given:
        if given.count(name) > 1:
            raise InputError(f"brackets must have different names, and {path} has {name!r} twice")
    return Overrides(brackets, left_out)


class _Names:
    """Photographs by name, each to be taken once."""

    def __init__(self, source: Path, shots: Sequence[Shot]) -> None:
        self._source, self._shots = source, shots
        self._taken: set[Path] = set()

    def take(self, name: str, *, missing: bool = False) -> list[Shot]:
        """What a name means; with ``missing``, that may be nothing."""
        try:
            beside = str((self._source.parent / name).resolve())
        except (OSError, ValueError, RuntimeError) as error:  # a zero byte, a loop of links
            raise InputError(
                f"groups must name files, and {self._source} has {name!r} ({reason(error)})"
            ) from error
        found = [shot for shot in self._shots if _is(shot.path.resolve(), name, beside)]
        if not found and not missing:
            raise InputError(f"groups must name photographs of this batch, and {self._source} names {name}")
        for shot in found:
            if shot.path in self._taken:
                raise InputError(
                    f"groups must name a photograph once, and {self._source} names {shot.path} twice"
                )
            self._taken.add(shot.path)
        return found


def _is(path: Path, name: str, beside: str) -> bool:
    text = str(path)
    return text == beside or text.endswith("/" + name) or fnmatch(text, beside) or fnmatch(text, f"*/{name}")


def _from_toml(text: str) -> tuple[list[Any], list[str]]:
    content = tomllib.loads(text)
    unknown = set(content) - {"bracket", "leave_out"}
    if unknown:
        raise InputError(f"groups must hold [[bracket]] tables and leave_out, got {sorted(unknown)}")
    brackets = content.get("bracket", [])
    if not isinstance(brackets, list):
        raise InputError("groups must hold [[bracket]] tables, with two brackets around the word")
    entries = []
    for entry in brackets:
        unknown = set(entry) - (_KEYS - {"bracket"} | {"name"})
        if unknown:
            raise InputError(
                f"a bracket of groups must have files, name, stops, times, got {sorted(unknown)}"
            )
        entries.append({**entry, "bracket": entry.get("name")})
    return entries, _strings(content.get("leave_out", []), "leave_out")


def _from_lines(text: str) -> tuple[list[Any], list[str]]:
    entries, leave_out = [], []
    for line in filter(str.strip, text.splitlines()):
        entry = json.loads(line)
        if not isinstance(entry, dict):
            raise ValueError(f"a line must be an object, got {line[:40]}")
        if "bracket" in entry:
            entries.append(entry)
        elif "left_out" in entry:
            leave_out.append(str(entry["left_out"]))
    return entries, leave_out


def _strings(value: Any, name: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError(f"{name} must be a list of names, got {value!r}")
    return value


def _bracket(entry: dict[str, Any], names: _Names, where: str) -> Listed:
    shots = [shot for name in _strings(entry.get("files"), f"files of {where}") for shot in names.take(name)]
    if len(shots) < 2:
        raise InputError(f"files of {where} must be at least 2 photographs, got {len(shots)}")
    name = entry.get("bracket")
    if name is not None and (
        not isinstance(name, str) or not name or Path(name).is_absolute() or ".." in Path(name).parts
    ):
        raise InputError(
            f"name of {where} must be a name, or a path below the folder of outputs, got {name!r}"
        )
    times, stops = entry.get("times"), entry.get("stops")
    if times is None and stops is None:
        return Listed(tuple(shots), name)
    return Listed(tuple(shots), name, _exposures(times, stops, len(shots), where))


def _exposures(times: Any, stops: Any, count: int, where: str) -> tuple[float, ...]:
    """In stops, NaN for one that is not known."""
    given = stops if times is None else times
    unknown = [value is None or value == "?" for value in given] if isinstance(given, list) else []
    if (times is not None and stops is not None) or len(unknown) != count:
        raise InputError(
            f"exposures of {where} must be stops or times, one a photograph, {count}, got {given}"
        )
    if not any(unknown):
        return tuple(math.log2(value) for value in relative_times(times, stops))
    try:
        known = [math.nan if none else float(value) for value, none in zip(given, unknown, strict=True)]
        return tuple(known if times is None else (math.log2(value) for value in known))
    except (TypeError, ValueError) as error:
        raise InputError(f'exposures of {where} must be numbers, or "?", got {given}') from error
