"""The maker of the real test set, on made photographs: shifts, objects and truth are what it says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip(
    "apnt.benchmarks", reason="the benchmarks are mapped into the package when it is installed"
)

from apnt.benchmarks import real_cases, real_set
from apnt.benchmarks.real_cases import PLANS, Layout, Photographs, Plan
from apnt.methods import load_method
from apnt.metrics import psnr_mu
from apnt.prepare.estimate import Estimate
from apnt.prepare.response import Response

SIZE = (176, 208)
CORNER = (40, 40)
PLAN = Plan((1, 3, 5), (0, 2, 4, 6), SIZE, (CORNER,))
LAYOUT = Layout(((43, 35), CORNER, (29, 51)), (130, 200), ((61, 73), (100, 100), (141, 131)))
CAMERA = Response("srgb")
GAINS = np.array([[1.0, 1.0, 1.0], [1.1, 1.0, 0.95], *[[1.0, 1.0, 1.0]] * 4, [0.9, 1.0, 1.05]])


def light(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A smooth scene of two decades, defined everywhere."""
    waves = np.sin(y / 17 + np.cos(x / 23)) + np.sin(x / 13 - np.sin(y / 29)) + np.cos((x + 2 * y) / 41)
    return np.exp(0.7 * waves)[..., None] * np.array([0.05, 0.04, 0.03])


def photographs(drift: dict[int, tuple[float, float]] | None = None) -> Photographs:
    """Seven exposures of one stop as this camera writes them, some frames moved."""
    y, x = np.mgrid[:440, :520].astype(np.float64)
    times = 2.0 ** np.arange(7) / 4
    values = []
    for k, time in enumerate(times):
        dy, dx = (drift or {}).get(k, (0.0, 0.0))
        seen = np.minimum(light(y - dy, x - dx) * time * GAINS[k], 1)
        values.append(np.round(CAMERA.encode(seen) * 255).astype(np.uint8))
    estimate = Estimate(CAMERA, GAINS, 0.0, 0.0, np.array([[0.02, 0.98]] * 3), 1000, 1.0)
    return Photographs("made", values, times, estimate)


@pytest.fixture(scope="module")
def made() -> Photographs:
    return photographs()


@pytest.fixture(scope="module")
def case(made: Photographs) -> real_cases.Case:
    return real_cases.make_case(made, PLAN, LAYOUT, "made 1.1")


def patch(image: np.ndarray, place: tuple[int, int]) -> np.ndarray:
    """(n, 3): the inside of the object whose corner is at ``place``, even, in pixels of the photograph."""
    mask = cv2.erode(real_cases.ellipse().astype(np.uint8), np.ones((7, 7), np.uint8))[::2, ::2] > 0
    y, x = place[0] // 2, place[1] // 2
    return image[y : y + mask.shape[0], x : x + mask.shape[1]][mask]


def test_no_input_is_in_its_truth():
    for plan in (plan for plans in PLANS.values() for plan in plans):
        assert not set(plan.inputs) & set(plan.truth)
        assert plan.truth[0] < plan.inputs[0]  # or the truth saturates before the short input does
        assert list(plan.truth) == sorted(plan.truth)
        assert all(n % 2 == 0 for corner in plan.crops for n in corner)


@pytest.mark.parametrize("offset", [(1, -1), (-7, 5), (3, 20)])
def test_an_odd_offset_is_a_shift_by_half_pixels(made: Photographs, offset: tuple[int, int]):
    corners = CORNER, (CORNER[0] + offset[0], CORNER[1] + offset[1])
    first, second = (
        real_cases.composed(made, 3, SIZE, corner, (100, 100), tuple(np.add(CORNER, 60) - corner))
        for corner in corners
    )
    grey = [cv2.cvtColor(np.log(image + 0.01), cv2.COLOR_RGB2GRAY) for image in (first, second)]
    _, matrix = cv2.findTransformECC(
        *grey, np.eye(2, 3, dtype=np.float32), cv2.MOTION_TRANSLATION,
        (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-7), None, 1,
    )  # fmt: skip
    np.testing.assert_allclose(matrix[:, 2], (-offset[1] / 2, -offset[0] / 2), atol=0.02)


def test_layouts_are_odd_and_fit(made: Photographs):
    for seed in range(40):
        layout = real_cases.draw_layout(made, PLAN, 0, np.random.default_rng(seed))
        offsets = np.subtract(layout.corners, CORNER)
        assert not offsets[1].any()
        assert (offsets[[0, 2]] % 2 == 1).all()
        assert np.abs(offsets).max() <= 21
        side = len(real_cases.ellipse())
        assert np.min(layout.places) >= 0
        assert all((np.array(place) + side <= 2 * np.array(SIZE)).all() for place in layout.places)
        assert len(set(layout.places)) == 3
        assert (np.array(layout.source) + side <= made.values[0].shape[:2]).all()


def test_the_object_shows_the_same_light_in_every_frame(made: Photographs):
    layout = LAYOUT._replace(places=((62, 74), (100, 100), (140, 130)))
    case = real_cases.make_case(made, PLAN, layout, "even")
    expected = patch(case.truth, layout.places[1])
    for frame, time, place in zip(case.known, case.known_times, layout.places, strict=True):
        seen = patch(frame.astype(np.float64) ** 2.2 / time * case.known_times[0], place)
        clear = (patch(frame, place) < 0.9) & (patch(frame, place) > 0.3)  # below, 8 bits are coarser
        assert clear.mean() > 0.05
        np.testing.assert_allclose(seen[clear], expected[clear], rtol=0.03)
    source = light(*np.mgrid[130 : 130 + 192, 200 : 200 + 192].astype(np.float64))
    np.testing.assert_allclose(expected, patch(real_cases._half(source), (0, 0)) / 2, rtol=0.03)


def test_truth_is_the_scene_where_the_short_frame_saturates_at_one(case: real_cases.Case):
    y, x = np.mgrid[: 2 * SIZE[0], : 2 * SIZE[1]].astype(np.float64)
    # Seconds of the short frame, whose gains' median is that of the reference.
    scene = np.minimum(real_cases._half(light(y + CORNER[0], x + CORNER[1])) * 0.5, 1)
    still = ~case.moving
    assert still.mean() > 0.3
    np.testing.assert_allclose(case.truth[still], scene[still], rtol=0.04)
    assert case.known_times == pytest.approx([0.5, 2.0, 8.0])


def test_known_frames_are_balanced(case: real_cases.Case):
    still = ~case.moving & (case.known[1] < 0.9).all(axis=-1) & (case.known[1] > 0.2).all(axis=-1)
    seen = case.known[1].astype(np.float64) ** 2.2 / 4
    np.testing.assert_allclose(seen[still], case.truth[still], rtol=0.04)


def test_moving_covers_the_object(case: real_cases.Case):
    for corner, place in zip(LAYOUT.corners, LAYOUT.places, strict=True):
        y, x = (np.add(place, corner) - CORNER + 96) // 2  # its middle
        assert case.moving[y, x]
    assert case.moving.mean() < 0.6


def test_drift_is_found_and_undone():
    drift = {0: (1.5, -0.75), 2: (-2.0, 1.25), 4: (0.5, 2.5), 6: (-1.25, -1.5)}
    moved, still = photographs(drift), photographs()
    found = real_cases.drifts(moved, 3, PLAN.truth)
    for k, shift in drift.items():
        np.testing.assert_allclose(found[k], shift, atol=0.1)
    truths = [real_cases.make_case(p, PLAN, LAYOUT, "made").truth for p in (moved, still)]
    assert psnr_mu(*truths) > 45


def test_a_factor_is_fitted_and_nothing_else():
    truth = np.random.default_rng(0).uniform(0, 0.4, (40, 40, 3))
    best, factor = real_set.fitted(truth / 1.7, truth)
    assert factor == pytest.approx(1.7, rel=0.01)
    assert best > 45
    bent, _ = real_set.fitted((truth / 2) ** 1.3, truth)
    assert bent < 35


def test_the_known_curve_beats_a_wrong_one(case: real_cases.Case):
    row, images = real_set.scored(case, {"weighted": load_method("weighted")})
    assert set(row["psnr_mu"]["weighted"]) == set(real_set.CURVES) == set(images)
    assert row["psnr_mu"]["weighted"]["known"] > row["psnr_mu"]["weighted"]["gamma22"]
    assert row["as it is"]["weighted"]["known"] <= row["psnr_mu"]["weighted"]["known"] + 0.01
    row["inputs"] = PLAN.inputs
    camera = {"frames": 7, "response": "srgb", "expected error": 0.0, "agreement": 1.0}
    found = {
        "machine": {}, "weights": "none", "cases": [row],
        "cameras": {"made": camera},
    }  # fmt: skip
    text = real_set.as_markdown(found, {"weighted": "weighted (eq. 1)"})
    assert f"{row['psnr_mu']['weighted']['known']:.2f}" in text
    tables = [block.split("\n") for block in text.split("\n\n") if block.startswith("| ")]
    assert all(len({line.count("|") for line in table if line}) == 1 for table in tables)
    assert "| made | 7 | srgb | 0.0% | 100% |" in text


def test_cases_without_a_curve_count_in_the_target():
    def scored(name: str, lost: float, warning: str) -> dict[str, object]:
        return {
            "name": name,
            "psnr_mu": {"apnt": {"known": 30.0, "estimated": 30.0 - lost}},
            "prepared": {"estimated": {"warnings": [warning]}},
        }

    cases = [
        scored("light", 1.0, "doubtful"),
        scored("dark", 8.0, "The curve is assumed to be gamma 2.2: no"),
    ]
    all_cases, told = real_set._target_lines(cases, "apnt")
    assert "(2): 4.50 dB in the mean, **missed**; 1.00 to 8.00" in all_cases
    assert "(1): 1.00 dB in the mean, met" in told
