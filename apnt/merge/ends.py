"""Where a camera's channels end, and how far others are off beside them, by what shorter frames show."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from apnt.bracket import Bracket
from apnt.camera import GAMMA, SATURATION
from apnt.merge.blocks import blocks, least_of, mean_of, most_of

FULL = SATURATION**GAMMA
"""Linear light of a frame from which a channel counts as saturated, if it ends where its curve does."""

_LEAST = 0.5  # of a frame's range: a channel that ends before is another object, or another curve
_BLOCK = 4  # pixels
_APART = 0.75  # stops between two frames that are compared
_KNOWN = (0.15, 0.85)  # display-referred values of the shorter frame that tell light
_ALIKE = 0.15  # relative difference of a channel that is not saturated, up to which nothing moved
_LOW = 5.0  # per cent of the blocks: what is brighter only, is noise
_HIGH = 90.0  # per cent of the blocks, in which a channel beside a saturated one is off by less
_MARGIN = 1.5  # times that: the strongest colours are off by more
_OFF = (0.1, 1.25)  # stops: what is off by less is noise, by more another object
_FEWEST = 200  # blocks that tell an end
_MOST = 1_000_000  # pixels of a frame that are looked at


class Ends(NamedTuple):
    """How the channels of a bracket's frames end.

    Attributes:
        full: (3,) float32, linear light of red, green and blue in a frame's own range from which its channel
            counts as saturated, and of which it proves no more; ``FULL`` where nothing says less.
        beside: (3,) float32, stops by which the light may be less than a channel says where another one is
            saturated.
    """

    full: np.ndarray
    beside: np.ndarray

    @property
    def excess(self) -> np.ndarray:
        """(3,) the share by which the light may be less, of what a channel says beside a saturated one."""
        return np.asarray(1 - np.exp2(-self.beside))


SUDDEN = Ends(np.full(3, FULL, np.float32), np.zeros(3, np.float32))
"""Of a camera whose channels end where its curve does, each by itself."""


def channel_ends(bracket: Bracket) -> Ends:
    """How the channels of a bracket's frames end.

    Cameras clip colours by rules of their own: red may come to white at two thirds of the light that its
    curve says, and what is strongly coloured is paler there. Shorter frames tell. Of a saturated channel
    places count in which another channel is not and shows the same light as in the next shorter frame, so
    that nothing moved.
    """
    rows = min(bracket.size[0], max(_BLOCK, _MOST // bracket.size[1]))
    top = (bracket.size[0] - rows) // 2
    pairs = []
    for longer in range(1, len(bracket)):
        stops = np.log2(bracket.times[longer] / bracket.times[:longer])
        below = np.flatnonzero(stops >= _APART)
        if below.size:
            pairs.append(_Pair(bracket, int(below[-1]), longer, slice(top, top + rows)))
    full, beside = SUDDEN.full.copy(), SUDDEN.beside.copy()
    for channel in range(3):
        lights = [pair.proven(channel) for pair in pairs]
        if sum(map(len, lights)) >= _FEWEST:
            full[channel] = np.clip(np.percentile(np.concatenate(lights), _LOW), _LEAST, FULL)
    for channel in range(3):
        stops_off = [pair.off(channel, full) for pair in pairs]
        if sum(map(len, stops_off)) >= _FEWEST:
            most = np.percentile(np.concatenate(stops_off), _HIGH)
            beside[channel] = min(_MARGIN * most, _OFF[1]) if most >= _OFF[0] else 0
    return Ends(full, beside)


class _Pair:
    """Blocks of a frame and of a shorter one, ``(rows, columns, 3)``, in the longer one's range."""

    def __init__(self, bracket: Bracket, shorter: int, longer: int, part: slice) -> None:
        ratio = np.float32(bracket.times[longer] / bracket.times[shorter])
        short, long = (blocks(bracket.ldr[k, part], _BLOCK) for k in (shorter, longer))
        self.clear = (least_of(short) > _KNOWN[0]) & (most_of(short) < _KNOWN[1])
        if bracket.valid is not None:
            for k in (shorter, longer):
                self.clear &= least_of(blocks(bracket.valid[k, part][..., None], _BLOCK))
        self.light = mean_of(short ** np.float32(GAMMA)) * ratio
        self.seen = mean_of(long ** np.float32(GAMMA))
        self.least, self.most = least_of(long), most_of(long)

    def proven(self, channel: int) -> np.ndarray:
        """(P,) light of blocks in which a channel is saturated and nothing moved."""
        alike = (self.most < _KNOWN[1]) & self.clear & (np.abs(self.seen - self.light) < _ALIKE * self.light)
        full = (self.least[..., channel] >= SATURATION) & self.clear[..., channel]
        return self.light[..., channel][full & alike.any(axis=-1)]

    def off(self, channel: int, full: np.ndarray) -> np.ndarray:
        """(P,) stops by which a channel says more than the shorter frame, where another one is saturated."""
        values = full ** np.float32(1 / GAMMA)
        others = np.delete(self.least >= values, channel, axis=-1).any(axis=-1)
        here = others & self.clear[..., channel] & (self.most[..., channel] < values[channel])
        return np.log2(np.maximum(self.seen[..., channel][here], 1e-9) / self.light[..., channel][here])
