"""``apnt`` with a network that works on the first rows of tiles alone; the rest shows the reference's light.

    python -m apnt.benchmarks.first_rows ROWS fuse ...

For memory, which later rows of tiles do not add to: all that comes before and after the network works on the
whole picture, and a large one is done in minutes where the network would take an hour.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from apnt.nn.boxes import tiled
from apnt.nn.domains import MEDIUM, to_radiance
from apnt.nn.tiled import Part, Tiled


def only(rows: int) -> None:
    """Have pictures that are fused in tiles be done after so many rows of them."""
    run = Tiled.run

    def first(self: Tiled, side: int | tuple[int, int], *arguments: Any, **options: Any) -> Iterator[Part]:
        block = 4 * self.stride
        tiles = list(tiled(self.picture, side, block))
        left = rows * sum(tile.top == self.picture.top for tile in tiles)
        others = tiles[left:]
        for part in run(self, side, *arguments, **options):
            yield part
            left -= part.last
            if left == 0:
                break
        for tile in others:
            own = self.own(tile)
            light = to_radiance(self.crop(own), self.times, self.config.gamma)[0, MEDIUM]
            yield Part(self.shown(own), light.clamp(0, 1), {})

    Tiled.run = first  # type: ignore[method-assign]


def main() -> None:
    from apnt.cli import app

    only(int(sys.argv.pop(1)))
    app(prog_name="apnt")


if __name__ == "__main__":
    main()
