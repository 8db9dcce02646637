"""Accesses to one place by two threads, one of them a write, that no barrier orders.

Time is the number of instructions so far. Two accesses are in order if one thread makes both, if a barrier of
the block lies between them, or if both threads are of one warp and a barrier of the warp lies between them. A
shuffle is not a barrier: it orders registers, not memory.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Lanes = NDArray[np.int64]


class Clocks:
    """When threads last passed barriers. ``first``: number of the first thread among all of the launch."""

    def __init__(self, first: int, threads: int, block: int) -> None:
        self.first, self.block = first, block
        self.now = 0
        self.of_block = np.zeros(threads, np.int64)
        self.of_warp = np.zeros(threads, np.int64)

    def block_barrier(self, lanes: Lanes) -> None:
        self.of_block[lanes] = self.of_warp[lanes] = self.now

    def warp_barrier(self, lanes: Lanes) -> None:
        self.of_warp[lanes] = self.now


class Races:
    """The last accesses to every place of a memory; places are numbered.

    Reads are only followed if asked for: without them a write after a read of another thread is not found.
    """

    def __init__(self, places: int, reads: bool) -> None:
        self.writer = np.full(places, -1, np.int64)
        self.write_time = np.full(places, -1, np.int64)
        self.reads = reads
        if reads:
            # The thread that read last and, if others of its warp or of other warps did too, when they did.
            self.reader = np.full(places, -1, np.int64)
            self.read_time = np.full(places, -1, np.int64)
            self.warp_time = np.full(places, -1, np.int64)
            self.block_time = np.full(places, -1, np.int64)

    def read(self, places: Lanes, lanes: Lanes, clocks: Clocks) -> bool:
        """Whether a write is not in order with this read."""
        threads, block, warp = self._who(lanes, clocks)
        when = self.write_time[places]
        bad = bool((when >= block).any()) and self._clash(self.writer[places], when, threads, block, warp)
        if self.reads:
            last, when = self.reader[places], self.read_time[places]
            other = (last != threads) & (when >= warp)
            if other.any():
                same_warp = last // 32 == threads // 32
                at = places[other & same_warp]
                self.warp_time[at] = np.maximum(self.warp_time[at], when[other & same_warp])
                at = places[other & ~same_warp]
                self.block_time[at] = np.maximum(self.block_time[at], when[other & ~same_warp])
            self.reader[places] = threads
            self.read_time[places] = clocks.now
            # Several lanes of this very instruction that read one place.
            several = self.reader[places] != threads
            if several.any():
                at, first = places[several], threads[several]
                same_warp = self.reader[at] // 32 == first // 32
                self.warp_time[at[same_warp]] = clocks.now
                self.block_time[at[~same_warp]] = clocks.now
        return bad

    def write(self, places: Lanes, lanes: Lanes, clocks: Clocks) -> bool:
        """Whether another access is not in order with this write."""
        threads, block, warp = self._who(lanes, clocks)
        when = self.write_time[places]
        bad = bool((when >= block).any()) and self._clash(self.writer[places], when, threads, block, warp)
        if self.reads:
            when = self.read_time[places]
            late = when >= block
            if late.any():
                bad |= self._clash(self.reader[places], when, threads, block, warp)
                bad |= bool((self.warp_time[places] >= warp)[late].any())
                bad |= bool((self.block_time[places] >= block)[late].any())
        self.writer[places] = threads
        self.write_time[places] = clocks.now
        return bad or bool((self.writer[places] != threads).any())

    def _who(self, lanes: Lanes, clocks: Clocks) -> tuple[Lanes, Lanes, Lanes]:
        return lanes + clocks.first, clocks.of_block[lanes], clocks.of_warp[lanes]

    @staticmethod
    def _clash(others: Lanes, when: Lanes, threads: Lanes, block: Lanes, warp: Lanes) -> bool:
        ordered = (others == threads) | (when < block) | ((others // 32 == threads // 32) & (when < warp))
        return bool((~ordered).any())
