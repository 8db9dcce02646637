"""The exposures of a bracket: from the user, from EXIF, or, where nobody knows them, from the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from apnt.camera import GAMMA
from apnt.errors import InputError
from apnt.io.exif import ask_exposures, exposures_of, source_of
from apnt.io.exposure import MIN_STOPS, relative_times
from apnt.io.frames import check_count, exif_times
from apnt.io.photograph import Photograph
from apnt.prepare.blocks import find_pairs
from apnt.prepare.brightness import measured_stops

_ERROR = 0.4  # part of a measured difference of stops by which it is off at most, nine times of ten
# The same where files say that they are linear: by flat places, and by all values where few places are flat.
_ERROR_FLAT, _ERROR_LINEAR = 0.03, 0.15
_BENT = 1.2  # stops over measured ones where values disagree: there a contrast curve has flattened both ends
_FLAT = (0.15, 0.75)  # display-referred values between which cameras' contrast curves are nearly straight
_FEWEST = 200
_SIDE = 512  # pixels to which frames are reduced before they are measured
_FLAT_SIDE = 1536  # the same where flat places are looked for
_FEWEST_FLAT = 40  # pairs of flat places in two neighbouring frames


@dataclass(frozen=True)
class Exposures:
    """What is known about the exposures of a bracket.

    Attributes:
        times: (N,) float64, relative to the shortest, in the order of the photographs.
        source: "times", "stops", "bracket.json", "EXIF", "XMP", "EXIF and XMP" or "pixels".
        doubt: a sentence where they were measured; None where they are known.
        error: (N,) stops by which each is off at most, nine times of ten; None where all are known.
    """

    times: np.ndarray
    source: str
    doubt: str | None = None
    error: np.ndarray | None = None


class Measured(NamedTuple):
    """Exposures from the pixels.

    Attributes:
        order: (N,) index of the frames, dark to bright.
        stops: (N,) above the darkest, in that order.
        error: part of a difference of stops by which it is off at most, nine times of ten.
    """

    order: np.ndarray
    stops: np.ndarray
    error: float


def find_exposures(
    photographs: Sequence[Photograph],
    times: Sequence[float] | np.ndarray | None = None,
    stops: Sequence[float] | np.ndarray | None = None,
    listed: Sequence[float] | None = None,
) -> Exposures:
    """The exposures that a user gives, or else those of a sidecar, of EXIF, or of the pixels.

    Args:
        photographs: at least two.
        times: in seconds, in their order; NaN for frames whose exposure is not known.
        stops: the same in stops; times or stops, not both.
        listed: from a sidecar, in stops; NaN for frames whose exposure is not known.

    Raises:
        InputError: numbers that cannot be used; EXIF that is there for some photographs only; or exposures
            that nobody knows and that the pixels do not tell.
    """
    check_count(photographs, times, stops)
    if times is not None and stops is not None:
        relative_times(times, stops)  # which refuses both
    given = times if times is not None else stops
    if _some_unknown(given):
        return _completed(
            photographs, np.asarray(given, np.float64), "times" if times is not None else "stops"
        )
    if given is not None:
        return Exposures(relative_times(times, stops), "times" if times is not None else "stops")
    if listed is not None:
        if _some_unknown(listed):
            return _completed(photographs, np.asarray(listed, np.float64), "bracket.json")
        return Exposures(relative_times(stops=listed), "bracket.json")
    source = source_of([photograph.exposure for photograph in photographs])
    missing = [photograph.name for photograph in photographs if photograph.exposure.time is None]
    if len(missing) == len(photographs):
        if all(photograph.format == "array" for photograph in photographs):
            raise InputError("times or stops must be given for arrays, which carry no EXIF")
        return _measured(photographs, "no file says how long it was exposed")
    if not missing:
        exposures = exposures_of([p.exposure for p in photographs], [p.name for p in photographs])
        if max(exposures) < min(exposures) * 2**MIN_STOPS:  # an editor has copied one file's EXIF to all
            return _measured(photographs, f"{source} says that all were exposed alike, and they were not")
    return Exposures(relative_times(exif_times(photographs)), source)


def _some_unknown(given: Sequence[float] | np.ndarray | None) -> bool:
    """Whether there is a NaN among numbers, one a frame; what else is wrong with them is told elsewhere."""
    try:
        values = np.asarray([] if given is None else given, np.float64)
    except (TypeError, ValueError):
        return False
    return values.ndim == 1 and bool(np.isnan(values).any())


def _measured(photographs: Sequence[Photograph], why: str) -> Exposures:
    """Exposures from the pixels alone."""
    measured = _measured_photographs(photographs)
    found = np.zeros(len(photographs))
    found[measured.order] = measured.stops
    error = measured.error * found
    names = [Path(photograph.name).name for photograph in photographs]
    shown = ", ".join(
        f"{names[n]} {found[n]:+.1f}" + (f" ±{error[n]:.1f}" if error[n] else "") for n in measured.order
    )
    doubt = (
        f"The exposures were measured on the pixels, because {why}: {shown} EV from the darkest on "
        f"(nine times of ten); to be exact, {ask_exposures()}"
    )
    return Exposures(relative_times(stops=found), "pixels", doubt, error)


def _completed(photographs: Sequence[Photograph], given: np.ndarray, unit: str) -> Exposures:
    """Exposures that are given for some frames; the others lie as far from them as their pixels say.

    Where frames on both sides are given, what the pixels say of the way between is stretched to end there:
    cameras' curves bend all ratios alike.
    """
    known = np.flatnonzero(~np.isnan(given))
    if not len(known):
        raise InputError(f"{unit} must be known for one frame at least, or be left out, got none")
    order, measured, part = _measured_photographs(photographs)
    place = np.argsort(order)  # of each photograph
    error = np.zeros(len(photographs))
    stops = np.log2(given[known]) if unit == "times" else given[known]
    log2 = np.full(len(photographs), np.nan)
    log2[known] = stops
    unknown = [int(n) for n in np.flatnonzero(np.isnan(given))]
    # Places in the order of brightness, and what is given there.
    there = sorted(int(p) for p in place[known])
    values = {int(place[n]): log2[n] for n in known}
    for n in unknown:
        log2[n] = _between(int(place[n]), there, values, measured)
        error[n] = part * min(abs(measured[place[n]] - measured[p]) for p in there)
    names = ", ".join(
        f"{Path(photographs[n].name).name} {log2[n] - log2.min():+.1f} ±{error[n]:.1f} EV" for n in unknown
    )
    doubt = f"Measured on the pixels, nine times of ten to so much: {names}; to be exact, {ask_exposures()}"
    return Exposures(relative_times(stops=log2), unit, doubt, error)


def _between(place: int, there: list[int], values: dict[int, float], measured: np.ndarray) -> float:
    """The stops of the frame at one place, from what is given at others and measured at all."""
    below = max((p for p in there if p < place), default=None)
    above = min((p for p in there if p > place), default=None)
    if below is None or above is None:
        near = above if below is None else below
        assert near is not None
        return values[near] + measured[place] - measured[near]
    share = (measured[place] - measured[below]) / (measured[above] - measured[below])
    return values[below] + share * (values[above] - values[below])


def _measured_photographs(photographs: Sequence[Photograph]) -> Measured:
    """Exposures of photographs from their pixels alone.

    Raises:
        InputError: the pixels do not tell them.
    """
    linear = photographs[0].curve == "linear"
    found = measure_exposures([photograph.pixels for photograph in photographs], linear)
    if found is None:
        raise InputError(
            "exposures are not known, and the pixels do not tell them, because the frames show too little of "
            f"the same light: {ask_exposures()}"
        )
    return found


def measure_exposures(frames: Sequence[np.ndarray], linear: bool = False) -> Measured | None:
    """Exposures from the pixels alone, without knowing the camera's curve.

    A curve of a power 1.2 bends every ratio by that power, and nothing tells: the error is a part of the
    stops themselves (benchmarks/response.py measures how often it holds).

    Args:
        frames: (H, W, 3) float32 in [0, 1] each, in any order.
        linear: whether values are proportional to light.

    Returns:
        None where they show too little of the same light.
    """
    small = _reduced(frames, _SIDE, linear)
    order = np.argsort(small.mean(axis=(1, 2, 3)), kind="stable")
    measured = measured_stops(small[order])
    stops = np.array([0.0, *measured]) if measured is not None else _BENT * _roughly(small[order])
    if np.diff(stops).min() < MIN_STOPS:
        return None
    if not linear:
        return Measured(order, stops, _ERROR)
    exact = _by_flat_places(_reduced(frames, _FLAT_SIDE, linear)[order], stops)
    return Measured(order, stops, _ERROR_LINEAR) if exact is None else Measured(order, exact, _ERROR_FLAT)


def _reduced(frames: Sequence[np.ndarray], side: int, linear: bool) -> np.ndarray:
    """(N, h, w, 3) display-referred, at most ``side`` pixels wide and high."""
    height, width = frames[0].shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])
    return small ** np.float32(1 / GAMMA) if linear else small


def _by_flat_places(frames: np.ndarray, stops: np.ndarray) -> np.ndarray | None:
    """(N,) stops of frames that are linear after gamma 2.2, from places that are flat in two neighbours.

    What moves and what is shifted falls on edges, and takes no part. None where hardly a place is flat.
    """
    pairs = find_pairs(frames, 2.0**stops, None)
    found = [0.0]
    for k in range(len(frames) - 1):
        own = (pairs.darker == k) & (pairs.brighter == k + 1)
        if own.sum() < _FEWEST_FLAT:
            return None
        found.append(found[-1] + GAMMA * float(np.median(np.log2(pairs.high[own] / pairs.low[own]))))
    return np.array(found)


def _roughly(frames: np.ndarray) -> np.ndarray:
    """(N,) stops above the first of frames whose curve bends their ratio from value to value.

    The median over values that are neither dark nor bright in either frame, or else over all usable ones.
    """
    stops = [0.0]
    for dark, bright in pairwise(frames):
        usable = (dark > _FLAT[0]) & (bright < _FLAT[1]) & (bright > dark)
        if usable.sum() < _FEWEST:
            usable = (dark > 0.03) & (bright < 0.95) & (bright > dark)
        if usable.sum() < _FEWEST:
            return np.zeros(len(frames))
        stops.append(stops[-1] + GAMMA * float(np.median(np.log2(bright[usable] / dark[usable]))))
    return np.array(stops)
