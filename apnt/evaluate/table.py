"""Scores of several methods on several brackets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from apnt.data.bracket import Bracket
from apnt.errors import InputError
from apnt.metrics import psnr_linear, psnr_mu, ssim_linear, ssim_mu


class Column(NamedTuple):
    """One measure: (H, W, 3) result, (H, W, 3) truth, (H, W) bool pixels or None -> number."""

    key: str
    title: str
    digits: int
    measure: Callable[[np.ndarray, np.ndarray, np.ndarray | None], float]
    pixels: str = "all"


COLUMNS = (
    Column("psnr_mu", "PSNR-µ", 2, psnr_mu),
    Column("psnr_linear", "PSNR-L", 2, psnr_linear),
    Column("ssim_mu", "SSIM-µ", 4, ssim_mu),
    Column("ssim_linear", "SSIM-L", 4, ssim_linear),
    Column("psnr_mu_saturated", "PSNR-µ sat.", 2, psnr_mu, "saturated"),
    Column("psnr_mu_moving_saturated", "PSNR-µ moving sat.", 2, psnr_mu, "moving saturated"),
)
"""``saturated`` are pixels of the medium exposure; ``moving saturated`` those that also move."""


@dataclass(frozen=True)
class Table:
    """What :func:`evaluate` measured.

    Attributes:
        scenes: names of the brackets.
        scores: method -> column key -> one number for each scene; NaN where the scene has no such pixels.
    """

    scenes: list[str]
    scores: dict[str, dict[str, list[float]]]

    def mean(self, method: str, key: str) -> float:
        """Mean of the per-image values, without the scenes that have none; NaN if no scene has one."""
        known = [value for value in self.scores[method][key] if not math.isnan(value)]
        return sum(known) / len(known) if known else math.nan

    def count(self, key: str) -> int:
        """Number of scenes behind the means of a column."""
        first = next(iter(self.scores.values()))
        return sum(not math.isnan(value) for value in first[key])


def evaluate(methods: Mapping[str, Callable[[Bracket], np.ndarray]], brackets: Iterable[Bracket]) -> Table:
    """Run every method on every bracket and compare with the truth.

    Args:
        methods: name -> function from a bracket to (H, W, 3) linear radiance in [0, 1].
        brackets: with truth; taken one at a time, so a set need not fit in memory.

    Raises:
        InputError: no methods, no brackets, a bracket without truth, or a result that cannot be compared.
    """
    if not methods:
        raise InputError("methods must name at least one method, got none")
    scenes: list[str] = []
    scores: dict[str, dict[str, list[float]]] = {
        method: {column.key: [] for column in COLUMNS} for method in methods
    }
    for bracket in brackets:
        if bracket.truth is None:
            raise InputError(f"brackets must have truth to be evaluated, {bracket.name!r} has none")
        scenes.append(bracket.name)
        masks = _masks(bracket)
        for method, fuse in methods.items():
            result = fuse(bracket)
            for column in COLUMNS:
                try:
                    value = column.measure(result, bracket.truth, masks[column.pixels])
                except InputError as error:
                    raise InputError(f"method {method!r} on bracket {bracket.name!r}: {error}") from error
                scores[method][column.key].append(value)
    if not scenes:
        raise InputError("brackets must hold at least one bracket, got none")
    return Table(scenes, scores)


def _masks(bracket: Bracket) -> dict[str, np.ndarray | None]:
    saturated = bracket.saturated
    moving = np.zeros_like(saturated) if bracket.moving is None else bracket.moving
    return {"all": None, "saturated": saturated, "moving saturated": saturated & moving}
