"""What a user names instead of photographs: a folder of them, or a pattern."""

from __future__ import annotations

import glob
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from apnt.errors import InputError
from apnt.io.formats import HEAD, sniff
from apnt.io.inputs import read_text

SIDECAR = "bracket.json"
"""A file that may lie in a folder of photographs and lists them, and their exposures. docs/frames.md."""


class Listing(NamedTuple):
    """The photographs of one bracket.

    Attributes:
        paths: in the order given, those of a folder by name.
        stops: exposures from a sidecar, one a path; None where there is none.
    """

    paths: list[Path]
    stops: list[float] | None = None


def find_photographs(names: Sequence[str | Path]) -> Listing:
    """The files that names mean: files themselves, one folder, or patterns that the shell has left.

    Raises:
        InputError: a folder or a pattern that holds no photographs, or a sidecar that cannot be used.
    """
    if len(names) == 1 and Path(names[0]).is_dir():
        return _in_folder(Path(names[0]))
    paths: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            raise InputError(
                f"images must be photographs or one folder, and {path} is a folder beside others"
            )
        if not path.exists() and glob.has_magic(str(name)):
            found = sorted(Path(match) for match in glob.glob(str(name)))
            if not found:
                raise InputError(f"images must be photographs, and no file is like {name}")
            paths += found
        else:
            paths.append(path)
    return Listing(paths)


def _in_folder(folder: Path) -> Listing:
    sidecar = folder / SIDECAR
    if sidecar.is_file():
        return _listed(sidecar)
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    photographs = [path for path in files if _is_photograph(path)]
    if not photographs:
        raise InputError(f"images must be photographs, and the folder {folder} holds none")
    return Listing(photographs)


def _is_photograph(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return sniff(file.read(HEAD)) is not None
    except InputError:  # known, and no photograph, such as a result that was written into the folder
        return False


def _listed(sidecar: Path) -> Listing:
    try:
        content = json.loads(read_text(sidecar, SIDECAR))
        paths = [sidecar.parent / str(name) for name in content["files_short_to_long"]]
        stops, times = content.get("ev_stops"), content.get("times")
        if stops is None and times is not None:
            stops = [math.log2(time) for time in times]
        if stops is None:
            return Listing(paths)
        values = [float(stop) for stop in stops]
        if len(values) != len(paths) or not np.isfinite(values).all():
            raise ValueError(f"{len(paths)} files and the exposures {stops}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{sidecar} must hold files_short_to_long and ev_stops, or times, one a file, and it does not "
            f"({type(error).__name__}: {error}): correct it, or name the photographs themselves"
        ) from error
    return Listing(paths, values)
