"""The plan for a large picture: how it is cut so that a memory budget holds, and what that takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from apnt.budget import shown, too_small
from apnt.memory import PLENTIFUL
from apnt.nn.boxes import Box, cuts
from apnt.nn.config import APNTConfig
from apnt.nn.means import WHOLE
from apnt.nn.tile_memory import TileMemory
from apnt.nn.tiled import Boxes, padded
from apnt.text import duration

SMALLEST, LARGEST = 64, 1536
"""Sides of tiles in pixels of the network. Smaller ones are mostly margin; larger ones gain little."""
_LONGER = 2  # times as long as the other a tile's side may be: a margin is most of a narrow one
_ADVICE = "raise it with --memory, take --weights fast, or scale the photographs down"

_UNCACHED = 1.45  # processor time of a tile over that of windows, which stay in the caches; with a stride
# Share of each part in the time of a window, of which all see the same pixels.
_TIME_MATCH, _TIME_ENCODE, _TIME_DECODE, _TIME_BLEND = 0.41, 0.15, 0.10, 0.34
_TIME_LOOK = 0.02  # of what a tile looks at again where the whole picture was encoded
_SHORT = 40  # most offsets widen what a tile encodes by no more; pixels of full size


class Plan(NamedTuple):
    """How a picture is cut.

    Attributes:
        tiles: how many; 1 where it is fused whole.
        side: largest height and width of a tile, full-size pixels.
        match_side: of what is matched at once.
        memory: bytes that the process is expected to take at most.
        budget: bytes that it may take.
        work: how much is computed, as a multiple of the picture; what tiles share is computed in each.
        most: pixels of the network that are encoded, and matched, at once.
        encode_rows: rows of full-size pixels that are encoded at once, of the whole picture before its first
            tile; None = each tile encodes what it needs.
    """

    tiles: int
    side: tuple[int, int]
    match_side: tuple[int, int]
    memory: int
    budget: int
    work: float
    most: tuple[int, int] | None = None
    encode_rows: int | None = None

    def sentence(self, seconds: float) -> str:
        """What a user reads before the work, with the time that it is expected to take."""
        side = max(self.side)
        cut = "uncut" if self.tiles == 1 else f"in {self.tiles} tiles of at most {side} pixels a side"
        memory = f"{shown(self.memory)} of {shown(self.budget)} memory"
        took = f"the network takes the picture {cut}, about {duration(seconds)}, {memory}"
        return f"{took}; reading and writing come on top"


def plan(
    config: APNTConfig,
    size: tuple[int, int],
    budget: int,
    held: int,
    item: int,
    *,
    at_once: bool,
    least: int = 0,
) -> Plan:
    """Cut a picture so that a budget holds, and of all such ways so that least is computed twice.

    Args:
        config: of the network.
        size: height and width, pixels.
        budget: bytes that the process may take.
        held: bytes that it takes before the network runs, its exposures among them, and the result.
        item: bytes of a number in the network's features: 4, or 2 in half precision.
        at_once: whether the picture cannot be cut.
        least: bytes that are taken however small the tiles are, by what comes before and after them.

    Raises:
        InputError: the budget is too small; it names the smallest that is not.
    """
    picture, within = padded(size, config)
    taken = TileMemory(config, within, item)
    if at_once:
        needed = held + max(least, taken.whole())
        if needed > budget:
            raise too_small(budget, needed, _ADVICE)
        return Plan(1, within, within, needed, budget, 1.0)

    def memory(cut: _Cut, match: _Cut | None = None, encode: _Cut | None = None) -> int:
        whole = None if encode is None else encode.middle
        return held + max(least, taken.tile(cut.middle, (match or cut).middle, whole))

    # Of each height the widest that fits: a wider tile has less margin for a pixel.
    fitting: list[_Cut] = []
    heights, widths = (_sides(side, config.stride) for side in (picture.height, picture.width))
    for height in heights:
        wide = (_Cut(picture, (height, width), 4 * config.stride) for width in widths)
        fitting += next(([cut] for cut in wide if cut.is_shaped and memory(cut) <= budget), [])
    if not fitting:
        smallest = _Cut(picture, (heights[-1], widths[-1]), 4 * config.stride)
        raise too_small(budget, memory(smallest), _ADVICE)
    cut = min(fitting, key=lambda cut: _work(cut, cut, taken))
    # The more is matched at once, the less tiles look at again, most of all where matches lie far away.
    bands = [
        _Cut(Box(0, 0, *within), (high, within[1]), 4 * config.stride)
        for high in _sides(within[0], config.stride, within[0])
    ]
    fits = [band for band in bands if memory(cut, band) <= budget]
    match = min([*fits[:1], cut], key=lambda tiles: tiles.area(taken.matched))
    # So it is with what is encoded: in bands as high as add no memory, and not at the price of what should
    # lie idle (:func:`apnt.memory.keeping_all`).
    added = memory(cut, match, bands[-1])
    room = max(memory(cut, match), added if PLENTIFUL * added <= budget else 0)
    ways = [None, *[band for band in bands if memory(cut, match, band) <= room][:1]]
    encode = min(ways, key=lambda band: _work(cut, match, taken, band))
    most = taken.most(cut.middle, match.middle, budget - held, encode is not None)
    needed, work = memory(cut, match, encode), _work(cut, match, taken, encode)
    rows = None if encode is None else encode.side[0]
    return Plan(len(cut.rows) * len(cut.columns), cut.side, match.side, needed, budget, work, most, rows)


def bounds(config: APNTConfig, size: tuple[int, int], item: int) -> tuple[int, int]:
    """Bytes that the network takes for a picture with the smallest and with the largest tiles, matched whole.

    Args:
        config, size, item: see :func:`plan`.
    """
    picture, within = padded(size, config)
    taken = TileMemory(config, within, item)
    if size[0] * size[1] <= WHOLE:
        return taken.whole(), taken.whole()
    heights, widths = (_sides(side, config.stride) for side in (picture.height, picture.width))
    smallest, largest = (
        _Cut(picture, (heights[end], widths[end]), 4 * config.stride).middle for end in (-1, 0)
    )
    return taken.tile(smallest, smallest), taken.tile(largest, Box(0, 0, *within))


def _sides(length: int, stride: int, largest: int | None = None) -> list[int]:
    """Longest sides of tiles that a length can be cut into, full-size pixels, longest first.

    Args:
        length: full-size pixels.
        stride: of the network.
        largest: that is allowed, full-size pixels; None = :data:`LARGEST`.
    """
    largest = LARGEST * stride if largest is None else largest
    block = 4 * stride
    sides = {-(-length // (count * block)) * block for count in range(1, length // block + 1)}
    found = sorted((side for side in sides if side <= largest), reverse=True)
    return [side for side in found if side >= SMALLEST * stride] or found[:1]


class _Cut:
    """A picture in rows and columns of tiles.

    Args:
        picture: what is cut.
        side: largest height and width of a tile.
        block: pixels; all tiles' sides are whole blocks.
    """

    def __init__(self, picture: Box, side: tuple[int, int], block: int) -> None:
        self.side = side
        self.rows = cuts(picture.top, picture.bottom, side[0], block)
        self.columns = cuts(picture.left, picture.right, side[1], block)

    @property
    def is_shaped(self) -> bool:
        """Whether tiles are about square, or the picture is not cut one way."""
        return max(self.side) <= _LONGER * min(self.side) or 1 in (len(self.rows), len(self.columns))

    def area(self, part: Callable[[Box], Box]) -> int:
        """What a part sees of all tiles together: up and down as far in all columns."""
        (top, bottom), (left, right) = self.rows[0], self.columns[0]
        column = [part(Box(row[0], left, row[1], right)) for row in self.rows]
        row = [part(Box(top, column[0], bottom, column[1])) for column in self.columns]
        return sum(tile.height for tile in column) * sum(tile.width for tile in row)

    @property
    def middle(self) -> Box:
        """A tile of the largest size, with others around it where there are."""
        top, left = (ends[len(ends) // 2][0] for ends in (self.rows, self.columns))
        return Box(top, left, top + self.side[0], left + self.side[1])


def _work(cut: _Cut, match: _Cut, taken: TileMemory, encode: _Cut | None = None) -> float:
    """What tiles, and those of the match and of a whole encoder, compute, as a multiple of the picture."""
    config, size, area = taken.config, taken.size, cut.area
    total = _TIME_MATCH * match.area(taken.matched)
    if encode is None:
        total += _TIME_ENCODE * area(lambda core: taken.encoded(core, _SHORT // config.stride))
    else:
        total += _TIME_ENCODE * encode.area(taken.encoded_whole)
        total += _TIME_LOOK * area(lambda core: Boxes.around(core, config, size).fused) / config.stride**2
    total += _TIME_DECODE * area(lambda core: Boxes.around(core, config, size).decoded) / config.stride**2
    total += _TIME_BLEND * area(lambda core: Boxes.around(core, config, size).fused) / config.stride**2
    return total / area(lambda core: core.at(config.stride)) * (_UNCACHED if config.stride > 1 else 1)
