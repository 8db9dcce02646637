"""Photographs to a bracket that can be fused: right values, or a refusal, or a warning."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from apnt._fuse import fuse
from apnt.camera import SATURATION
from apnt.errors import InputError
from apnt.io import icc, read_frames
from apnt.io.exif import IN_FOLDER, asking
from apnt.methods import METHODS, load_method
from apnt.prepare.calibrate import calibrate
from apnt.prepare.pipeline import Options, prepare
from apnt.prepare.scene import strangers

STOPS = (0, 2, 4)
DISPLAY = [name for name, entry in METHODS.items() if entry.kind == "display"]


def light(height: int = 192, width: int = 256, seed: int = 7) -> np.ndarray:
    """(H, W, 3) linear: a ramp with flat patches of colour; 1 is where the shortest exposure saturates."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    scene = np.repeat((0.008 * 2 ** (3 * x / width + np.sin(y / 17)))[..., None], 3, axis=2)
    for _ in range(40):
        cy, cx, side = rng.integers(0, height), rng.integers(0, width), rng.integers(9, 26)
        colour = 0.02 * 2 ** rng.uniform(-2, 4.5) * rng.uniform(0.5, 1, 3)
        scene[max(0, cy - side) : cy + side, max(0, cx - side) : cx + side] = colour
    return np.clip(scene * (1 + 0.04 * np.sin(x / 1.7) * np.cos(y / 2.3))[..., None], 0, 1)


def gamma22(values: np.ndarray) -> np.ndarray:
    """What every frame of the data sets of this field is encoded by."""
    return values ** (1 / 2.2)


def photograph(
    scene: np.ndarray,
    stop: float,
    curve: Callable[[np.ndarray], np.ndarray] = gamma22,
    gains: Sequence[float] = (1, 1, 1),
) -> np.ndarray:
    """(H, W, 3) uint8: the scene ``stop`` stops brighter, with channel gains, through a camera's curve."""
    seen = np.clip(scene * 2.0**stop * np.asarray(gains), 0, 1)
    return np.round(255 * curve(seen)).astype(np.uint8)


def write(path: Path, pixels: np.ndarray, seconds: float | None = None) -> Path:
    """A PNG, with its exposure time in EXIF if there is one."""
    exif = Image.Exif()
    if seconds is not None:
        exif.get_ifd(0x8769)[0x829A] = IFDRational(round(seconds * 1_000_000), 1_000_000)
    Image.fromarray(pixels).save(path, exif=exif.tobytes())
    return path


def srgb(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)


def contrast(values: np.ndarray) -> np.ndarray:
    """A camera's picture style: gamma and an S-curve."""
    value = values ** (1 / 2.2)
    return 0.45 * value + 0.55 * value**2 * (3 - 2 * value)


def shoulder(values: np.ndarray) -> np.ndarray:
    """A camera that shows highlights almost white."""
    return 1 - (1 - values ** (1 / 2.2)) ** 1.6


def linear(values: np.ndarray) -> np.ndarray:
    return values


def error_in_stops(radiance: np.ndarray, truth: np.ndarray, frame: np.ndarray) -> float:
    """Median error of where the frame is well exposed."""
    good = ((frame > 0.2) & (frame < 0.9)).all(axis=-1) & (truth > 1e-3).all(axis=-1)
    return float(np.median(np.abs(np.log2(radiance[good] / truth[good]))))


@pytest.mark.parametrize("curve", [gamma22, srgb, contrast, linear], ids=lambda curve: curve.__name__)
def test_light_is_right_whatever_the_cameras_curve(curve: Callable[[np.ndarray], np.ndarray]) -> None:
    truth = light()
    prepared = prepare([photograph(truth, stop, curve) for stop in STOPS], stops=STOPS)
    radiance = prepared.bracket.radiance
    for k in range(3):
        assert error_in_stops(radiance[k], truth, prepared.bracket.ldr[k]) < 0.06
    assert prepared.report.warnings == []
    if curve is not contrast:
        assert (
            prepared.report.curve
            == {"gamma22": "gamma22", "srgb": "srgb", "linear": "linear"}[curve.__name__]
        )


def test_next_to_white_a_channel_is_saturated_whatever_the_curve() -> None:
    frames = [photograph(np.minimum(4 * light(), 1), stop, shoulder) for stop in STOPS]
    bracket = prepare(frames, stops=STOPS).bracket
    files = read_frames(frames, stops=STOPS).ldr
    nearly = (files >= 0.97) & (files < 0.975)  # 0.89 to 0.90 by the curve
    assert (nearly.sum(axis=(1, 2, 3)) > 20).all()
    for k in (1, 2):
        assert (bracket.ldr[k][nearly[k]] >= np.float32(SATURATION)).all()
        assert (bracket.ldr[k][files[k] < 0.95] < SATURATION).all()
    assert (bracket.ldr[0][nearly[0]] < SATURATION - 0.02).all()  # no frame knows more than the shortest


def test_light_far_from_saturation_is_not_made_up() -> None:
    def steep(values: np.ndarray) -> np.ndarray:
        return 1 - (1 - gamma22(values)) ** 3

    frames = [photograph(np.minimum(4 * light(), 1), stop, steep) for stop in STOPS]
    bracket = prepare(frames, stops=STOPS).bracket
    files = read_frames(frames, stops=STOPS).ldr
    nearly = (files >= 0.97) & (files < 0.975)
    for k in range(3):  # half of saturation's light by the curve
        assert bracket.ldr[k][nearly[k]].max() < 0.85


def test_frames_in_gamma_22_are_left_exactly_as_they_are() -> None:
    frames = [photograph(light(), stop) for stop in STOPS]
    prepared = prepare(frames, stops=STOPS)
    assert np.array_equal(prepared.bracket.ldr, read_frames(frames, stops=STOPS).ldr)
    assert np.array_equal(prepared.bracket.times, [1, 4, 16])


def test_a_given_curve_is_taken(tmp_path: Path) -> None:
    truth = light()
    frames = [photograph(truth, stop, srgb) for stop in STOPS]
    given = prepare(frames, stops=STOPS, options=Options(curve="srgb"))
    assert given.report.curve == "srgb"
    assert given.report.curve_error is None
    assert error_in_stops(given.bracket.radiance[1], truth, given.bracket.ldr[1]) < 0.01
    given.response.save(tmp_path / "camera.toml")
    again = prepare(frames, stops=STOPS, options=Options(curve=tmp_path / "camera.toml"))
    assert np.array_equal(again.bracket.ldr, given.bracket.ldr)
    with pytest.raises(
        InputError, match="curve must be one of gamma22, srgb, bt709, linear or a response file"
    ):
        prepare(frames, stops=STOPS, options=Options(curve="kodachrome"))


def test_a_camera_is_calibrated_on_several_brackets(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        for stop in STOPS:
            write(
                tmp_path / name / f"{stop}.png", photograph(light(seed=seed), stop, contrast), 2.0**stop / 400
            )
    found = calibrate([tmp_path / "a", tmp_path / "b"])
    values = np.linspace(0.1, 0.95, 30)
    seen = np.repeat(contrast(values)[:, None].astype(np.float32), 3, axis=1)
    ratio = found.response.linear(seen) / values[:, None]
    assert np.abs(np.log2(ratio / np.median(ratio))).max() < 0.15
    assert len(found.estimates) == 2


# Exposures that the pixels contradict: named, with both ratios, and the way to insist.


@pytest.mark.parametrize(
    ("order", "stops"),
    [
        ((0, 2, 4), (4, 2, 0)),  # the wrong way round
        ((0, 2, 4), (12, 10, 8)),  # EV numbers: more is darker
        ((0, 2, 4), (0, 4, 2)),  # two exchanged
        ((2, 2, 2), (0, 2, 4)),  # the same photograph three times
        ((0, 2, 4), (0, 2, 2.5)),  # one number wrong
        ((0, 1, 2, 3, 4), (0, 1, 3, 2, 4)),
        ((0, 3), (3, 0)),
    ],
)
def test_contradicted_exposures_are_refused(order: tuple[int, ...], stops: tuple[float, ...]) -> None:
    frames = [photograph(light(), stop) for stop in order]
    with pytest.raises(
        InputError, match=r"exposures must agree with the pixels: .* stops brighter.*--trust-exposures"
    ):
        prepare(frames, stops=stops)
    assert prepare(frames, stops=stops, options=Options(trust_exposures=True)).report.stops == [
        pytest.approx(stop - min(stops)) for stop in stops
    ]


def test_seconds_are_no_stops() -> None:
    frames = [photograph(light(), stop) for stop in STOPS]
    with pytest.raises(InputError, match=r"are these seconds\? Then use times"):
        prepare(frames, stops=(1 / 400, 1 / 100, 1 / 25))
    with pytest.raises(InputError, match=r"two are 0.014 stops apart"):
        prepare(frames, times=(1 / 100, 1 / 101, 1 / 102))


def test_exposures_of_linear_files_are_measured_exactly(tmp_path: Path) -> None:
    # No curve bends them: what is left is noise, and what moves falls on edges.
    scene, rng = light(), np.random.default_rng(1)
    shifted = [np.roll(scene, 3 * k, axis=1) for k in range(3)]
    for moved, stop in zip(shifted, (0, 1.7, 4.1), strict=True):
        seen = np.clip(moved * 2.0**stop + rng.normal(0, 3e-4, moved.shape), 0, 1)
        tifffile.imwrite(
            tmp_path / f"{stop}.tif", np.round(65535 * seen).astype(np.uint16), photometric="rgb",
            extratags=[(34675, "B", len(icc.linear_srgb()), icc.linear_srgb(), True)],
        )  # fmt: skip
    report = prepare(tmp_path).report
    assert report.exposures == "pixels"
    assert report.curve == "linear"
    assert report.stops == pytest.approx([0, 1.7, 4.1], abs=0.03)
    assert report.stops_error == pytest.approx([0, 0.03 * 1.7, 0.03 * 4.1], abs=0.01)


# White balance and exposure errors: corrected, and said.


@pytest.mark.parametrize("gains", [(1.3, 1, 0.75), (0.8, 1, 1.25), (1, 1, 1.4)])
@pytest.mark.parametrize("frame", [0, 2])
def test_white_balance_is_brought_to_that_of_the_others(gains: tuple[float, ...], frame: int) -> None:
    truth = light()
    frames = [
        photograph(truth, stop, gains=gains if k == frame else (1, 1, 1)) for k, stop in enumerate(STOPS)
    ]
    prepared = prepare(frames, stops=STOPS)
    good = ((prepared.bracket.ldr[frame] > 0.2) & (prepared.bracket.ldr[frame] < 0.85)).all(axis=-1)
    ratio = np.median(prepared.bracket.radiance[frame][good] / truth[good], axis=0)
    assert np.abs(np.log2(ratio)).max() < 0.07
    (said,) = (note for note in prepared.report.corrections if "White balance differs" in note)
    assert said.startswith(f"White balance differs from that of images[1]: images[{frame}] (red x")


@pytest.mark.parametrize("error", [0.2, -0.3, 0.5])
def test_a_small_exposure_error_is_corrected(error: float) -> None:
    truth = light()
    frames = [photograph(truth, stop + (error if stop == 4 else 0)) for stop in STOPS]
    prepared = prepare(frames, stops=STOPS)
    assert error_in_stops(prepared.bracket.radiance[2], truth, prepared.bracket.ldr[2]) < 0.08
    assert any("Brightness differs from what exposures say" in note for note in prepared.report.corrections)


# Exposures that are not known: measured, with a warning.


def test_missing_exposures_are_measured_with_a_warning(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{stop}.png", photograph(light(), stop)) for stop in STOPS]
    prepared = prepare(paths[::-1])
    assert prepared.report.exposures == "pixels"
    assert prepared.report.stops == pytest.approx([4, 2, 0], abs=0.4)
    assert prepared.report.stops_error == pytest.approx([0.4 * stop for stop in prepared.report.stops])
    (said,) = (doubt for doubt in prepared.report.warnings if "measured on the pixels" in doubt)
    assert said.endswith("(--times 1/400,1/100,1/25) or in stops (--stops 0,2,4)")
    assert "--groups" not in said
    with asking(IN_FOLDER), pytest.raises(InputError, match=r"bracket\.json in the folder"):
        prepare(paths, options=Options(strict=True))
    with pytest.raises(InputError, match=r"strict refuses what is doubtful: The exposures were measured"):
        prepare(paths, options=Options(strict=True))


def test_copied_exif_is_no_exposure(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{stop}.png", photograph(light(), stop), 1 / 20) for stop in STOPS]
    prepared = prepare(paths)
    assert prepared.report.exposures == "pixels"
    assert any("EXIF says that all were exposed alike" in doubt for doubt in prepared.report.warnings)


def test_exposures_of_some_frames() -> None:
    frames = [photograph(light(), stop) for stop in (0, 2, 4, 5)]
    prepared = prepare(frames, stops=(0, float("nan"), 4, float("nan")))
    assert prepared.report.stops == pytest.approx([0, 2, 4, 5], abs=0.3)
    errors = prepared.report.stops_error
    assert errors[0] == errors[2] == 0
    assert errors[1] == pytest.approx(0.8, abs=0.15)
    assert errors[3] == pytest.approx(0.4, abs=0.1)  # a stop from the nearest known one
    assert any("images[1] +" in doubt and "images[3] +" in doubt for doubt in prepared.report.warnings)
    with pytest.raises(InputError, match="must be known for one frame at least"):
        prepare(frames, stops=[float("nan")] * 4)


def test_arrays_need_exposures() -> None:
    with pytest.raises(InputError, match="times or stops must be given for arrays"):
        prepare([photograph(light(), stop) for stop in STOPS])


# Folders.


def test_a_folder_is_a_bracket(tmp_path: Path) -> None:
    for stop in STOPS:
        write(tmp_path / f"{stop}.png", photograph(light(), stop), 2.0**stop / 400)
    (tmp_path / "notes.txt").write_text("by the window")
    prepared = prepare(tmp_path)
    assert prepared.report.exposures == "EXIF"
    assert len(prepared.bracket) == 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"the folder .*empty holds none"):
        prepare(tmp_path / "empty")


def test_a_sidecar_lists_frames_and_exposures(tmp_path: Path) -> None:
    for stop in (*STOPS, 9):
        write(tmp_path / f"{stop}.png", photograph(light(), stop))
    sidecar = tmp_path / "bracket.json"
    sidecar.write_text('{"files_short_to_long": ["0.png", "2.png", "4.png"], "ev_stops": [0, 2, 4]}')
    prepared = prepare(tmp_path)
    assert prepared.report.exposures == "bracket.json"
    assert prepared.report.stops == [0, 2, 4]
    sidecar.write_text('{"files_short_to_long": ["0.png", "2.png"], "times": [1, 4]}')
    assert prepare(tmp_path).report.stops == [0, 2]
    for broken in (
        "",
        "[]",
        '{"files_short_to_long": ["0.png"], "ev_stops": [0, 1]}',
        '{"files_short_to_long": 3}',
    ):
        sidecar.write_text(broken)
        with pytest.raises(InputError, match=r"bracket.json must hold files_short_to_long and ev_stops"):
            prepare(tmp_path)


# Geometry.


def shifted(frames: list[np.ndarray], k: int, by: int) -> list[np.ndarray]:
    """All frames cut to the same size, frame ``k`` from another place."""
    return [
        frame[:, by : frame.shape[1] - by] if n != k else frame[:, : frame.shape[1] - 2 * by]
        for n, frame in enumerate(frames)
    ]


def test_a_shifted_frame_is_aligned_and_its_border_is_filled() -> None:
    truth = light(384, 512)
    frames = shifted([photograph(truth, stop) for stop in STOPS], 0, 14)
    prepared = prepare(frames, stops=STOPS)
    assert [entry["status"] for entry in prepared.report.alignment] == ["aligned", "reference", "still"]
    assert prepared.report.alignment[0]["pixels"] == pytest.approx(14, abs=0.3)
    assert prepared.bracket.valid is not None
    assert 0.02 < (~prepared.bracket.valid[0]).mean() < 0.04
    seen = truth[:, 14:-14]
    border = ~prepared.bracket.valid[0] & (prepared.bracket.ldr[1] < 0.9).all(axis=-1)
    difference = np.log2(prepared.bracket.radiance[0][border] / seen[border])
    assert np.abs(np.median(difference)) < 0.1
    off = prepare(frames, stops=STOPS, options=Options(align="off"))
    assert off.report.alignment == []
    assert np.array_equal(off.bracket.ldr[0], read_frames(frames, stops=STOPS).ldr[0])


def test_holes_of_alpha_are_no_data() -> None:
    truth = light()
    frames = [np.dstack([photograph(truth, stop), np.full(truth.shape[:2], 255, np.uint8)]) for stop in STOPS]
    frames[0][:, :30] = 0
    prepared = prepare(frames, stops=STOPS, options=Options(align="off"))
    assert prepared.bracket.valid is not None
    assert not prepared.bracket.valid[0, :, :30].any()
    hole = (prepared.bracket.ldr[1, :, :30] < 0.9).all(axis=-1)
    ratio = prepared.bracket.radiance[0, :, :30][hole] / truth[:, :30][hole]
    assert np.median(np.abs(np.log2(ratio))) < 0.05


def test_reference_of_any_frame() -> None:
    frames = [photograph(light(), stop) for stop in (0, 1, 2, 3)]
    prepared = prepare(frames[::-1], stops=(3, 2, 1, 0), options=Options(reference=0))
    assert prepared.report.reference == 0
    assert prepared.bracket.reference == 3
    with pytest.raises(InputError, match="reference must be a frame from 0 to 3, got 4"):
        prepare(frames, stops=(0, 1, 2, 3), options=Options(reference=4))
    with pytest.raises(InputError, match="align must be auto or off, got 'on'"):
        prepare(frames, stops=(0, 1, 2, 3), options=Options(align="on"))  # type: ignore[arg-type]


# Exposures that the user trusts are taken, whatever the pixels say.


@pytest.mark.parametrize("error", [0.1, -0.3, 0.6, 1.4, -1.5])
@pytest.mark.parametrize("curve", ["auto", "gamma22"])
def test_trusted_exposures_are_not_corrected(error: float, curve: str) -> None:
    truth = light()
    frames = [photograph(truth, stop + (error if stop == 4 else 0)) for stop in STOPS]
    trusted = prepare(frames, stops=STOPS, options=Options(curve, trust_exposures=True))
    np.testing.assert_array_equal(trusted.bracket.times, [1, 4, 16])
    assert not any("Brightness" in note for note in trusted.report.corrections)
    if curve == "gamma22":  # then the frames are what they were, too
        np.testing.assert_array_equal(trusted.bracket.ldr, read_frames(frames, stops=STOPS).ldr)


def test_trusted_exposures_of_a_darkening_filter() -> None:
    frames = [photograph(light(), stop) for stop in (0, 2, 3.6)]
    corrected = prepare(frames, stops=STOPS)
    assert np.log2(corrected.bracket.times[2]) == pytest.approx(3.6, abs=0.1)
    assert any("Brightness differs" in note for note in corrected.report.corrections)
    trusted = prepare(frames, stops=STOPS, options=Options(trust_exposures=True))
    np.testing.assert_array_equal(trusted.bracket.times, [1, 4, 16])


def test_trust_is_of_exposures_and_not_of_white_balance() -> None:
    truth = light()
    frames = [photograph(truth, s, gains=(1.3, 1, 0.75) if s == 0 else (1, 1, 1)) for s in STOPS]
    found = prepare(frames, stops=STOPS, options=Options(trust_exposures=True))
    assert any("White balance differs" in note for note in found.report.corrections)
    np.testing.assert_array_equal(found.bracket.times, [1, 4, 16])
    good = ((found.bracket.ldr[0] > 0.2) & (found.bracket.ldr[0] < 0.85)).all(axis=-1)
    ratio = np.median(found.bracket.radiance[0][good] / truth[good], axis=0)
    assert np.log2(ratio.max() / ratio.min()) < 0.07


# Exposures of some frames only.


@pytest.mark.parametrize(
    ("stops", "expected"),
    [
        ((0, None, 6), (0, 2, 6)),
        ((None, 2, None), (0, 2, 6)),
        ((0, None, None), (0, 2, 6)),
        ((None, None, 6), (0, 2, 6)),
    ],
)
def test_what_is_given_stays_and_the_rest_is_measured(
    stops: tuple[float | None, ...], expected: tuple[float, ...]
) -> None:
    frames = [photograph(light(), stop) for stop in expected]
    found = prepare(frames, stops=[np.nan if s is None else s for s in stops])
    assert found.report.stops == pytest.approx(expected, abs=0.35)
    given = [n for n, s in enumerate(stops) if s is not None]
    for n in given[1:]:
        assert found.report.stops[n] - found.report.stops[given[0]] == pytest.approx(
            expected[n] - expected[given[0]], abs=1e-9
        )
    (doubt,) = (text for text in found.report.warnings if "Measured on the pixels" in text)
    for n, stop in enumerate(stops):
        assert (f"images[{n}] +" in doubt) == (stop is None)
    assert "--stops 0,2,4" in doubt


@pytest.mark.parametrize("missing", [1, 2])
def test_between_two_given_ones_a_contrast_curve_does_not_matter(missing: int) -> None:
    truth = (0, 2, 4, 6)
    frames = [photograph(light(), stop, contrast) for stop in truth]
    found = prepare(frames, times=[np.nan if n == missing else 2.0**stop for n, stop in enumerate(truth)])
    assert found.report.stops == pytest.approx(truth, abs=0.4)


def test_a_sidecar_may_know_some_exposures(tmp_path: Path) -> None:
    for stop in STOPS:
        write(tmp_path / f"{stop}.png", photograph(light(), stop))
    files = [f"{stop}.png" for stop in STOPS]
    (tmp_path / "bracket.json").write_text(
        json.dumps({"files_short_to_long": files, "ev_stops": [0, None, 4]})
    )
    found = prepare(tmp_path)
    assert found.report.exposures == "bracket.json"
    assert found.report.stops == pytest.approx(STOPS, abs=0.3)
    assert any(
        text.startswith("Measured on the pixels") and "2.png +" in text for text in found.report.warnings
    )


# Frames that contradict their exposures where no place is flat, and the same pixels twice.


def foliage(stop: float, seed: int = 0, side: int = 64) -> np.ndarray:
    """(H, W, 3) uint8 of texture without one flat block."""
    scene = 0.04 * 2 ** np.random.default_rng(seed).normal(0, 1.2, (side, side, 3))
    return photograph(np.clip(scene, 0, 1), stop)


@pytest.mark.parametrize("stops", [(4, 2, 0), (2, 0, 4), (0, 4, 2)])
def test_contradictions_without_flat_places(stops: tuple[float, ...]) -> None:
    frames = [foliage(stop) for stop in STOPS]
    assert len(prepare(frames, stops=STOPS).bracket) == 3
    with pytest.raises(InputError, match="exposures must agree with the pixels"):
        prepare(frames, stops=stops)
    assert prepare(frames, stops=stops, options=Options(trust_exposures=True)).report.stops == list(stops)


@pytest.mark.parametrize("kind", ["foliage", "small"])
def test_the_same_pixels_with_different_exif_are_no_bracket(tmp_path: Path, kind: str) -> None:
    pixels = foliage(2) if kind == "foliage" else foliage(2, side=18)
    paths = [write(tmp_path / f"{n}.png", pixels, 2.0**n / 400) for n in (0, 2, 4)]
    with pytest.raises(InputError, match=r"0.png and 4.png hold the same pixels"):
        prepare(paths)


def test_a_photograph_of_something_else_is_named() -> None:
    frames = [photograph(light(), stop) for stop in STOPS]
    other = photograph(light(seed=99)[::-1], 1)
    found = prepare([*frames, other], stops=(*STOPS, 1))
    said = "images[3] looks like another scene than the other frames: leave out what does not belong."
    assert said in found.report.warnings
    with pytest.raises(InputError, match=r"strict refuses what is doubtful: images\[3\] looks like another"):
        prepare([*frames, other], stops=(*STOPS, 1), options=Options(strict=True))
    different = [photograph(np.rot90(light(192, 192), k), stop) for k, stop in enumerate(STOPS)]
    assert any("different scenes" in text for text in prepare(different, stops=STOPS).report.warnings)


def test_frames_of_one_scene_are_not_taken_for_others() -> None:
    for stops in (STOPS, (0, 6), (0, 1, 2, 3, 4, 5, 6), (0, 4, 8)):
        assert strangers(np.stack([photograph(light(), s) / 255 for s in stops])) == []
    moved = shifted([photograph(light(384, 512), stop) for stop in STOPS], 0, 40)
    assert strangers(np.stack(moved) / 255) == []
    wall = np.random.default_rng(0).normal([[[[0.2]]], [[[0.4]]], [[[0.8]]]], 0.05, (3, 64, 64, 3))
    assert strangers(np.clip(wall, 0, 1)) == []
    assert strangers(np.zeros((3, 64, 64, 3))) == []
    assert strangers(np.ones((3, 16, 16, 3))) == []


def test_frames_of_one_value_may_be_alike() -> None:
    white, black = np.full((64, 64, 3), 255, np.uint8), np.zeros((64, 64, 3), np.uint8)
    prepare([foliage(0), white, white.copy()], stops=(0, 6, 8))
    prepare([black, black.copy(), foliage(6)], stops=(0, 2, 8))


# Methods for displays get the frames as their files show them.


@pytest.mark.parametrize("method", DISPLAY)
def test_a_display_method_gets_the_frames_as_written(method: str) -> None:
    frames = [photograph(light(96, 128), stop, contrast) for stop in STOPS]
    found = fuse(frames, stops=STOPS, method=method, align="off")
    expected = load_method(method).fuse(read_frames(frames, stops=STOPS))
    np.testing.assert_array_equal(found, expected)


def test_as_written_but_aligned_and_with_holes_filled() -> None:
    truth = light(384, 512)
    frames = shifted([photograph(truth, stop, contrast) for stop in STOPS], 0, 14)
    found = prepare(frames, stops=STOPS, options=Options(rendered=True))
    assert found.report.curve == "as written"
    assert found.report.curve_error is None
    assert not any("tone curve" in note for note in found.report.corrections)
    assert [entry["status"] for entry in found.report.alignment] == ["aligned", "reference", "still"]
    # As the camera would have written the short frame from the reference's place.
    wanted = photograph(truth, 0, contrast)[:, 14:-14] / 255
    assert np.median(np.abs(found.bracket.ldr[0] - wanted)) < 0.01
    assert found.bracket.valid is not None
    border = ~found.bracket.valid[0] & (found.bracket.ldr[1] < 0.9).all(axis=-1)
    assert np.median(np.abs(found.bracket.ldr[0] - wanted)[border]) < 0.02


def test_linear_frames_are_encoded_for_a_display() -> None:
    truth = light()
    frames = [photograph(truth, stop, lambda values: values) for stop in STOPS]
    for curve in ("auto", "linear"):
        found = prepare(frames, stops=STOPS, options=Options(curve, rendered=True))
        assert found.report.curve == "linear"
        assert error_in_stops(found.bracket.radiance[1], truth, found.bracket.ldr[1]) < 0.05


def test_a_curve_that_is_not_applied_is_said() -> None:
    frames = [photograph(light(), stop) for stop in STOPS]
    said = "The frames are fused as their files show them: no curve is applied."
    assert said in prepare(frames, stops=STOPS, options=Options("srgb", rendered=True)).report.corrections
    assert said not in prepare(frames, stops=STOPS, options=Options(rendered=True)).report.corrections


def test_a_display_method_refuses_what_contradicts_itself() -> None:
    frames = [photograph(light(), stop) for stop in STOPS]
    with pytest.raises(InputError, match="exposures must agree with the pixels"):
        fuse(frames, stops=(4, 2, 0), method="mertens")


# One line a correction.


def test_notes_of_a_bracket_name_files_and_not_paths(tmp_path: Path) -> None:
    for stop in STOPS:
        values = np.round(4095 / 255 * photograph(light(), stop).astype(float)).astype(np.uint16)
        Image.fromarray(values[..., 1]).save(tmp_path / f"{stop}.png")
    found = prepare([tmp_path / f"{stop}.png" for stop in STOPS], stops=STOPS)
    assert "0.png, 2.png, 4.png hold 12-bit samples in 16 bits: scaled by 4095" in found.report.corrections


def test_measured_exposures_are_named(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / f"{name}.png", photograph(light(), stop))
        for name, stop in zip("cab", STOPS, strict=True)
    ]
    (doubt,) = prepare(paths).report.warnings
    assert doubt.startswith("The exposures were measured on the pixels, because no file says")
    assert ": c.png +0.0, a.png +" in doubt
    assert ", b.png +" in doubt


def test_a_frame_that_was_not_aligned_is_told_once() -> None:
    rng = np.random.default_rng(3)
    frames = [photograph(light(256, 256, seed=3), stop) for stop in STOPS]
    frames[0] = photograph(light(256, 256, seed=int(rng.integers(50, 90)))[::-1], 0)
    found = prepare(frames, stops=STOPS, options=Options(trust_exposures=True))
    said = [text for text in found.report.warnings if "images[0] was not aligned" in text]
    assert len(said) == 1
    assert said[0].count("not aligned") == 1
