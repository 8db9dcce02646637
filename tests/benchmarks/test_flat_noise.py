"""The noise that others are measured against: that of the best weights, of the frames that do not clip."""

from __future__ import annotations

import numpy as np
import pytest

from apnt.benchmarks import flat_noise
from apnt.benchmarks.flat_noise import GAMMA, TIMES, best_noise, inside, table


def test_best_noise_is_that_of_inverse_variances() -> None:
    rng = np.random.default_rng(0)
    light = 0.05 + np.array([0.004, 0.002, 0.0])[:, None, None, None] * rng.standard_normal((3, 192, 64, 3))
    frames = (light * TIMES[:, None, None, None]).clip(0, 1) ** (1 / GAMMA)
    frames[2] = 1.0  # clips
    noise, count = best_noise(frames, 0)
    assert count == 2
    assert noise == pytest.approx((1 / 0.004**2 + 1 / 0.002**2) ** -0.5, rel=0.03)


def test_the_rows_are_of_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flat_noise, "LEVELS", (0.05, 0.5))
    head, dark, bright = table(flat_noise.NOISES["usual"], [])
    assert head == ["light", "frames", "weighted (eq. 1): noise, mean"]
    assert (dark[:2], bright[:2]) == (["0.05", "3"], ["0.5", "1"])
    noise, mean = (float(cell) for cell in bright[2].split(", "))
    assert noise == pytest.approx(1, abs=0.01)  # one frame holds it, in the merge as in the best one
    assert mean == pytest.approx(1, abs=0.01)
    assert inside(1)[1] == slice(80, 112)
