"""The tone curve: where it starts, what it shares out, and that it never turns round."""

from __future__ import annotations

import numpy as np
import pytest

from apnt.looks.curve import ToneCurve


def scene(window: float) -> np.ndarray:
    """Stops of a room, and of a window two to three stops above white that takes a share of the picture."""
    rng = np.random.default_rng(7)
    inside = rng.normal(-5, 1, round(20000 * (1 - window)))
    return np.concatenate([inside, rng.uniform(2, 3, round(20000 * window))])


def contrast(curve: ToneCurve, low: float, high: float) -> float:
    return float(curve(high) - curve(low))


def test_what_the_picture_holds_keeps_its_contrast() -> None:
    curve = ToneCurve(scene(0.3), 3.0, -5.0)
    assert contrast(curve, 2, 3) > 0.8  # of 1
    assert contrast(curve, -1, 1) < 0.9  # of 2, of which there is nothing
    assert float(curve(3.0)) == pytest.approx(0, abs=0.07)


def test_everything_that_is_below_the_knee_stays() -> None:
    curve = ToneCurve(scene(0.3), 3.0, -5.0)
    assert contrast(curve, -5, -4.1) == pytest.approx(0.9, abs=0.02)
    assert float(curve(-5.0)) == pytest.approx(-5, abs=0.02)
    assert contrast(curve, -9, -8) == pytest.approx(0.65, abs=0.02)  # shadows


@pytest.mark.parametrize("top", [-3.0, 0.0, 0.1, 3.0, 12.0])
@pytest.mark.parametrize("ceiling", [0.0, 2.3])
@pytest.mark.parametrize("window", [0.0, 0.5])
def test_it_increases_and_fits(top: float, ceiling: float, window: float) -> None:
    curve = ToneCurve(scene(window) + top - 3, top, -5.0, ceiling)
    slopes = np.diff(curve.values) / np.diff(curve.stops)
    assert slopes.min() > 0
    assert slopes.max() <= 1 + 1e-6
    assert float(curve(top)) <= max(ceiling, top if top < ceiling else ceiling) + 0.07
    if top <= ceiling:
        assert float(curve(top)) == pytest.approx(top, abs=0.07)
