"""Checks that recipes of brackets share: of ranges, shares and sizes, each named by its field."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from apnt.errors import InputError


def check_ranges(recipe: object, names: Iterable[str]) -> None:
    """Refuse pairs that are no range from 0 on."""
    for name in names:
        low, high = getattr(recipe, name)
        if not 0 <= low <= high:
            raise InputError(f"{name} must be a range from 0, the smaller first, got {low} to {high}")


def check_above_zero(recipe: object, names: Iterable[str]) -> None:
    """Refuse ranges that begin at 0."""
    for name in names:
        if not getattr(recipe, name)[0] > 0:
            raise InputError(f"{name} must be a range above 0, got {getattr(recipe, name)}")


def check_between(recipe: object, names: Iterable[str], largest: float) -> None:
    """Refuse numbers outside [0, ``largest``], and ranges that reach beyond."""
    for name in names:
        value = np.max(getattr(recipe, name))
        if not 0 <= value <= largest:
            raise InputError(f"{name} must lie between 0 and {largest}, got {value}")


def check_not_negative(recipe: object, names: Iterable[str]) -> None:
    """Refuse numbers below 0."""
    for name in names:
        if not getattr(recipe, name) >= 0:
            raise InputError(f"{name} must be at least 0, got {getattr(recipe, name)}")
