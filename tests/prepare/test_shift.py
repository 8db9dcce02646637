"""Correlations under all shifts at once are those of one shift after the other."""

from __future__ import annotations

import numpy as np
import pytest

from apnt.prepare.shift import correlations


def usable_part(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    mask = (rng.random(size) > 0.3).astype(np.float32)
    return rng.normal(size=size).astype(np.float32) * mask, mask


def overlap(n: int, shift: int) -> tuple[slice, slice]:
    """Where the content of the first lies, and where in the second."""
    return slice(max(0, -shift), min(n, n - shift)), slice(max(0, shift), min(n, n + shift))


@pytest.mark.parametrize("size", [(40, 53), (61, 40)])
def test_every_shift_has_the_correlation_of_what_overlaps(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    first, seen = usable_part(rng, size)
    second, usable = usable_part(rng, size)
    found, count = correlations(first, seen, second, usable)
    down, right = (n // 5 for n in size)
    assert found.shape == (2 * down + 1, 2 * right + 1)
    for dy in range(-down, down + 1):
        for dx in range(-right, right + 1):
            (top, low), (left, side) = overlap(size[0], dy), overlap(size[1], dx)
            both = (seen[top, left] > 0) & (usable[low, side] > 0)
            direct = np.corrcoef(first[top, left][both], second[low, side][both])[0, 1]
            assert count[dy + down, dx + right] == pytest.approx(both.sum(), abs=1e-2)
            assert found[dy + down, dx + right] == pytest.approx(direct, abs=1e-4), (dy, dx)
