"""Device and shared memory as bytes, and what is wrong with an access."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .races import Races

BASE = 0x7000_0000_0000
"""Address of the first byte of device memory: none that a kernel makes of small numbers by mistake."""

FREE, NEW, WRITTEN = 0, 1, 3  # of a byte
_WORDS: dict[int, Any] = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


class Fault(Exception):
    """What a kernel must not do; the message begins with the kind."""


class Memory:
    """Bytes from address ``base`` on, filled with 0xFF: NaN in every type of number.

    Args:
        size: in bytes, a multiple of 16.
        place: bytes that :class:`Races` tells apart.
    """

    def __init__(self, size: int, base: int, place: int) -> None:
        self.base, self.place = base, place
        self.bytes = np.full(size, 0xFF, np.uint8)
        self.state = np.zeros(size, np.uint8)
        self.races: Races | None = None
        self.touched: list[NDArray[np.int64]] | None = (
            None  # collects the offsets of accesses, if it is a list
        )
        self.words = {width: self.bytes.view(word) for width, word in _WORDS.items()}
        self.states = {width: self.state.view(word) for width, word in _WORDS.items()}

    def check(self, address: NDArray[np.int64], width: int, parts: int) -> NDArray[np.int64]:
        """Index of each access in words of ``width`` bytes; all ``parts`` words are there and aligned
        together.

        Raises:
            Fault: an address is not aligned to the whole access or outside of every array.
        """
        at = address - self.base
        if (at & (width * parts - 1)).any():
            raise Fault(
                f"misaligned: {width * parts} bytes at {hex(int(address[(at % (width * parts)) != 0][0]))}"
            )
        if at.size and (int(at.min()) < 0 or int(at.max()) + width * parts > self.bytes.size):
            raise Fault("out of bounds: an address outside of the memory")
        if self.touched is not None:
            self.touched.append(at)
        index = at // width
        new = np.array([NEW] * width, np.uint8).view(_WORDS[width])[0]
        for part in range(parts):
            if ((self.states[width][index + part] & new) != new).any():
                raise Fault("out of bounds: an address outside of every array")
        return index

    def written(self, index: NDArray[np.int64], width: int, parts: int) -> bool:
        """Whether all those words were written before."""
        full = np.array([WRITTEN] * width, np.uint8).view(_WORDS[width])[0]
        return all(bool((self.states[width][index + part] == full).all()) for part in range(parts))

    def read(self, index: NDArray[np.int64], width: int, part: int) -> NDArray[Any]:
        word: NDArray[Any] = self.words[width][index + part]
        return word

    def write(self, index: NDArray[np.int64], width: int, part: int, values: NDArray[Any]) -> None:
        self.words[width][index + part] = values
        self.states[width][index + part] = np.array([WRITTEN] * width, np.uint8).view(_WORDS[width])[0]

    def places(self, index: NDArray[np.int64], width: int, parts: int) -> list[NDArray[np.int64]]:
        """Numbers of the places that each access covers."""
        first, count = index * width // self.place, max(1, width * parts // self.place)
        return [first + i for i in range(count)]


class Device(Memory):
    """Device memory with arrays far enough apart that an index off by a row leaves its array."""

    GAP = 512

    def __init__(self, size: int = 16 << 20) -> None:
        super().__init__(size, BASE, place=1)
        self.used = self.GAP
        self.additions: NDArray[np.int32] | None = None

    def allocate(self, size: int, shift: int = 0, gap: int = GAP) -> int:
        """Address of a new array, ``shift`` bytes after a multiple of 256."""
        first = -(-(self.used + gap) // 256) * 256 + shift
        if first + size + gap > self.bytes.size:
            raise MemoryError(f"{self.bytes.size} bytes of device memory are too few")
        self.state[first : first + size] = NEW
        self.used = first + size
        return self.base + first

    def put(self, array: NDArray[Any], shift: int = 0) -> int:
        address = self.allocate(array.nbytes, shift)
        at = address - self.base
        self.bytes[at : at + array.nbytes] = np.ascontiguousarray(array).view(np.uint8).ravel()
        self.state[at : at + array.nbytes] = WRITTEN
        return address

    def get(self, address: int, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """An array's contents.

        Raises:
            Fault: a part of it was never written.
        """
        at, size = address - self.base, int(np.prod(shape)) * np.dtype(dtype).itemsize
        if (self.state[at : at + size] != WRITTEN).any():
            raise Fault("unwritten: the kernels left a part of a result as it was")
        return self.bytes[at : at + size].copy().view(dtype).reshape(shape)

    def zero(self, address: int, size: int) -> None:
        at = address - self.base
        if (self.state[at : at + size] == FREE).any():
            raise Fault("out of bounds: cleared memory outside of every array")
        self.bytes[at : at + size] = 0
        self.state[at : at + size] = WRITTEN

    def begin_launch(self, races: bool) -> None:
        """Kernels run one after the other: nothing before a launch clashes with it."""
        self.races = Races(self.used // self.place + 64, grid=True) if races else None
        self.additions = None

    def count_additions(self, index: NDArray[np.int64], width: int) -> None:
        """Atomics of this launch, by address."""
        if self.additions is None:
            self.additions = np.zeros(self.used // 4 + 1, np.int32)
        np.add.at(self.additions, index * width // 4, 1)

    def most_additions(self) -> int:
        return 0 if self.additions is None else int(self.additions.max())


class Shared(Memory):
    """Shared memory of ``blocks`` thread blocks that run side by side, ``size`` bytes each from address 0
    on."""

    def __init__(self, size: int, blocks: int, races: bool) -> None:
        self.size, self.pitch = size, -(-(size + 16) // 128) * 128
        super().__init__(self.pitch * blocks, 0, place=4)
        self.state.reshape(blocks, self.pitch)[:, :size] = NEW
        if races:
            self.races = Races(self.pitch * blocks // self.place, grid=False)

    def locate(self, address: NDArray[np.int64], block: NDArray[np.int64]) -> NDArray[np.int64]:
        """Addresses of one block's window as addresses in all blocks' memory."""
        if address.size and (int(address.min()) < 0 or int(address.max()) >= self.size):
            raise Fault("out of bounds: an address outside of the block's shared memory")
        return address + block * self.pitch
