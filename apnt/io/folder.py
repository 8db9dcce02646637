"""What a user names instead of photographs: a folder of them, or a pattern."""

from __future__ import annotations

import glob
import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from apnt.errors import InputError
from apnt.io.formats import HEAD, sniff
from apnt.io.inputs import check_exists, check_regular, exists, read_text
from apnt.io.written import is_own
from apnt.text import some

SIDECAR = "bracket.json"
"""A file that may lie in a folder of photographs and lists them, and their exposures. docs/frames.md."""

_NAMED = 3  # folders that are named, of more that lie where photographs should

_PHOTOGRAPHS = {
    *(".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"),
    *(".heic", ".heif", ".avif", ".jxl", ".jp2", ".dng"),
}
"""What names end in, in lower case, that can only be meant as photographs."""


class Listing(NamedTuple):
    """The photographs of one bracket.

    Attributes:
        paths: in the order given, those of a folder by name, numbers in names by value.
        stops: exposures from a sidecar, one a path, NaN for one that is not known; None where there is none.
        left_out: pictures of a folder that apnt wrote itself, which are no photographs.
    """

    paths: list[Path]
    stops: list[float] | None = None
    left_out: tuple[Path, ...] = ()


def find_photographs(names: Sequence[str | Path]) -> Listing:
    """The files that names mean: files themselves, one folder, or patterns that the shell has left.

    Raises:
        InputError: what does not exist, a folder or a pattern that holds no photographs, a sidecar that
            cannot be used, a photograph that lies in a folder in two formats, a file named like one that is
            none, or a picture that apnt wrote.
    """
    if len(names) == 1 and Path(names[0]).is_dir():
        return _in_folder(Path(names[0]))
    paths = _named(names)
    for path in paths:
        if path.is_file() and is_own(path):
            raise InputError(f"images must be photographs, and {path} was written by apnt: leave it out")
    return Listing(paths)


def check_each_once(paths: Sequence[Path]) -> None:
    """Whether all files are different ones, also through links.

    Raises:
        InputError: two are the same.
    """
    seen: dict[Path, Path] = {}
    for path in paths:
        first = seen.setdefault(path.resolve(), path)
        if first is not path:
            both = f"{path} is named twice" if path == first else f"{first} and {path} are one file"
            raise InputError(f"images must be different photographs, and {both}: leave one out")


def _named(names: Sequence[str | Path]) -> list[Path]:
    paths: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            raise InputError(
                f"images must be photographs or one folder, and {path} is a folder beside others: name one; "
                "apnt batch fuses the brackets of several"
            )
        if not exists(path) and glob.has_magic(str(name)):
            found = _sorted(Path(match) for match in glob.glob(str(name)))
            if not found:
                raise InputError(f"images must be photographs, and no file is like {name}")
            paths += found
        else:
            check_exists(path)
            paths.append(path)
    return paths


def _sorted(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=by_name)


def by_name(path: Path) -> list[tuple[int, str]]:
    """A key to sort by, where 2.jpg comes before 10.jpg."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts] + [(-2, path.name)]


def _in_folder(folder: Path) -> Listing:
    sidecar = folder / SIDECAR
    if sidecar.is_file():
        return _listed(sidecar)
    try:
        entries = _sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}): check its permissions") from error
    files = [path for path in entries if not path.is_dir() and not path.name.startswith(".")]
    found = {path: _kind(path) for path in files}
    kinds = {path: kind for path, kind in found.items() if isinstance(kind, str)}
    _check_named(found, kinds)
    left_out = tuple(path for path in kinds if is_own(path))
    photographs = [path for path in kinds if path not in left_out]
    if not photographs:
        own = f" but {some([path.name for path in left_out])}, which apnt wrote" if left_out else ""
        raise InputError(
            f"images must be photographs, and the folder {folder} holds none{own}{_below(entries)}"
        )
    _check_one_format(folder, {path: kinds[path] for path in photographs})
    return Listing(photographs, left_out=left_out)


def _below(entries: Iterable[Path]) -> str:
    """What to do where photographs lie in folders below; empty where there are no folders."""
    folders = [path for path in entries if not path.name.startswith(".") and path.is_dir()]
    if not folders:
        return ""
    some = ", ".join(path.name for path in folders[:_NAMED]) + (", ..." if len(folders) > _NAMED else "")
    it = f"a folder ({some}): name it" if len(folders) == 1 else f"folders ({some}): name one of them"
    return f", but {it}; apnt batch {folders[0].parent} -o RESULTS fuses every bracket below"


def _kind(path: Path) -> str | InputError:
    """The format of a photograph, or why it is none: a sentence that begins with its name."""
    try:
        with check_regular(path).open("rb") as file:
            head = file.read(HEAD)
        kind = sniff(head)
    except OSError as error:
        return InputError(f"{path} cannot be read ({error.strerror})")
    except InputError as error:
        return error if str(error).startswith(str(path)) else InputError(f"{path} {error}")
    if kind is None:
        return InputError(f"{path} is {'no image, or cut off at its start' if head else 'empty'}")
    return kind


def _check_named(found: dict[Path, str | InputError], kinds: dict[Path, str]) -> None:
    """A photograph that is damaged is missed by nobody where the others are fused without it."""
    suffixes = _PHOTOGRAPHS | {path.suffix.lower() for path in kinds if path.suffix}
    for path, reason in found.items():
        if path not in kinds and path.suffix.lower() in suffixes:
            raise InputError(
                f"images must be photographs, and {reason}; move it out of {path.parent}, or name the others"
            )


def _check_one_format(folder: Path, kinds: dict[Path, str]) -> None:
    """Cameras may write each photograph twice, as RAW and as JPEG."""
    first: dict[str, Path] = {}
    for path in kinds:
        twin = first.setdefault(path.stem.lower(), path)
        if twin is not path:
            raise InputError(
                f"images must be different photographs, and {folder} holds both {twin.name} and {path.name}: "
                f"name one kind of them, such as {folder / ('*' + twin.suffix)}"
            )


def _listed(sidecar: Path) -> Listing:
    try:
        content = json.loads(read_text(sidecar, SIDECAR))
        paths = [sidecar.parent / str(name) for name in content["files_short_to_long"]]
        stops, times = content.get("ev_stops"), content.get("times")
        if stops is None and times is not None:
            stops = [None if time is None else math.log2(time) for time in times]
        if stops is None or all(stop is None for stop in stops):
            return Listing(paths)
        values = [math.nan if stop is None else float(stop) for stop in stops]
        if len(values) != len(paths) or not all(map(math.isfinite, (s for s in stops if s is not None))):
            raise ValueError(f"{len(paths)} files and the exposures {stops}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{sidecar} must hold files_short_to_long and ev_stops, or times, one a file, and it does not "
            f"({type(error).__name__}: {error}): correct it, or name the photographs themselves"
        ) from error
    return Listing(paths, values)
