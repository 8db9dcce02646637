"""Bank conflicts: shared memory has 32 banks, of which each gives one word of 4 bytes at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .races import Lanes

BANKS = 32


@dataclass
class Turns:
    """What the shared memory of a kernel was asked for, and how often it had to be asked again."""

    accesses: int = 0
    conflicts: int = 0

    def add(self, address: Lanes, lanes: Lanes, size: int) -> None:
        """An access of ``size`` bytes by each lane. A turn is of 128 bytes: eight lanes of 16 bytes each."""
        words = max(1, size // 4)
        turn = lanes * words // BANKS
        word = address[:, None] // 4 + np.arange(words)
        found = np.unique(
            np.stack([np.repeat(turn, words), word.ravel()]), axis=1
        )  # one word for many is free
        turns, of_turn = np.unique(found[0], return_inverse=True)
        asked = np.bincount(of_turn * BANKS + found[1] % BANKS, minlength=turns.size * BANKS)
        self.accesses += turns.size
        self.conflicts += int(asked.reshape(-1, BANKS).max(1).sum()) - turns.size
