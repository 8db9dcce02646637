"""Which three frames of a bracket the network gets, of any number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apnt.bracket import Bracket
from apnt.camera import GAMMA, SATURATION

SPACING = 2.5
"""Stops between the reference and the short and the long frame; the network was trained at 2 and 3."""
MADE = 2.0
"""Stops to a frame that is missing and made from the reference."""
WIDE = 3.5
"""Stops between two of the three from which the network is out of its range; see docs/frames.md."""

_SLACK = 1.0  # stops by which the short frame may be nearer or farther than SPACING for less saturation
_STEP = 4  # every so many-th pixel, row and column, is looked at
_MIDDLE = 0.5  # display-referred value of a well-exposed pixel
_SPREAD = 0.2  # standard deviation around it (Mertens 2007)


@dataclass(frozen=True)
class Choice:
    """Three frames for the network.

    Attributes:
        short, long: frames of the bracket; None where the bracket has none there and it is made.
        reference: the frame whose moment and geometry the result has.
        support: all other frames, those nearest to the reference in exposure first.
        stops: from the short frame to the reference, and from there to the long one.
    """

    short: int | None
    reference: int
    long: int | None
    support: tuple[int, ...]
    stops: tuple[float, float]

    @property
    def wide(self) -> bool:
        """Whether exposures lie farther apart than what the network was trained for."""
        return max(self.stops) > WIDE

    @property
    def taken(self) -> tuple[int, ...]:
        """The frames of the bracket that the network gets."""
        return tuple(k for k in (self.short, self.reference, self.long) if k is not None)


def choose_reference(ldr: np.ndarray, valid: np.ndarray | None = None) -> int:
    """The frame whose moment the result should show where nobody says: before frames are aligned to it.

    Of three frames the middle one. Of any other number the one with the most well-exposed pixels: the mean
    over pixels of Mertens' measure, the product over colours of ``exp(-(v - 0.5)**2 / (2 * 0.2**2))``.
    The shortest and the longest are taken only of two, because both neighbours help the network.

    Args:
        ldr: (N, H, W, 3), display-referred in [0, 1], short to long.
        valid: (N, H, W) bool, False where a frame holds no data.
    """
    if len(ldr) == 3:
        return 1
    scores = []
    for k, frame in enumerate(ldr):
        pixels = frame[::_STEP, ::_STEP]
        score = np.exp(-(((pixels - _MIDDLE) / _SPREAD) ** 2).sum(axis=-1) / 2)
        scores.append(float((score if valid is None else score * valid[k, ::_STEP, ::_STEP]).mean()))
    inner = range(1, len(ldr) - 1) if len(ldr) > 2 else range(len(ldr))
    return max(inner, key=lambda k: scores[k])


def choose(bracket: Bracket) -> Choice:
    """The frames beside the reference that feed the network, by exposure and saturation.

    The long frame is the one nearest to ``SPACING`` stops above the reference. The short one is the nearest
    to it below, unless one up to a stop shorter holds more than half of what is saturated there.
    """
    stops = np.log2(bracket.times / bracket.times[bracket.reference])
    shorter, longer = (
        list(range(bracket.reference)), list(range(bracket.reference + 1, len(bracket)))
    )  # fmt: skip
    long = min(longer, key=lambda k: abs(stops[k] - SPACING)) if longer else None
    short = _short(bracket, shorter, stops) if shorter else None
    taken = {short, bracket.reference, long}
    support = [k for k in range(len(bracket)) if k not in taken]
    return Choice(
        short,
        bracket.reference,
        long,
        tuple(sorted(support, key=lambda k: abs(float(stops[k])))),
        (
            MADE if short is None else -float(stops[short]),
            MADE if long is None else float(stops[long]),
        ),
    )


def _short(bracket: Bracket, shorter: list[int], stops: np.ndarray) -> int:
    nearest = min(shorter, key=lambda k: abs(stops[k] + SPACING))
    if nearest == 0 or stops[nearest - 1] < -SPACING - _SLACK:
        return nearest
    here, next_one = (
        float((bracket.ldr[k, ::_STEP, ::_STEP] >= SATURATION).any(axis=-1).mean())
        for k in (nearest, nearest - 1)
    )
    return nearest - 1 if next_one < here / 2 else nearest


def three_frames(bracket: Bracket, choice: Choice) -> Bracket:
    """What the network gets: short, reference and long frame, a missing one made from the reference.

    A made frame shows the reference's own light at ``MADE`` stops less or more, clipped where it saturates.
    What the short one is made of is saturated at that level, so the network finds no light above it.

    Returns:
        A bracket of three with times relative to its own shortest: see :func:`network_scale`.
    """
    count, middle = len(bracket), bracket.reference
    if count == 3 and choice.taken == (0, 1, 2):
        return bracket
    reference, time = bracket.reference_frame, float(bracket.times[middle])
    frames, times = [], []
    for k, factor in ((choice.short, 2.0**-MADE), (middle, 1.0), (choice.long, 2.0**MADE)):
        made = np.minimum(reference * np.float32(factor ** (1 / GAMMA)), 1) if k is None else bracket.ldr[k]
        frames.append(made)
        times.append(time * factor if k is None else float(bracket.times[k]))
    relative = np.array(times) / times[0]
    return Bracket(bracket.name, np.stack(frames), relative, reference=1)


def network_scale(bracket: Bracket, choice: Choice) -> float:
    """What the network's result of :func:`three_frames` is multiplied by to be on the bracket's scale."""
    if choice.short is not None:
        return float(1 / bracket.times[choice.short])
    return float(2**MADE / bracket.times[bracket.reference])
