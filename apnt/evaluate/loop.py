"""The loop: every method on every bracket, compared with the truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np

from apnt.bracket import Bracket
from apnt.errors import InputError
from apnt.evaluate.protocols import PEERS, Column, Protocol, pixel_masks
from apnt.evaluate.scores import Table
from apnt.metrics import Metric


def evaluate_brackets(
    methods: Mapping[str, Callable[[Bracket], np.ndarray]],
    brackets: Iterable[Bracket],
    protocols: Sequence[Protocol] = (PEERS,),
    *,
    display: Collection[str] = (),
    begin: Callable[[str, str], None] | None = None,
    done: Callable[[Bracket, dict[str, np.ndarray]], None] | None = None,
) -> Table:
    """Run every method on every bracket and compare with the truth.

    Args:
        methods: name -> function from a bracket to (H, W, 3) linear radiance in [0, 1].
        brackets: with truth; taken one at a time, so a set need not fit in memory.
        protocols: what to measure.
        display: names of the methods that make a picture for a display instead. They run, and are shown, but
            a picture is no radiance that could be compared with the truth: all their numbers are NaN.
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
    for bracket in brackets:
        if bracket.truth is None:
            raise InputError(f"brackets must have truth to be evaluated, {bracket.name!r} has none")
        table.scenes.append(bracket.name)
        results = {}
        for method, fuse in methods.items():
            if begin is not None:
                begin(bracket.name, method)
            results[method] = fuse(bracket)
            if method in display:
                for column in table.columns:
                    table.scores[method][column.key].append(math.nan)
                continue
            try:
                measured = _measure(results[method], bracket, table.columns)
            except InputError as error:
                raise InputError(f"method {method!r} on bracket {bracket.name!r}: {error}") from error
            for key, value in measured.items():
                table.scores[method][key].append(value)
        if done is not None:
            done(bracket, results)
    if not table.scenes:
        raise InputError("brackets must hold at least one bracket, got none")
    return table


def _measure(result: np.ndarray, bracket: Bracket, columns: Sequence[Column]) -> dict[str, float]:
    """Column key -> number; a metric runs once for all the columns that share it."""
    assert bracket.truth is not None
    masks = pixel_masks(bracket)
    groups: dict[Metric, list[Column]] = {}
    for column in columns:
        groups.setdefault(column.metric, []).append(column)
    measured: dict[str, float] = {}
    for metric, group in groups.items():
        values = metric(result, bracket.truth, [masks[column.pixels] for column in group])
        measured |= {column.key: value for column, value in zip(group, values, strict=True)}
    return measured
