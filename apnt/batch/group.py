"""Photographs grouped into brackets: by camera, then by scene, then by exposures and pauses."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from apnt.batch.likeness import LIKE, likeness
from apnt.batch.segments import Moment, cut
from apnt.batch.shots import LeftOut, Shot
from apnt.camera import GAMMA
from apnt.io.exif import ExifExposure
from apnt.io.exposure import MIN_STOPS
from apnt.io.folder import by_name

_LONGEST = 600.0  # seconds between two frames of one bracket that look alike
_SHORTEST = 2.0  # the same where the pictures cannot tell, being nearly black or white
_LOOKED_BACK = 6  # last frames of a scene that the next one is compared with
_CUT_SHORT = 30.0  # seconds: what is farther is not named in a reason


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
        alone: list[Shot] = []
        for run in _scenes(stream):
            stops = _stops(run)
            moments = [
                Moment(stop, gap, shot.taken.auto_bracket)
                for shot, stop, gap in zip(run, stops, _gaps(run), strict=True)
            ]
            for part in cut(moments):
                if len(part) > 1:
                    brackets.append([run[n] for n in part])
                else:
                    alone.append(run[part[0]])
        left_out += [LeftOut(shot.path, _why_alone(shot, stream)) for shot in alone]
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


def _scenes(stream: Sequence[Shot]) -> list[list[Shot]]:
    """Runs of photographs that look alike: two that were taken in turn are told apart."""
    runs: list[list[Shot]] = []
    for shot in stream:
        best, choice = LIKE, None
        for run in runs:
            if gap_between(run[-1], shot) > _LONGEST:
                continue
            alike = [likeness(shot.small, other.small) for other in run[-_LOOKED_BACK:]]
            known = [value for value in alike if not math.isnan(value)]
            if known and max(known) > best:
                best, choice = max(known), run
            elif not known and choice is None and _follows(run, shot, stream):
                choice = run
        if choice is None:
            runs.append([shot])
        else:
            choice.append(shot)
    return runs


def _follows(run: Sequence[Shot], shot: Shot, stream: Sequence[Shot]) -> bool:
    """Whether a frame comes just after a run of which the pictures do not say whether it belongs there."""
    before = stream[[other is shot for other in stream].index(True) - 1]
    gap = gap_between(run[-1], shot)
    return run[-1] is before and (math.isnan(gap) or gap <= _SHORTEST)


def gap_between(first: Shot, second: Shot) -> float:
    """Seconds from the end of one exposure to the start of the next, at least 0; NaN without clocks."""
    if first.taken.time is None or second.taken.time is None:
        return math.nan
    return max(0.0, second.taken.time - first.taken.time - (first.exposure.time or 0.0))


def _gaps(run: Sequence[Shot]) -> list[float]:
    return [math.nan, *(gap_between(*pair) for pair in zip(run, run[1:], strict=False))]


def _stops(run: Sequence[Shot]) -> list[float]:
    """Exposures by EXIF; where one of a run has none, all by how bright the pictures are."""
    known = [shot.stops for shot in run]
    if all(stops is not None for stops in known):
        return [float(stops) for stops in known if stops is not None]
    return [math.log2(max(float(np.mean(shot.small**GAMMA)), 1e-4)) for shot in run]


def _why_alone(shot: Shot, stream: Sequence[Shot]) -> str:
    """Half a sentence on the nearest photograph of the same camera."""
    near = sorted((other for other in stream if other is not shot), key=lambda other: _distance(shot, other))
    near = [other for other in near if not _distance(shot, other) > _CUT_SHORT]
    like = [other for other in near if likeness(shot.small, other.small) > LIKE]
    if like:
        name = like[0].path.name
        one, other = shot.stops, like[0].stops
        if one is not None and other is not None and abs(one - other) < MIN_STOPS:
            words = shot.exposure.words() if shot.exposure != ExifExposure() else "alike"
            return f"is exposed as {name} is ({words}): a bracket needs different exposures"
        return f"shows the scene of {name}, and belongs to no bracket by its time and exposure"
    if near and shot.taken.time is not None:
        return f"looks like none of the photographs taken within {_CUT_SHORT:.0f} s of it"
    if near:
        return "looks like no other photograph of its folder"
    return "is the only one of its camera, size and time"


def _distance(one: Shot, other: Shot) -> float:
    if one.taken.time is None or other.taken.time is None:
        return 0.0
    return abs(one.taken.time - other.taken.time)
