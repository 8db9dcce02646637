"""A curve that files or a user state, and frames that contradict it: said or refused, and no false alarm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from apnt.errors import InputError
from apnt.io import icc
from apnt.prepare.known import all_differ, light_apart
from apnt.prepare.pipeline import Options, Prepared, prepare
from apnt.prepare.response import Response

STOPS = (0, 2, 4)


def light() -> np.ndarray:
    """(H, W, 3) linear: flat patches over nine stops."""
    rng = np.random.default_rng(3)
    colours = 2 ** rng.uniform(-8, 1, (20, 26, 1)) * rng.uniform(0.7, 1, (20, 26, 3))
    return np.clip(colours, 0, 1).repeat(8, axis=0).repeat(8, axis=1)


def frames(curve: str, stops: tuple[float, ...] = STOPS) -> list[np.ndarray]:
    encode = Response(curve).encode
    return [np.round(65535 * encode(np.clip(light() * 2.0**s, 0, 1))).astype(np.uint16) for s in stops]


def contradiction(found: Prepared) -> list[str]:
    return [doubt for doubt in found.report.warnings if "contradict" in doubt]


@pytest.mark.parametrize("curve", ["gamma22", "srgb", "bt709", "linear"])
@pytest.mark.parametrize("said", ["gamma22", "srgb", "bt709", "linear"])
def test_a_named_curve_that_the_frames_contradict_is_said(curve: str, said: str) -> None:
    options = Options(curve=said, align="off")
    if {curve, said} == {"gamma22", "linear"}:  # powers of each other: as if exposures were off by stops
        with pytest.raises(
            InputError, match=f"by the curve {said}; correct its exposure, give another --curve"
        ):
            prepare(frames(curve), stops=STOPS, options=options)
        return
    found = prepare(frames(curve), stops=STOPS, options=options)
    # sRGB and gamma 2.2 are one curve to 2 % of light: no reason to doubt.
    alike = light_apart(Response(said), Response(curve)) < 0.05
    assert alike == (curve == said or {curve, said} == {"srgb", "gamma22"})
    assert bool(contradiction(found)) != alike
    if not alike:
        (doubt,) = contradiction(found)
        assert f"The curve {said} and the exposures" in doubt
        assert f"by the exposures the curve is {curve}" in doubt
        with pytest.raises(InputError, match="strict refuses what is doubtful: The curve"):
            prepare(frames(curve), stops=STOPS, options=Options(curve=said, align="off", strict=True))


def test_exposures_that_a_known_curve_contradicts_by_stops_are_refused() -> None:
    options = Options(curve="srgb", align="off")
    with pytest.raises(InputError, match=r"images\[2\] is 1\.[3-6] stops brighter than its exposure says by"):
        prepare(frames("srgb", (0, 1.5, 4.5)), stops=(0, 1.5, 3), options=options)
    trusted = Options(curve="srgb", align="off", trust_exposures=True)
    found = prepare(frames("srgb", (0, 1.5, 4.5)), stops=(0, 1.5, 3), options=trusted)
    np.testing.assert_allclose(np.log2(found.bracket.times), (0, 1.5, 3), atol=1e-6)


def test_one_exposure_that_is_wrong_is_corrected_by_a_known_curve_without_doubt() -> None:
    found = prepare(frames("srgb", (0, 2.5, 4)), stops=STOPS, options=Options(curve="srgb", align="off"))
    assert found.report.warnings == []
    np.testing.assert_allclose(np.log2(found.bracket.times), (0, 2.5, 4), atol=0.03)


def test_all_exposures_off_by_a_power_are_corrected_and_doubted() -> None:
    found = prepare(frames("linear"), stops=(0, 1.6, 3.2), options=Options(curve="linear", align="off"))
    assert len(contradiction(found)) == 1
    np.testing.assert_allclose(np.log2(found.bracket.times), STOPS, atol=0.03)


def written(folder: Path, curve: str) -> list[Path]:
    """TIFFs whose profile says that they are linear."""
    profile = icc.linear_srgb()
    for k, frame in enumerate(frames(curve)):
        tag = (34675, "B", len(profile), profile, True)
        tifffile.imwrite(folder / f"{k}.tif", frame, photometric="rgb", extratags=[tag])
    return [folder / f"{k}.tif" for k in range(3)]


def test_a_profile_that_is_not_true_is_refused_and_overruled(tmp_path: Path) -> None:
    paths = written(tmp_path, "srgb")
    with pytest.raises(InputError, match="give their --curve if they are not linear, or insist"):
        prepare(paths, stops=STOPS)
    found = prepare(paths, stops=STOPS, options=Options(curve="srgb", align="off"))
    assert found.report.warnings == []
    assert found.report.curve == "srgb"


def test_what_linear_files_differ_by_is_said_in_their_stops(tmp_path: Path) -> None:
    paths = written(tmp_path, "linear")
    assert prepare(paths, stops=STOPS).report.warnings == []
    for stops in ((0, 1, 2), (0, 4, 8)):  # half and twice as many as there are
        with pytest.raises(InputError, match=r"is (2|4)\.0 stops brighter than .*, and by the exposures"):
            prepare(paths, stops=stops)


def test_a_power_is_what_more_than_one_frame_differs_by() -> None:
    one, power = np.zeros((3, 3)), np.repeat([[-0.3], [0.0], [0.3]], 3, axis=1)
    one[1] = 0.5
    assert not all_differ(one)
    assert all_differ(power)
    assert not all_differ(power[:2])
