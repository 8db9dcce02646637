"""The scores of several methods on several brackets, and their means."""

from __future__ import annotations

import math
from dataclasses import dataclass

from apnt.evaluate.protocols import PEERS, Column, Protocol


@dataclass(frozen=True)
class Table:
    """What :func:`apnt.evaluate.loop.evaluate_brackets` measured.

    Attributes:
        scenes: names of the brackets.
        scores: method -> column key -> one number for each scene; NaN where the scene has no such pixels.
        protocols: what was measured.
    """

    scenes: list[str]
    scores: dict[str, dict[str, list[float]]]
    protocols: tuple[Protocol, ...] = (PEERS,)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of all protocols."""
        return tuple(column for protocol in self.protocols for column in protocol.columns)

    def mean(self, method: str, key: str) -> float:
        """Mean of the per-image values, without the scenes that have none; NaN if no scene has one."""
        known = [value for value in self.scores[method][key] if not math.isnan(value)]
        return sum(known) / len(known) if known else math.nan

    def count(self, key: str) -> int:
        """Number of scenes behind the means of a column."""
        first = next(iter(self.scores.values()))
        return sum(not math.isnan(value) for value in first[key])
