"""One wrong exposure of three: told from the curve, named where a named curve tells, doubted otherwise."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from apnt.errors import InputError
from apnt.prepare.calibrate import calibrate
from apnt.prepare.contradicted import which_is_wrong
from apnt.prepare.estimate import estimate_response
from apnt.prepare.pipeline import Options, prepare
from apnt.prepare.response import Response

STOPS = (0, 2, 4)


def light(seed: int = 3) -> np.ndarray:
    """(H, W, 3): flat patches over nine stops."""
    rng = np.random.default_rng(seed)
    colours = 2 ** rng.uniform(-8, 1, (20, 26, 1)) * rng.uniform(0.7, 1, (20, 26, 3))
    return np.clip(colours, 0, 1).repeat(12, axis=0).repeat(12, axis=1)


def s_curve(values: np.ndarray) -> np.ndarray:
    value = values ** (1 / 2.2)
    return 0.45 * value + 0.55 * value**2 * (3 - 2 * value)


def gamma22(values: np.ndarray) -> np.ndarray:
    return values ** (1 / 2.2)


def frames(curve, stops=STOPS):
    return [np.round(255 * curve(np.clip(light() * 2.0**s, 0, 1))).astype(np.uint8) for s in stops]


def stated(frame: int, error: float, stops=STOPS) -> list[float]:
    return [s + error * (k == frame) for k, s in enumerate(stops)]


@pytest.mark.parametrize("error", [0.8, -0.8, 0.4])
@pytest.mark.parametrize("frame", [0, 1, 2])
def test_a_wrong_exposure_is_never_taken_into_the_curve_in_silence(frame: int, error: float) -> None:
    found = prepare(frames(s_curve), stops=stated(frame, error), options=Options(align="off"))
    (doubt,) = found.report.warnings
    assert doubt.startswith(
        "The exposures do not fit each other, and the pixels hardly tell which is wrong: "
    )
    side = "darker" if error > 0 else "brighter"
    stops = re.search(rf"images\[{frame}\] is ([\d.]+) stops {side} than its exposure says", doubt)
    assert stops is not None, doubt
    assert float(stops[1]) == pytest.approx(abs(error), abs=0.2)
    # What is expected of the light is what the explanations differ by, and not what each is good to.
    assert found.report.curve_error is not None
    assert found.report.curve_error > 0.05
    assert not any("light is expected to be right" in note for note in found.report.corrections)


@pytest.mark.parametrize("error", [0.8, -0.8, 0.4])
@pytest.mark.parametrize("frame", [0, 1, 2])
def test_a_curve_with_a_name_tells_which_exposure_is_wrong(frame: int, error: float) -> None:
    found = prepare(frames(gamma22), stops=stated(frame, error), options=Options(align="off"))
    assert found.report.curve == "gamma22"
    assert found.report.warnings == []
    side = "darker" if error > 0 else "brighter"
    (note,) = found.report.corrections
    name, _, rest = note.removeprefix("Brightness differs from what exposures say: ").partition(" (")
    assert name == f"images[{frame}]"
    assert float(rest.split()[0]) == pytest.approx(abs(error), abs=0.03)
    assert side in rest
    np.testing.assert_allclose(np.diff(np.log2(found.bracket.times)), 2, atol=0.03)


def test_of_five_frames_the_wrong_one_is_named() -> None:
    stops = (0, 1, 2, 3, 4)
    found = prepare(frames(s_curve, stops), stops=stated(3, 0.5, stops), options=Options(align="off"))
    (note,) = (text for text in found.report.corrections if "Brightness differs" in text)
    said = dict(re.findall(r"(images\[\d\]) \(([\d.]+) stops", note))
    assert float(said.pop("images[3]")) == pytest.approx(0.5, abs=0.1)
    assert all(float(stops) < 0.1 for stops in said.values())
    assert found.report.warnings == []


def test_of_three_frames_a_large_correction_is_doubted() -> None:
    doubt = which_is_wrong([(1, -0.37)], 0.03, ["a", "b", "c"])
    assert doubt is not None
    assert doubt.startswith("b is taken to be 0.37 stops darker than its exposure says")
    assert "--trust-exposures" in doubt
    assert which_is_wrong([(1, -0.2)], 0.03, ["a", "b", "c"]) is None
    assert which_is_wrong([(1, -0.37)], 0.03, ["a", "b", "c", "d", "e"]) is None


@pytest.mark.parametrize("curve", [s_curve, gamma22])
@pytest.mark.parametrize("error", [0.0, 0.05, -0.05])
def test_rounded_exposures_are_no_contradiction(curve, error: float) -> None:
    found = prepare(frames(curve), stops=stated(2, error), options=Options(align="off"))
    assert found.report.warnings == []
    assert found.report.curve_error is not None
    assert found.report.curve_error < 0.05


def test_a_given_curve_tells_which_exposure_is_wrong() -> None:
    values = np.linspace(0, 1, 256)
    linear = np.interp(values, s_curve(np.linspace(0, 1, 40001)), np.linspace(0, 1, 40001))
    known = Response("camera", np.stack([linear ** (1 / 2.2)] * 3))
    found = prepare(frames(s_curve), stops=stated(2, 0.8), options=Options(curve=known, align="off"))
    (note,) = found.report.corrections
    assert note == "Brightness differs from what exposures say: images[2] (0.80 stops darker): corrected."
    assert found.report.warnings == []
    np.testing.assert_allclose(np.log2(found.bracket.times), STOPS, atol=0.02)


def test_a_given_curve_that_does_not_explain_the_frames_moves_no_exposure() -> None:
    # As every curve that is only assumed: the gains are what the frames say themselves.
    found = prepare(frames(s_curve), stops=STOPS, options=Options(curve="linear", align="off"))
    (doubt,) = found.report.warnings
    assert doubt.startswith("The curve linear and the exposures contradict each other: by the exposures the ")
    np.testing.assert_allclose(np.log2(found.bracket.times), STOPS, atol=0.05)


def test_trusted_exposures_are_explained_by_the_curve_alone() -> None:
    ldr = np.stack(frames(s_curve)).astype(np.float32) / 255
    assert estimate_response(ldr, 2.0 ** np.array(stated(2, 0.8)), exposure_error=1e-3).wrong == ()


def test_two_frames_cannot_contradict_each_other() -> None:
    ldr = np.stack(frames(s_curve)[:2]).astype(np.float32) / 255
    assert estimate_response(ldr, np.array([1, 2.0**2.5])).wrong == ()


def test_no_camera_is_calibrated_on_exposures_that_do_not_fit(tmp_path: Path) -> None:
    for k, frame in enumerate(frames(s_curve)):
        Image.fromarray(frame).save(tmp_path / f"{k}.png")
    about = {"files_short_to_long": ["0.png", "1.png", "2.png"], "ev_stops": stated(2, 0.8)}
    (tmp_path / "bracket.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="must have exposures that fit each other: The exposures do"):
        calibrate([tmp_path])
    (tmp_path / "bracket.json").write_text(json.dumps({**about, "ev_stops": STOPS}))
    assert calibrate([tmp_path]).response.name == "estimated"
