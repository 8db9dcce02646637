"""Accesses to one place by two threads that no barrier orders: one of them a write, or one an atomic and the
other a read.

Time is the number of instructions so far. Two accesses are in order if one thread makes both, if a barrier of
the block lies between them, or if both threads are of one warp and a barrier of the warp lies between them.
Nothing orders those of two blocks. A shuffle is not a barrier: it orders registers, not memory.
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


class _Last:
    """The last accesses of one kind, which do not clash with each other, to every place."""

    def __init__(self, places: int) -> None:
        # The thread that was there last and, if others of its warp or of other warps were, when.
        self.thread = np.full(places, -1, np.int64)
        self.time = np.full(places, -1, np.int64)
        self.warp_time = np.full(places, -1, np.int64)
        self.block_time = np.full(places, -1, np.int64)

    def add(self, places: Lanes, threads: Lanes, warp: Lanes, now: int) -> None:
        last, when = self.thread[places], self.time[places]
        other = (last != threads) & (when >= warp)
        if other.any():
            same_warp = last // 32 == threads // 32
            at = places[other & same_warp]
            self.warp_time[at] = np.maximum(self.warp_time[at], when[other & same_warp])
            at = places[other & ~same_warp]
            self.block_time[at] = np.maximum(self.block_time[at], when[other & ~same_warp])
        self.thread[places] = threads
        self.time[places] = now
        # Several lanes of this very instruction that access one place.
        several = self.thread[places] != threads
        if several.any():
            at, first = places[several], threads[several]
            same_warp = self.thread[at] // 32 == first // 32
            self.warp_time[at[same_warp]] = now
            self.block_time[at[~same_warp]] = now

    def clashes(self, places: Lanes, threads: Lanes, block: Lanes, warp: Lanes) -> bool:
        """Whether one of them is not in order with an access of another kind."""
        when = self.time[places]
        late = when >= block
        if not late.any():
            return False
        return (
            _clash(self.thread[places], when, threads, block, warp)
            or bool((self.warp_time[places] >= warp)[late].any())
            or bool((self.block_time[places] >= block)[late].any())
        )


class _Blocks:
    """Which block accessed every place, in one way."""

    NONE, SEVERAL = -1, -2

    def __init__(self, places: int) -> None:
        self.block = np.full(places, self.NONE, np.int64)

    def add(self, places: Lanes, blocks: Lanes) -> None:
        before = self.block[places]
        self.block[places] = np.where((before == self.NONE) | (before == blocks), blocks, self.SEVERAL)
        together = places[self.block[places] != blocks]
        self.block[together] = self.SEVERAL

    def others(self, places: Lanes, blocks: Lanes) -> bool:
        found = self.block[places]
        return bool(((found != self.NONE) & (found != blocks)).any())


class Races:
    """The last accesses to every place of a memory; places are numbered. ``grid``: blocks share it."""

    def __init__(self, places: int, grid: bool) -> None:
        self.writer = np.full(places, -1, np.int64)
        self.write_time = np.full(places, -1, np.int64)
        self.reads, self.atomics = _Last(places), _Last(places)
        self.blocks = [_Blocks(places) for _ in range(3)] if grid else []  # that read, add, write

    def read(self, places: Lanes, lanes: Lanes, clocks: Clocks) -> bool:
        """Whether a write or an atomic is not in order with this read."""
        bad = self._access(self.reads, self.atomics, places, lanes, clocks)
        return bad | self._between_blocks(0, (1, 2), places, lanes, clocks)

    def atomic(self, places: Lanes, lanes: Lanes, clocks: Clocks) -> bool:
        """Whether a write or a read is not in order with this atomic; others may be."""
        bad = self._access(self.atomics, self.reads, places, lanes, clocks)
        return bad | self._between_blocks(1, (0, 2), places, lanes, clocks)

    def write(self, places: Lanes, lanes: Lanes, clocks: Clocks) -> bool:
        """Whether another access is not in order with this write."""
        threads, block, warp = self._who(lanes, clocks)
        bad = self._clashes_with_writes(places, threads, block, warp)
        bad |= self.reads.clashes(places, threads, block, warp)
        bad |= self.atomics.clashes(places, threads, block, warp)
        bad |= self._between_blocks(2, (0, 1, 2), places, lanes, clocks)
        self.writer[places] = threads
        self.write_time[places] = clocks.now
        return bad or bool((self.writer[places] != threads).any())

    def _access(self, own: _Last, others: _Last, places: Lanes, lanes: Lanes, clocks: Clocks) -> bool:
        threads, block, warp = self._who(lanes, clocks)
        bad = self._clashes_with_writes(places, threads, block, warp)
        bad |= others.clashes(places, threads, block, warp)
        own.add(places, threads, warp, clocks.now)
        return bad

    def _between_blocks(
        self, kind: int, others: tuple[int, ...], places: Lanes, lanes: Lanes, clocks: Clocks
    ) -> bool:
        if not self.blocks:
            return False
        blocks = (lanes + clocks.first) // clocks.block
        bad = any(self.blocks[other].others(places, blocks) for other in others)
        self.blocks[kind].add(places, blocks)
        return bad

    def _clashes_with_writes(self, places: Lanes, threads: Lanes, block: Lanes, warp: Lanes) -> bool:
        when = self.write_time[places]
        return bool((when >= block).any()) and _clash(self.writer[places], when, threads, block, warp)

    def _who(self, lanes: Lanes, clocks: Clocks) -> tuple[Lanes, Lanes, Lanes]:
        return lanes + clocks.first, clocks.of_block[lanes], clocks.of_warp[lanes]


def _clash(others: Lanes, when: Lanes, threads: Lanes, block: Lanes, warp: Lanes) -> bool:
    ordered = (others == threads) | (when < block) | ((others // 32 == threads // 32) & (when < warp))
    return bool((~ordered).any())
