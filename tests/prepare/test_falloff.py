"""Corners that a wide aperture darkens are recovered; none are invented where all apertures are one."""

from __future__ import annotations

import numpy as np
import pytest

from apnt.bracket import Bracket
from apnt.camera import GAMMA
from apnt.prepare.estimate import estimate_response
from apnt.prepare.falloff import Falloff, estimate_falloff, without_falloff
from apnt.prepare.pipeline import prepare
from apnt.prepare.response import Response
from tests.prepare.test_estimate import TIMES, camera, photographed, scene

SIZE = (400, 560)


def radius2() -> np.ndarray:
    """(H, W) squared distance from the middle, 1 in the corners."""
    y, x = (np.linspace(-1, 1, n) * n for n in SIZE)
    square = y[:, None] ** 2 + x**2
    return square / square.max()


def log_gain(corner: float, squared: np.ndarray) -> np.ndarray:
    """Of a lens whose corners get ``exp(corner)`` of the light."""
    return corner * (0.7 * squared + 0.3 * squared**2)


def aperture_bracket(corner: float, response: Response, seed: int = 0) -> np.ndarray:
    """Three frames, each wider open than the one before; the first has even light."""
    light = scene(seed, SIZE)
    return photographed(
        [light * np.exp(log_gain(corner * k / 2, radius2()))[..., None] for k in range(3)], TIMES, response
    )


def linear(ldr: np.ndarray) -> Bracket:
    """What the pipeline makes of the frames before it looks for falloff."""
    found = estimate_response(ldr, TIMES)
    light = np.stack([found.response.linear(frame) for frame in ldr])
    return Bracket("bracket", light ** np.float32(1 / GAMMA), TIMES, reference=1)


@pytest.mark.parametrize("response", [Response("gamma22"), camera()], ids=["gamma22", "camera"])
@pytest.mark.parametrize("corner", [-0.15, -0.35, -0.7])
def test_it_is_recovered(corner: float, response: Response) -> None:
    falloff = estimate_falloff(linear(aperture_bracket(corner, response)))
    assert falloff is not None
    squared = radius2()
    seen = squared <= falloff.radius**2
    assert seen.mean() > 0.95
    for k in range(3):
        truth = np.exp(log_gain(corner * k / 2, squared))
        assert np.abs(falloff.gain(k, SIZE) / truth - 1)[seen].max() < 0.02
    assert falloff.corners() == pytest.approx(np.array([0, 0.5, 1]) * corner * 0.85, abs=0.1 * abs(corner))


@pytest.mark.parametrize("seed", range(4))
def test_none_is_invented(seed: int) -> None:
    for response in (Response("gamma22"), camera()):
        assert estimate_falloff(linear(aperture_bracket(0, response, seed))) is None


def test_light_that_changed_on_one_side_is_no_falloff() -> None:
    light = scene(0, SIZE)
    dimmed = light * np.linspace(0.6, 1, SIZE[1])[:, None]
    frames = photographed([light, light, dimmed], TIMES, Response("gamma22"))
    assert estimate_falloff(Bracket("bracket", frames, TIMES, reference=1)) is None


def test_too_little_to_see_is_no_falloff() -> None:
    frames = aperture_bracket(-0.7, Response("gamma22"))
    bracket = Bracket("bracket", frames, TIMES, reference=1)
    valid = np.zeros((3, *SIZE), bool)
    valid[:, 150:250, 200:360] = True
    assert estimate_falloff(Bracket("bracket", frames, TIMES, reference=1, valid=valid)) is None
    assert estimate_falloff(bracket) is not None
    tiny = Bracket("tiny", frames[:, :40, :40], TIMES, reference=1)
    assert estimate_falloff(tiny) is None


def test_what_is_saturated_stays_white() -> None:
    falloff = Falloff(np.array([[0.0, 0.0], [-0.5, 0.0]]), 1.0)
    frame = np.full((41, 61, 3), 0.5, np.float32)
    frame[0, 0], frame[20, 30] = 1, 1
    without_falloff(frame, falloff.gain(1, (41, 61)))
    assert frame[0, 0].tolist() == frame[20, 30].tolist() == [1, 1, 1]
    assert frame[0, 60] == pytest.approx(0.5 * np.exp(0.5 / GAMMA), rel=1e-4)
    assert frame[20, 31] == pytest.approx(0.5, rel=1e-2)


def test_it_is_corrected_and_said() -> None:
    ldr = aperture_bracket(-0.5, Response("gamma22"))
    prepared = prepare(list(ldr), list(TIMES))
    assert prepared.report.falloff == pytest.approx([0, -0.31, -0.62], abs=0.05)
    assert any(
        "Corners are darker than those of images[0]: images[1] (" in c for c in prepared.report.corrections
    )
    even = scene(0, SIZE)
    light = prepared.bracket.ldr[2] ** GAMMA / 16
    known = (ldr[2] > 0.2) & (ldr[2] < 0.85)
    off = np.log(light / np.maximum(even, 1e-6))
    corner = known & (radius2() > 0.6)[..., None]
    assert abs(np.median(off[corner])) < 0.02  # a pixel's own noise is larger
    still = prepare(list(aperture_bracket(0, Response("gamma22"))), list(TIMES))
    assert still.report.falloff == []


def test_what_comes_and_goes_before_the_corners_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is corrected that is darker nowhere, and nothing is said of it."""
    found = Falloff(np.array([[0.0, 0.0], [-0.2, 0.2]]), 1.0)  # darker half-way only
    monkeypatch.setattr("apnt.prepare.falloff.estimate_falloff", lambda _: found)
    ldr = aperture_bracket(0, Response("gamma22"))[:2]
    report = prepare(list(ldr), list(TIMES[:2])).report
    assert report.falloff == []
    assert not any("Corners" in correction for correction in report.corrections)
