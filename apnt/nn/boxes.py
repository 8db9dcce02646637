"""Parts of a picture: where a tile lies, and what has to lie around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor


class Box(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` of a picture, the ends not included."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.right - self.left

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    @property
    def rows(self) -> slice:
        """Of an array."""
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        """Of an array."""
        return slice(self.left, self.right)

    def grown(self, by: int, block: int, size: tuple[int, int]) -> Box:
        """With ``by`` pixels around it, and outwards to whole blocks, as far as the picture goes.

        Args:
            by: pixels.
            block: pixels a side; divides ``size``.
            size: height and width of the picture.
        """
        return Box(
            max((self.top - by) // block * block, 0),
            max((self.left - by) // block * block, 0),
            min(-(-(self.bottom + by) // block) * block, size[0]),
            min(-(-(self.right + by) // block) * block, size[1]),
        )

    def moved(self, offsets: Tensor) -> Box:
        """The smallest box that holds its pixels and those at offsets (N, 2, h, w), (dy, dx), from them."""
        low, high = offsets.amin(dim=(0, 2, 3)).tolist(), offsets.amax(dim=(0, 2, 3)).tolist()
        return Box(
            self.top + min(0, int(low[0])),
            self.left + min(0, int(low[1])),
            self.bottom + max(0, int(high[0])),
            self.right + max(0, int(high[1])),
        )

    def joined(self, other: Box) -> Box:
        """The smallest box that holds both."""
        return Box(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )

    def at(self, step: int) -> Box:
        """The same place in a picture of which each pixel stands for ``step`` by ``step``."""
        return Box(self.top // step, self.left // step, self.bottom // step, self.right // step)

    def times(self, step: int) -> Box:
        """The same place in a picture of which ``step`` by ``step`` pixels stand for each."""
        return Box(self.top * step, self.left * step, self.bottom * step, self.right * step)

    def of(self, x: Tensor, outer: Box | None = None) -> Tensor:
        """What lies in the box of (..., H, W), a picture, or that part of it which lies in ``outer``."""
        top, left = (outer.top, outer.left) if outer else (0, 0)
        return x[..., self.top - top : self.bottom - top, self.left - left : self.right - left]


def in_two(box: Box, block: int) -> list[Box]:
    """The box cut across its longer side, into whole blocks; the box alone where it is a single one."""
    across = Box(box.top, box.left, box.top + _half(box.height, block), box.right)
    if box.width > box.height:
        across = Box(box.top, box.left, box.bottom, box.left + _half(box.width, block))
        return [across, box._replace(left=across.right)] if across.right < box.right else [box]
    return [across, box._replace(top=across.bottom)] if across.bottom < box.bottom else [box]


def fitting(box: Box, block: int, fits: Callable[[Box], bool]) -> list[Box]:
    """The box, or parts of it that fit, as far as whole blocks can be cut."""
    if fits(box):
        return [box]
    found = in_two(box, block)
    return found if len(found) == 1 else [part for half in found for part in fitting(half, block, fits)]


def _half(length: int, block: int) -> int:
    return -(-length // (2 * block)) * block


def whole(size: tuple[int, int]) -> Box:
    """All of a picture of this height and width."""
    return Box(0, 0, *size)


def tiled(box: Box, side: int | tuple[int, int], block: int) -> Iterator[Box]:
    """Cut a box into tiles of about equal size, row by row.

    Args:
        box: what is cut; its sides are whole blocks.
        side: pixels, the longest side of a tile, or its largest height and width; at least a block is cut.
        block: pixels; the tiles' sides are whole blocks.
    """
    height, width = (side, side) if isinstance(side, int) else side
    rows, columns = cuts(box.top, box.bottom, height, block), cuts(box.left, box.right, width, block)
    for top, bottom in rows:
        for left, right in columns:
            yield Box(top, left, bottom, right)


def cuts(low: int, high: int, side: int, block: int) -> list[tuple[int, int]]:
    """Cut ``low`` to ``high`` into whole blocks, about equally long, none longer than ``side``."""
    blocks, most = (high - low) // block, max(1, side // block)
    count = -(-blocks // most)
    ends = [low + blocks * k // count * block for k in range(count + 1)]
    return list(pairwise(ends))
