"""What a batch is to do: every bracket with its frames and outputs, and every file that is left out."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from apnt.batch.find import find_files, look
from apnt.batch.group import group
from apnt.batch.listed import Listed, Overrides, read_overrides
from apnt.batch.settings import Settings
from apnt.batch.shots import LeftOut, Shot
from apnt.errors import InputError
from apnt.io.folder import SIDECAR, find_photographs
from apnt.io.taken import read_taken
from apnt.progress import progress
from apnt.text import some

_BESIDE = 2.0  # seconds around a bracket in which a file that cannot be read may be of it


@dataclass(frozen=True, eq=False)
class Bracket:
    """Frames that are fused into one image.

    Attributes:
        name: of its outputs, a path below the folder of results, without a suffix.
        shots: its frames, in the order in which they were taken or listed.
        stops: exposures that were listed, in that order; None = by EXIF, or the pixels.
        doubts: sentences on the grouping.
    """

    name: str
    shots: tuple[Shot, ...]
    stops: tuple[float, ...] | None = None
    doubts: tuple[str, ...] = ()

    @property
    def paths(self) -> list[Path]:
        """The files of the frames."""
        return [shot.path for shot in self.shots]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a frame as stored, pixels."""
        return self.shots[0].size

    @property
    def pixels(self) -> int:
        """Of a frame."""
        return self.size[0] * self.size[1]

    def key(self, settings: Settings) -> str:
        """SHA-256 of everything that the result depends on: content, exposures and options."""
        return _digest([*self._made_of, settings.identity])

    @property
    def content(self) -> str:
        """SHA-256 of the frames' content and the exposures, without the options."""
        return _digest(self._made_of)

    @property
    def _made_of(self) -> list[Any]:
        return [[shot.sha256 for shot in self.shots], self.stops]


@dataclass(frozen=True, eq=False)
class Plan:
    """Brackets, by the time of their first frame, and files of which none is made, each with its reason."""

    brackets: list[Bracket]
    left_out: list[LeftOut]


def _digest(what: list[Any]) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def make_plan(names: Sequence[str | Path], out: Path | None = None, groups: Path | None = None) -> Plan:
    """Look at files and group them.

    A folder with a ``bracket.json`` is the bracket that this lists; ``groups`` goes before everything else.

    Args:
        names: folders, files and patterns.
        out: the folder of results, in which nothing is looked for.
        groups: a file for :func:`apnt.batch.listed.read_overrides`.

    Raises:
        InputError: names, or a file of brackets, that cannot be used, or no photographs at all.
    """
    if not names:
        raise InputError("batch takes folders of photographs, got none")
    files = find_files(names, out)
    with progress(len(files)) as begin:
        shots, left_out = look(files, begin)
    if not shots:
        strangers = [f"{entry.path} {entry.reason}" for entry in left_out]
        why = f": {some(strangers, between='; ')}" if strangers else ""
        raise InputError(f"folders must hold photographs, and {', '.join(map(str, names))} holds none{why}")
    overrides = Overrides() if groups is None else read_overrides(groups, shots)
    left_out += [LeftOut(shot.path, f"is left out by {groups}") for shot in overrides.left_out]
    free = _without(shots, [*overrides.left_out, *_frames(overrides.brackets)])
    sidecars = [path for path in files if path.name == SIDECAR]
    listed = [*overrides.brackets, *_from_sidecars(sidecars, free, left_out)]
    # A listed folder's other files are no frames of anything.
    taken = {shot.path for shot in _frames(listed)} | {entry.path for entry in left_out}
    found, alone = group([shot for shot in free if shot.path not in taken])
    brackets = _named(listed, found, [Path(name) for name in names])
    return Plan([_doubted(bracket, left_out) for bracket in brackets], sorted([*left_out, *alone], key=_path))


def _path(entry: LeftOut) -> str:
    return str(entry.path)


def _frames(listed: Sequence[Listed]) -> list[Shot]:
    return [shot for bracket in listed for shot in bracket.shots]


def _without(shots: Sequence[Shot], taken: Sequence[Shot]) -> list[Shot]:
    paths = {shot.path for shot in taken}
    return [shot for shot in shots if shot.path not in paths]


def _from_sidecars(sidecars: Sequence[Path], shots: Sequence[Shot], left_out: list[LeftOut]) -> list[Listed]:
    by_path = {shot.path.resolve(): shot for shot in shots}
    listed = []
    for sidecar in sidecars:
        try:
            listing = find_photographs([sidecar.parent])
            frames = [by_path[path.resolve()] for path in listing.paths if path.resolve() in by_path]
            if len(frames) < len(listing.paths) or len(frames) < 2:
                raise InputError("lists files that are missing, damaged or used elsewhere")
        except InputError as error:
            left_out.append(LeftOut(sidecar, f"is not used: {error}"))
            continue
        stops = None if listing.stops is None else tuple(listing.stops)
        listed.append(Listed(tuple(frames), sidecar.parent.name, stops))
        own = {shot.path for shot in frames}
        left_out += [
            LeftOut(shot.path, f"is not listed in {sidecar}, which says what of its folder is a bracket")
            for shot in shots
            if shot.path.parent == sidecar.parent and shot.path not in own
        ]
    return listed


def _named(listed: Sequence[Listed], found: Sequence[Sequence[Shot]], roots: Sequence[Path]) -> list[Bracket]:
    """Brackets with names that differ: the given one, or where the first frame lies below what was named."""
    wanted = [(entry.name, entry.shots, entry.stops) for entry in listed]
    wanted += [(None, tuple(frames), None) for frames in found]
    used: set[str] = set()
    brackets = []
    for name, shots, stops in wanted:
        base = name or str(_below_roots(shots[0].path, roots).with_suffix(""))
        chosen, number = base, 2
        while chosen.lower() in used:  # some file systems do not tell a from A
            chosen, number = f"{base}-{number}", number + 1
        used.add(chosen.lower())
        brackets.append(Bracket(chosen, shots, stops))
    return brackets


def _below_roots(path: Path, roots: Sequence[Path]) -> Path:
    for root in roots:
        if root.is_dir() and path.is_relative_to(root):
            return path.relative_to(root)
    return Path(path.name)


def _doubted(bracket: Bracket, left_out: Sequence[LeftOut]) -> Bracket:
    """The bracket with a sentence on files beside it, by their time, that cannot be read."""
    times = [shot.taken.time for shot in bracket.shots if shot.taken.time is not None]
    if len(times) < len(bracket.shots):
        return bracket
    begin, end = min(times) - _BESIDE, max(times) + (bracket.shots[-1].exposure.time or 0.0) + _BESIDE
    doubts = []
    for entry in left_out:
        if "truncated" in entry.reason:
            taken = read_taken(entry.path)
            if taken.camera == bracket.shots[0].taken.camera and begin <= (taken.time or 0.0) <= end:
                doubts.append(f"{entry.path.name} may belong to it, and {entry.reason.split(' (')[0]}.")
    return replace(bracket, doubts=tuple(doubts))


def as_record(bracket: Bracket) -> dict[str, Any]:
    """What JSON lines say of a bracket: also what a file of brackets needs."""
    record: dict[str, Any] = {"bracket": bracket.name, "files": [str(path) for path in bracket.paths]}
    if bracket.stops is not None:
        record["stops"] = [None if math.isnan(stop) else stop for stop in bracket.stops]
    if bracket.doubts:
        record["doubts"] = list(bracket.doubts)
    return record
