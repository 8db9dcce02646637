"""Photographs grouped into brackets: by camera, then by scene, then by exposures and pauses."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from apnt.batch.likeness import LIKE, Likeness
from apnt.batch.segments import Moment, cut
from apnt.batch.shots import LeftOut, Shot
from apnt.camera import GAMMA
from apnt.io.exposure import MIN_STOPS
from apnt.io.folder import by_name

_LONGEST = 600.0  # seconds between two frames of one bracket that look alike
_SHORTEST = 5.0  # the same where the pictures cannot tell, being nearly black or white
_LOOKED_BACK = 6  # last frames of a scene that the next one is compared with
_NEAR = 30.0  # seconds: what is farther is not named in a reason


def group(shots: Sequence[Shot]) -> tuple[list[list[Shot]], list[LeftOut]]:
    """Group photographs.

    Args:
        shots: of one folder or card, each photograph once.

    Returns:
        Brackets, each in the order in which it was taken, by the time of their first frame; and what belongs
        to none.
    """
    brackets: list[list[Shot]] = []
    left_out: list[LeftOut] = []
    for stream in _streams(shots):
        alike = Likeness([shot.small for shot in stream])
        alone: list[int] = []
        for scene in _scenes(stream, alike):
            run = [stream[n] for n in scene]
            for part in cut(_moments(run)):
                if len(part) > 1:
                    brackets.append([run[n] for n in part])
                else:
                    alone.append(scene[part[0]])
        left_out += [LeftOut(stream[n].path, _why_alone(n, stream, alike)) for n in alone]
    return sorted(brackets, key=lambda bracket: _when(bracket[0])), left_out


def _when(shot: Shot) -> tuple[float, list[tuple[int, str]]]:
    """Time, then name; photographs without a time come last, by name."""
    time = shot.taken.time
    return math.inf if time is None else time, [(-1, str(shot.path.parent)), *by_name(shot.path)]


def _streams(shots: Sequence[Shot]) -> list[list[Shot]]:
    """What one camera took at one size, in order; without a clock, what lies in one folder."""
    streams: dict[tuple[object, ...], list[Shot]] = defaultdict(list)
    for shot in sorted(shots, key=_when):
        folder = shot.path.parent if shot.taken.time is None else None
        streams[shot.taken.camera, shot.size, shot.taken.orientation, shot.kind, folder].append(shot)
    return list(streams.values())


def _scenes(stream: Sequence[Shot], alike: Likeness) -> list[list[int]]:
    """Runs of photographs that look alike, by index: two that were taken in turn are told apart."""
    runs: list[list[int]] = []
    for n, shot in enumerate(stream):
        near = [run for run in runs if not gap_between(stream[run[-1]], shot) > _LONGEST]
        looked = [run[-_LOOKED_BACK:] for run in near]
        values = iter(alike.of(n, [other for run in looked for other in run]))
        best, choice = LIKE, None
        for run, others in zip(near, looked, strict=True):
            like = np.fmax.reduce([next(values) for _ in others])
            if like > best:
                best, choice = like, run
            elif np.isnan(like) and choice is None and run[-1] == n - 1 and _follows(stream[n - 1], shot):
                choice = run
        if choice is None:
            runs.append([n])
        else:
            choice.append(n)
    return runs


def _follows(before: Shot, shot: Shot) -> bool:
    """Whether a frame comes so soon that it belongs to the one before, where pictures cannot tell."""
    return not gap_between(before, shot) > _SHORTEST


def gap_between(first: Shot, second: Shot) -> float:
    """Seconds from the end of one exposure to the start of the next, at least 0; NaN without clocks."""
    if first.taken.time is None or second.taken.time is None:
        return math.nan
    return max(0.0, second.taken.time - first.taken.time - (first.exposure.time or 0.0))


def _moments(run: Sequence[Shot]) -> list[Moment]:
    gaps = [math.nan, *(gap_between(*pair) for pair in pairwise(run))]
    triples = zip(run, _stops(run), gaps, strict=True)
    return [Moment(stops, gap, shot.taken.auto_bracket) for shot, stops, gap in triples]


def _stops(run: Sequence[Shot]) -> list[float]:
    """Exposures by EXIF; where one of a run has none, all by how bright the pictures are."""
    known = [shot.stops for shot in run]
    if all(stops is not None for stops in known):
        return [float(stops) for stops in known if stops is not None]
    return [math.log2(max(float(np.mean(shot.small**GAMMA)), 1e-4)) for shot in run]


def _why_alone(n: int, stream: Sequence[Shot], alike: Likeness) -> str:
    """Half a sentence on the nearest photograph of the same camera and size."""
    shot = stream[n]
    near = [k for k in range(len(stream)) if k != n and not _distance(shot, stream[k]) > _NEAR]
    near.sort(key=lambda k: (_distance(shot, stream[k]), abs(k - n)))
    values = alike.of(n, near)
    like = [k for k, value in zip(near, values, strict=True) if value > LIKE]
    if like:
        other = stream[like[0]]
        if shot.stops is None or other.stops is None or abs(shot.stops - other.stops) >= MIN_STOPS:
            return f"shows the scene of {other.path.name}, and is no part of its bracket by time and exposure"
        words = shot.exposure.words()
        return f"is exposed like {other.path.name} ({words}): a bracket needs different exposures"
    if near and np.isnan(values).all():
        return "is too dark or too bright to be compared with its neighbours"
    if near:
        where = f"within {_NEAR:.0f} s of it" if shot.taken.time is not None else "that lie beside it"
        return f"looks like none of the photographs {where}"
    return f"is alone: its camera took nothing else of its size within {_NEAR:.0f} s"


def _distance(one: Shot, other: Shot) -> float:
    """Seconds; 0 without clocks."""
    if one.taken.time is None or other.taken.time is None:
        return 0.0
    return abs(one.taken.time - other.taken.time)
