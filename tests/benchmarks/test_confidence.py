"""The measure of expected errors, on errors whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

confidence = pytest.importorskip(
    "apnt.benchmarks.confidence", reason="the benchmarks are mapped into the package when it is installed"
)


def test_groups_and_ratio_of_known_errors() -> None:
    rng = np.random.default_rng(0)
    expected = np.repeat(np.arange(1.0, 21.0), 50)
    found = np.where(expected == 20, 0.6, 0.1)
    shuffled = rng.permutation(expected.size)
    there, here = confidence.grouped(expected[shuffled], found[shuffled])
    assert there == pytest.approx(np.arange(1.0, 21.0))
    assert here == pytest.approx([0.1] * 19 + [0.6])
    assert confidence.ratio(expected[shuffled], found[shuffled]) == pytest.approx(6.0)


def test_a_measure_that_knows_nothing_has_ratio_one() -> None:
    rng = np.random.default_rng(0)
    found = rng.random(200_000)
    assert confidence.ratio(rng.random(200_000), found) == pytest.approx(1.0, abs=0.02)
    assert confidence.ratio(found, found) == pytest.approx(0.975 / 0.475, rel=0.01)
