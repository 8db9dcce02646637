"""The files of a batch, each looked at once; damage, duplicates and twins are set aside."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from apnt.batch.shots import LeftOut, Shot, look_at
from apnt.errors import InputError
from apnt.io.folder import SIDECAR, by_name
from apnt.io.formats import RAW

_SAME = 0.01  # mean difference of small pictures, of a photograph that was saved twice or a burst's


def find_files(names: Sequence[str | Path], without: Path | None = None) -> list[Path]:
    """Files that names mean: files, folders with all that lies below them, and patterns.

    Hidden files and folders are passed over, and links to folders are not followed.

    Args:
        names: at least one.
        without: a folder that is passed over, where results lie.

    Raises:
        InputError: a name that means nothing, or a folder that cannot be read.
    """
    found: dict[Path, None] = {}
    avoided = None if without is None else without.resolve()
    if any(Path(name).resolve() == avoided for name in names):
        avoided = None  # results lie beside photographs; what apnt wrote is told by what it holds
    for name in names:
        path = Path(name)
        if path.exists():
            matches = [path]
        elif glob.has_magic(str(name)):
            matches = [Path(match) for match in glob.glob(str(name), recursive=True)]
            if not matches:
                raise InputError(f"folders must hold photographs, and no file is like {name}")
        else:
            raise InputError(f"folders must exist, and {name} does not: check the path")
        for match in sorted(matches, key=by_name):
            for file in _below(match, avoided) if match.is_dir() else [match]:
                found.setdefault(file)
    return list(found)


def _below(folder: Path, avoided: Path | None) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename} cannot be read ({error.strerror}): check its permissions")

    files: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(n for n in folders if n[0] != "." and Path(place, n).resolve() != avoided)
        files += sorted((Path(place, n) for n in names if n[0] != "."), key=by_name)
    return files


def look(paths: Sequence[Path], begin: Callable[[str], None]) -> tuple[list[Shot], list[LeftOut]]:
    """Look at files, as many at a time as there are processors.

    Args:
        paths: any files.
        begin: called as each begins to be waited for.

    Returns:
        Photographs, each once, in the order given; and what was set aside.
    """
    shots: list[Shot] = []
    left_out: list[LeftOut] = []
    paths = [path for path in paths if path.name != SIDECAR]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, result in zip(paths, pool.map(look_at, paths), strict=True):
            begin(f"Looking at {path.name}")
            if isinstance(result, Shot):
                shots.append(result)
            else:
                left_out.append(result)
    return _each_once(shots, left_out), left_out


def _each_once(shots: Sequence[Shot], left_out: list[LeftOut]) -> list[Shot]:
    kept: list[Shot] = []
    contents: dict[str, Shot] = {}
    twins: dict[tuple[Path, str], Shot] = {}
    moments: dict[tuple[object, ...], Shot] = {}
    # Where a camera wrote a photograph twice, its RAW file has the light as it was; copies have longer names.
    for shot in sorted(shots, key=lambda shot: (shot.kind != RAW, len(shot.path.name))):
        same = contents.setdefault(shot.sha256, shot)
        twin = twins.setdefault((shot.path.parent, shot.path.stem.lower()), shot)
        moment = (shot.taken, shot.exposure, shot.size) if shot.taken.time is not None else (shot.path,)
        again = moments.setdefault(moment, shot)
        if same is not shot:
            left_out.append(LeftOut(shot.path, f"is the same file as {same.path}"))
        elif twin is not shot and twin.kind != shot.kind:
            left_out.append(LeftOut(shot.path, f"is {twin.path.name} in another format"))
        elif again is not shot and np.abs(shot.small - again.small).mean() < _SAME:
            left_out.append(
                LeftOut(shot.path, f"repeats {again.path.name}: moment, exposure and picture are the same")
            )
        else:
            kept.append(shot)
    order = {id(shot): n for n, shot in enumerate(shots)}
    return sorted(kept, key=lambda shot: order[id(shot)])
