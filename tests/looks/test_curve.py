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
    curve = ToneCurve(np.random.default_rng(7).normal(-3.2, 0.8, 20000), -0.5, -3.0)
    assert contrast(curve, -3, -1) == pytest.approx(2, abs=0.02)
    assert float(curve(-3.0)) == pytest.approx(-3, abs=0.02)
    assert contrast(curve, -9, -8) == pytest.approx(0.65, abs=0.02)  # shadows


def test_a_night_stays_dark_and_what_is_lit_in_it_is_raised() -> None:
    curve = ToneCurve(scene(0.1) - 2, 1.0, -7.0)
    assert float(curve(-7.0)) == pytest.approx(-7, abs=0.02)
    assert -8 <= float(curve(-8.0)) < -7.9  # the sky
    assert float(curve(-5.0)) == pytest.approx(-4.1, abs=0.1)  # trees and streets
    assert float(curve(1.0)) == pytest.approx(0, abs=0.07)
    unburnt = ToneCurve(scene(0.1) - 5, -2.0, -7.0)
    assert float(unburnt(-5.0)) == pytest.approx(-5, abs=0.02)


def test_the_dark_half_of_a_bright_picture_is_lifted() -> None:
    rng = np.random.default_rng(7)
    lawn, sky = rng.normal(-6.5, 0.4, 10000), rng.normal(-1, 0.4, 10000)
    curve = ToneCurve(np.concatenate([lawn, sky]), 0.3, -3.0)
    assert float(curve(-6.5)) == pytest.approx(-4.5, abs=0.15)  # where it is seen well, and below the sky
    assert float(curve(-3.0)) == pytest.approx(-3, abs=0.02)
    assert contrast(curve, -6.4, -6.0) > 1.5 * contrast(curve, -4.6, -4.2)  # at the cost of what is not there
    assert contrast(curve, -12, -11) == pytest.approx(1, abs=0.02)  # blacks


@pytest.mark.parametrize("top", [-3.0, 0.0, 0.1, 3.0, 12.0])
@pytest.mark.parametrize("ceiling", [0.0, 2.3])
@pytest.mark.parametrize("window", [0.0, 0.5])
def test_it_increases_and_fits(top: float, ceiling: float, window: float) -> None:
    curve = ToneCurve(scene(window) + top - 3, top, -5.0, ceiling)
    slopes = np.diff(curve.values) / np.diff(curve.stops)
    assert slopes.min() > 0
    assert slopes.max() <= 1.6 + 1e-6  # of what is raised
    assert float(curve(top)) <= max(ceiling, top if top < ceiling else ceiling) + 0.07
    if top <= ceiling:
        assert float(curve(top)) == pytest.approx(top, abs=0.07)
