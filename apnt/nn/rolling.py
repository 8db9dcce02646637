"""Features between two convolutions, of which only some rows lie in memory."""

from __future__ import annotations

import torch
from torch import Tensor

STRIP = 3 << 20
"""Bytes, in half precision, of the widest features of a few rows, for each thread: caches hold them."""


def rows_at_once(row: int, least: int) -> int:
    """How many rows of ``row`` numbers each are computed at once, ``least`` or more."""
    return max(STRIP * torch.get_num_threads() // (2 * max(row, 1)), least)


class Rolling:
    """A window of rows that goes down a feature map.

    Args:
        memory: (N, C, h, W) for h rows, the most that are held.
        pad: rows above the next that is asked for, which are held, too.
    """

    def __init__(self, memory: Tensor, pad: int):
        self.memory, self.pad = memory, pad
        self.top = self.end = 0  # rows that are held

    def extend(self, end: int, asked: int) -> Tensor:
        """Where the rows up to ``end`` are to be written, (N, C, rows, W).

        Args:
            end: beyond those that are held.
            asked: the next row that is asked for.
        """
        top = max(asked - self.pad, 0)
        kept = self.end - top
        if top > self.top:
            moved = top - self.top
            self.memory[:, :, :kept] = self.memory[:, :, moved : moved + kept]
        self.top, self.end = top, end
        return self.memory[:, :, kept : end - top]

    def rows(self, low: int, high: int) -> Tensor:
        """Those from ``low`` to ``high``, which are held."""
        return self.memory[:, :, low - self.top : high - self.top]
