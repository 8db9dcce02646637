"""Which three frames of a bracket the network gets, of any number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apnt import scratch
from apnt.bracket import Bracket
from apnt.camera import GAMMA

SPACING = 2.0
"""Stops between the reference and the short and the long frame: measured, see docs/frames.md."""
MADE = 2.0
"""Stops to a frame that is missing and made from the reference."""
WIDE = 3.5
"""Stops between two of the three from which the network is out of its range; see docs/frames.md."""


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


def choose(bracket: Bracket) -> Choice:
    """The frames beside the reference that feed the network: the nearest to ``SPACING`` stops on either side.

    What is saturated in the short one, frames that are shorter still bring in where nothing moved. A short
    frame farther away saves the network those highlights, and costs more in what moved meanwhile
    (docs/frames.md).
    """
    stops = np.log2(bracket.times / bracket.times[bracket.reference])
    below, above = range(bracket.reference), range(bracket.reference + 1, len(bracket))
    short = min(below, key=lambda k: abs(stops[k] + SPACING), default=None)
    long = min(above, key=lambda k: abs(stops[k] - SPACING), default=None)
    support = set(range(len(bracket))) - {short, bracket.reference, long}
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


def three_frames(bracket: Bracket, choice: Choice) -> Bracket:
    """What the network gets: short, reference and long frame.

    A missing frame is made from the reference: its own light at ``MADE`` stops less or more, clipped where it
    saturates, so that the network finds no light above it. Where a frame holds no data it shows what the
    others predict: the reference first, then the nearest in exposure.

    Returns:
        The bracket itself where these are its frames and all of them are whole; or one of three, with times
        relative to its own shortest, which :func:`network_scale` brings back.
    """
    if choice.taken == tuple(range(len(bracket))) == (0, 1, 2) and bracket.valid is None:
        return bracket
    middle = choice.reference
    time = float(bracket.times[middle])
    reference = _whole(bracket, middle, bracket.reference_frame)
    frames, times = [], []
    for k, factor in ((choice.short, 2.0**-MADE), (middle, 1.0), (choice.long, 2.0**MADE)):
        if k is None:
            frames.append(_at(reference, factor))
            times.append(time * factor)
        else:
            frames.append(reference if k == middle else _whole(bracket, k, reference))
            times.append(float(bracket.times[k]))
    ldr = scratch.empty((3, *reference.shape), np.float32)
    for own, frame in zip(ldr, frames, strict=True):
        own[...] = frame
    return Bracket(bracket.name, ldr, np.array(times) / times[0], reference=1)


def _at(frame: np.ndarray, factor: float) -> np.ndarray:
    """A frame as ``factor`` times its exposure would show it."""
    made = scratch.empty(frame.shape, np.float32)
    np.multiply(frame, np.float32(factor ** (1 / GAMMA)), out=made)
    return np.minimum(made, 1, out=made)


def _whole(bracket: Bracket, k: int, reference: np.ndarray) -> np.ndarray:
    """(H, W, 3): frame ``k``, its holes filled with what other frames predict."""
    frame = bracket.ldr[k]
    if bracket.valid is None or bracket.valid[k].all():
        return frame
    hole, times = ~bracket.valid[k], bracket.times
    if k != bracket.reference:
        return np.where(hole[..., None], _at(reference, times[k] / times[bracket.reference]), frame)
    filled = frame.copy()
    for other in sorted(bracket.others, key=lambda n: abs(float(np.log(times[n] / times[k])))):
        here = hole & bracket.valid[other]
        filled[here] = _at(bracket.ldr[other][here], times[k] / times[other])
        hole &= ~here
    return filled


def network_scale(bracket: Bracket, choice: Choice) -> float:
    """What the network's result of :func:`three_frames` is multiplied by to be on the bracket's scale."""
    if choice.short is not None:
        return float(1 / bracket.times[choice.short])
    return float(2**MADE / bracket.times[bracket.reference])
