"""The plan for a large picture: how it is cut so that a memory budget holds, and what that takes."""

from __future__ import annotations

from typing import NamedTuple

from apnt.budget import shown, too_small
from apnt.nn import reach
from apnt.nn.boxes import Box, tiled
from apnt.nn.config import APNTConfig
from apnt.nn.means import WHOLE
from apnt.nn.tiled import Boxes, padded
from apnt.text import duration

SMALLEST, LARGEST = 64, 1024
"""Sides of tiles in pixels of the network. Smaller ones are mostly margin; larger ones gain nothing."""
_STEP = 32
_ADVICE = "raise it with --memory, take --weights fast, or scale the photographs down"

# Bytes a pixel of the network, in units of a feature map's pixel (its channels in the type that is computed
# in), and on top of that bytes for pictures, which stay float32. Measured; `benchmarks/memory.py`
# shows whether budgets hold.
_MATCH = {"learned": (5.0, 120), "vgg19": (30.0, 160), "encoder": (21.0, 260)}
_ENCODE = (12.0, 150)
_BLEND = (27.0, 405)
_HEAP = 1.1  # what the allocator holds beyond what is used

_UNCACHED = 1.45  # processor time of a tile over that of windows, which stay in the caches; with a stride
# Share of each part in the time of a window, of which all see the same pixels.
_TIME_MATCH, _TIME_ENCODE, _TIME_DECODE, _TIME_BLEND = 0.25, 0.22, 0.18, 0.35


class Plan(NamedTuple):
    """How a picture is cut.

    Attributes:
        tiles: how many; 1 where it is fused whole.
        side, match_side: longest sides of tiles of the network and of its match, full-size pixels.
        memory: bytes that the process is expected to take at most.
        budget: bytes that it may take.
        work: how much is computed, as a multiple of the picture; what tiles share is computed in each.
        most: pixels of the network that are encoded, and matched, at once.
    """

    tiles: int
    side: int
    match_side: int
    memory: int
    budget: int
    work: float
    most: tuple[int, int] | None = None

    def sentence(self, seconds: float) -> str:
        """What a user reads before the work, with the time that it is expected to take."""
        cut = "at once" if self.tiles == 1 else f"in {self.tiles} tiles of at most {self.side} pixels a side"
        return f"{cut}, about {duration(seconds)}, {shown(self.memory)} of {shown(self.budget)}"


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
    """Cut a picture into the largest tiles that a budget allows.

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
    stride = config.stride
    picture, within = padded(size, config)
    longest = max(within) // stride
    if at_once:
        needed = held + max(least, _memory_whole(config, within, item))
        if needed > budget:
            raise too_small(budget, needed, _ADVICE)
        return Plan(1, max(within), max(within), needed, budget, 1.0)
    sides = [side for side in range(SMALLEST, LARGEST + 1, _STEP) if side < longest + _STEP]
    memory = {side: held + max(least, _memory_tiled(config, within, side, item)) for side in sides}
    fitting = [side for side in sides if memory[side] <= budget]
    if not fitting:
        raise too_small(budget, memory[sides[0]], _ADVICE)
    side = fitting[-1]
    count = sum(1 for _ in tiled(picture, side * stride, 4 * stride))
    most, work = _most(config, within, side), _work(config, picture, within, side)
    return Plan(count, side * stride, side * stride, memory[side], budget, work, most)


def bounds(config: APNTConfig, size: tuple[int, int], item: int) -> tuple[int, int]:
    """Bytes that the network takes for a picture with the smallest and with the largest tiles.

    Args:
        config, size, item: see :func:`plan`.
    """
    _, within = padded(size, config)
    if size[0] * size[1] <= WHOLE:
        whole = _memory_whole(config, within, item)
        return whole, whole
    longest = max(within) // config.stride + _STEP
    sides = SMALLEST, max(SMALLEST, min(LARGEST, longest))
    least, most = (_memory_tiled(config, within, side, item) for side in sides)
    return least, most


def _of(part: tuple[float, int], config: APNTConfig, area: int, item: int) -> float:
    """Bytes that a part of the network takes for an area, pixels of the network."""
    maps, pictures = part
    return area * (maps * config.channels[0] * item + pictures * config.stride**2) * _HEAP


def _memory_whole(config: APNTConfig, size: tuple[int, int], item: int) -> int:
    area = size[0] * size[1] // config.stride**2
    return int(_of(_BLEND, config, area, item))


def _memory_tiled(config: APNTConfig, size: tuple[int, int], side: int, item: int) -> int:
    """Bytes that tiles of a side take, pixels of the network, beside the picture."""
    boxes = Boxes.around(_middle(config, size, side), config, size)
    stride = config.stride
    inner = size[0] // stride, size[1] // stride
    encoded, matched = _most(config, size, side)
    work = max(
        _of(_MATCH[config.match_features], config, matched, item),
        _of(_ENCODE, config, encoded, item),
        _of(_BLEND, config, boxes.fused.area // stride**2, item),
    )
    return int(work + _bands(config, boxes, side, inner))


def _most(config: APNTConfig, size: tuple[int, int], side: int) -> tuple[int, int]:
    """Pixels of the network that are encoded, and matched, for a tile, at the longest usual offsets."""
    core = _middle(config, size, side)
    inner = size[0] // config.stride, size[1] // config.stride
    encoded = _encoded(Boxes.around(core, config, size), config, inner)
    return encoded.area, core.at(config.stride).grown(_match_margin(config), 4, inner).area


def _bands(config: APNTConfig, boxes: Boxes, side: int, inner: tuple[int, int]) -> int:
    """Bytes of the rows of matches that a row of tiles needs."""
    if not config.transfer:
        return 0
    rows = min((boxes.lowest - boxes.highest) // config.stride + side, inner[0])
    pixel = (2 * 2 + 4) * (1 + 1 / 4 + 1 / 16) + (8 if config.subpixel else 0) + 1
    halves = inner[0] * inner[1] * (2 * 3 * 4 / 4 + 4) if config.reach and max(inner) > config.reach else 0
    return int(rows * inner[1] * pixel * (2 if config.aligned else 1) + halves)


def _match_margin(config: APNTConfig) -> int:
    return reach.matching_features(config) + 2 * reach.search(config, began=False)


def _encoded(boxes: Boxes, config: APNTConfig, inner: tuple[int, int]) -> Box:
    """Where features are swapped from, pixels of the network, at the longest usual offsets."""
    by = reach.ENCODER + reach.LOOK
    if config.transfer:
        by += reach.swap(config) + reach.search(config, began=False)
    return boxes.decoded.at(config.stride).grown(by, 4, inner)


def _middle(config: APNTConfig, size: tuple[int, int], side: int) -> Box:
    """A tile in the middle of a picture."""
    full = side * config.stride
    top, left = (max(0, (length - full) // 2) // (4 * config.stride) * 4 * config.stride for length in size)
    return Box(top, left, min(top + full, size[0]), min(left + full, size[1]))


def _work(config: APNTConfig, picture: Box, size: tuple[int, int], side: int) -> float:
    """What tiles compute, as a multiple of the picture."""
    stride = config.stride
    inner = size[0] // stride, size[1] // stride
    total = 0.0
    for core in tiled(picture, side * stride, 4 * stride):
        boxes = Boxes.around(core, config, size)
        # Most offsets are short.
        encoded = boxes.decoded.at(stride).grown(reach.ENCODER + reach.LOOK + 8, 4, inner)
        matched = core.at(stride).grown(_match_margin(config), 4, inner)
        total += _TIME_MATCH * matched.area + _TIME_ENCODE * encoded.area
        total += (_TIME_DECODE * boxes.decoded.area + _TIME_BLEND * boxes.fused.area) / stride**2
    return total / picture.at(stride).area * (_UNCACHED if stride > 1 else 1)
