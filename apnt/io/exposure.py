"""Exposures: what a user writes, checked and brought to times relative to the shortest."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from apnt.errors import InputError
from apnt.text import plain

MAX_FRAMES = 15
"""The most frames that are fused."""

MAX_STOPS = 12.0
"""Largest ratio of the longest to the shortest of three exposures, as a power of two."""

MAX_STOPS_OF_MANY = 20.0
"""The same of four exposures and more."""

MIN_STOPS = 1 / 6
"""Neighbouring exposures that are closer are a burst, or numbers of another unit, and no bracket."""


def parse_times(text: str) -> list[float]:
    """Read exposure times in seconds, as in ``"1/400,1/100,0.04"``; ``?``, one that is not known, is NaN."""
    return [_parse_number(part, "times", "1/400,1/100,1/25") for part in text.split(",")]


def parse_stops(text: str) -> list[float]:
    """Read exposures in stops, as in ``"0,2,4"`` or ``"-2,0,+2"``; more is brighter, ``?`` is NaN."""
    return [_parse_number(part, "stops", "0,2,4") for part in text.split(",")]


def relative_times(
    times: Sequence[float] | np.ndarray | None = None,
    stops: Sequence[float] | np.ndarray | None = None,
    *,
    least: float = MIN_STOPS,
) -> np.ndarray:
    """Check the exposures of a bracket and divide them by the shortest.

    Args:
        times: exposure times in any one unit; positive, in any order. Times or stops, not both.
        stops: log2 of the exposures; finite, in any order.
        least: stops that neighbours have to be apart.

    Returns:
        (N,) float64 in the order given, N from 2 to 15; the smallest is 1, the largest at most 2**12 (2**20
        for more than three).

    Raises:
        InputError: too few or too many, not numbers, not finite, times not positive, two closer than
            ``least``, or too far apart.
    """
    if (times is None) == (stops is None):
        given = "neither" if times is None else "both"
        raise InputError(f"times or stops must be given, one of them, got {given}")
    name, unit, values = ("times", "seconds", times) if times is not None else ("stops", "stops", stops)
    wanted = f"2 to {MAX_FRAMES} numbers in {unit}, one a frame"
    try:
        exposures = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be {wanted}, got {values!r}") from None
    shown = ", ".join(plain(exposure, 4) for exposure in exposures.flat[:20])
    if exposures.ndim != 1 or not 2 <= len(exposures) <= MAX_FRAMES:
        count = len(exposures) if exposures.ndim == 1 else f"shape {exposures.shape}"
        raise InputError(f"{name} must be {wanted}, got {count}: {shown}")
    if not np.isfinite(exposures).all():
        raise InputError(f"{name} must be finite, got {shown}")
    if name == "times" and not (exposures > 0).all():
        raise InputError(f"times must be positive, got {shown}; for values in stops use stops instead")
    log2 = np.log2(exposures) if name == "times" else exposures
    log2 = log2 - log2.min()
    closest = float(np.diff(np.sort(log2)).min())
    if closest < least - 1e-9:
        hint = "; are these seconds? Then use times" if name == "stops" and log2.max() < 1 else ""
        raise InputError(
            f"{name} must be different exposures, at least {least:.2g} stops between neighbours, and two are "
            f"{plain(closest, 2)} stops apart: {shown}{hint}"
        )
    most = MAX_STOPS if len(exposures) <= 3 else MAX_STOPS_OF_MANY
    if log2.max() > most + 1e-9:
        raise InputError(
            f"{name} must span at most {most:g} stops (a ratio of {2**most:.0f}), "
            f"got {plain(log2.max(), 4)} stops: {shown}; check that seconds and stops are not mixed up"
        )
    return exposures / exposures.min() if name == "times" else np.exp2(log2)


def _parse_number(text: str, name: str, example: str) -> float:
    if text.strip() == "?":
        return math.nan
    numerator, slash, denominator = text.strip().partition("/")
    try:
        number = float(numerator) / (float(denominator) if slash else 1.0)
    except (ValueError, ZeroDivisionError):
        raise InputError(f"{name} must be numbers such as {example}, got {text.strip()!r}") from None
    if not math.isfinite(number):
        raise InputError(f"{name} must be finite, got {text.strip()}; write ? for one that is not known")
    return number
