"""Scores of several methods on several brackets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from apnt.bracket import Bracket
from apnt.errors import InputError
from apnt.evaluate.protocols import PEERS, Column, Protocol
from apnt.metrics import Metric


@dataclass(frozen=True)
class Table:
    """What :func:`evaluate` measured.

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


def evaluate(
    methods: Mapping[str, Callable[[Bracket], np.ndarray]],
    brackets: Iterable[Bracket],
    protocols: Sequence[Protocol] = (PEERS,),
    *,
    begin: Callable[[str, str], None] | None = None,
    done: Callable[[Bracket, dict[str, np.ndarray]], None] | None = None,
) -> Table:
    """Run every method on every bracket and compare with the truth.

    Args:
        methods: name -> function from a bracket to (H, W, 3) linear radiance in [0, 1].
        brackets: with truth; taken one at a time, so a set need not fit in memory.
        protocols: what to measure.
        begin: called with the names of bracket and method before a method runs.
        done: called with each bracket and the results of all methods on it.

    Raises:
        InputError: no methods, no brackets, a bracket without truth, or a result that cannot be compared.
    """
    if not methods:
        raise InputError("methods must name at least one method, got none")
    table = Table([], {method: {} for method in methods}, tuple(protocols))
    for scores in table.scores.values():
        scores.update({column.key: [] for column in table.columns})
    together: dict[Metric, list[Column]] = {}
    for column in table.columns:
        together.setdefault(column.metric, []).append(column)
    for bracket in brackets:
        if bracket.truth is None:
            raise InputError(f"brackets must have truth to be evaluated, {bracket.name!r} has none")
        table.scenes.append(bracket.name)
        regions = masks(bracket)
        results = {}
        for method, fuse in methods.items():
            if begin is not None:
                begin(bracket.name, method)
            results[method] = fuse(bracket)
            for metric, columns in together.items():
                try:
                    values = metric(results[method], bracket.truth, [regions[c.pixels] for c in columns])
                except InputError as error:
                    raise InputError(f"method {method!r} on bracket {bracket.name!r}: {error}") from error
                for column, value in zip(columns, values, strict=True):
                    table.scores[method][column.key].append(value)
        if done is not None:
            done(bracket, results)
    if not table.scenes:
        raise InputError("brackets must hold at least one bracket, got none")
    return table


def masks(bracket: Bracket) -> dict[str, np.ndarray | None]:
    """The pixels that each of ``apnt.evaluate.protocols.PIXELS`` counts: (H, W) bool, None = all."""
    saturated = bracket.saturated
    moving = np.zeros_like(saturated) if bracket.moving is None else bracket.moving
    return {"all": None, "saturated": saturated, "moving saturated": saturated & moving}
