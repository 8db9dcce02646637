"""Data sets on disk: every layout, every kind of damage, validate's report, training and evaluation."""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
import typer.testing

from apnt.bracket import Bracket
from apnt.cli import app
from apnt.data import LAYOUTS, find_scenes, open_dataset, read_scene
from apnt.data.crops import CropRecipe, random_crop
from apnt.data.synthetic import BracketRecipe
from apnt.data.validate import Report, validate
from apnt.errors import InputError
from apnt.evaluate.sets import load_set
from apnt.train.brackets import CapturedCrops, SyntheticBrackets, brackets_for

SIZE = (128, 192)
STOPS = (0.0, 2.0, 4.0)
PAPER = ("BarbequeDay", "LadySitting", "ManStanding", "PeopleStanding", "PeopleTalking")


def radiance(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) float32 in [0, 1], smooth, 1 in few places, as RGBE keeps it."""
    rng = np.random.default_rng(seed)
    image = np.zeros((*size, 3), np.float32)
    for side, part in ((3, 1.0), (6, 0.7)):
        grid = rng.standard_normal((side, side, 3)).astype(np.float32)
        image += part * cv2.resize(grid, size[::-1], interpolation=cv2.INTER_CUBIC)
    image = np.minimum(0.01 * np.exp(1.5 * image), 1.0)
    code = cv2.imencode(".hdr", image[..., ::-1])[1]
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_UNCHANGED))[..., ::-1]


def expose(image: np.ndarray, time: float, bits: int = 16) -> np.ndarray:
    """A photograph with that depth."""
    steps = 2**bits - 1
    return np.round(np.minimum(image * time, 1.0) ** (1 / 2.2) * steps).astype(f"uint{bits}")


def write_hdr(path: Path, image: np.ndarray, packed: bool = True) -> None:
    """Radiance RGBE, run-length encoded or flat."""
    kind = cv2.IMWRITE_HDR_COMPRESSION_RLE if packed else cv2.IMWRITE_HDR_COMPRESSION_NONE
    flags = [cv2.IMWRITE_HDR_COMPRESSION, kind]
    path.write_bytes(cv2.imencode(".hdr", image[..., ::-1], flags)[1].tobytes())


def write_scene(
    folder: Path,
    seed: int,
    frames: Sequence[str] = ("262A0898.tif", "262A0899.tif", "262A0900.tif"),
    exposures: str | None = "exposure.txt",
    truth: str | None = "HDRImg.hdr",
    stops: Sequence[float] = STOPS,
    text: str | None = None,
    bits: int = 16,
    packed: bool = True,
    size: tuple[int, int] = SIZE,
) -> np.ndarray:
    """A scene of any layout, still but for the short frame, which moves by a pixel; returns the truth."""
    folder.mkdir(parents=True)
    image = radiance(seed, size)
    middle = len(frames) // 2
    for number, (name, stop) in enumerate(zip(frames, stops, strict=True)):
        seen = image if number >= middle else np.roll(image, 1, axis=1)
        picture = expose(seen, 2 ** (stop - min(stops)), bits)
        if name.endswith(".png"):
            cv2.imwrite(str(folder / name), picture[..., ::-1])
        else:
            tifffile.imwrite(folder / name, picture, photometric="rgb")
    if exposures is not None:
        (folder / exposures).write_text(text if text is not None else "\n".join(f"{s:f}" for s in stops))
    if truth is not None:
        write_hdr(folder / truth, image, packed)
    return image


ALIGNED = tuple(f"input_{n}_aligned.tif" for n in (1, 2, 3))
INPUTS = tuple(f"input_{n}.tif" for n in (1, 2, 3))
NINE = tuple(f"{n}.tiff" for n in range(1, 10))
SECONDS = tuple(2.0**n / 1024 for n in range(9))
KINDS: dict[str, dict[str, Any]] = {
    "deephdr": {},
    "deephdr-oxford": {"frames": ALIGNED, "exposures": "input_exp.txt", "truth": "ref_hdr_aligned.hdr"},
    "tel2023": {"frames": INPUTS},
    "hu2020": {"frames": ALIGNED, "exposures": "input_exp.txt", "truth": "ref_hdr_aligned_linear.hdr"},
    "sen2012": {"exposures": "exposures.txt", "truth": None},
    "tursun2016": {
        "frames": NINE,
        "truth": None,
        "stops": tuple(np.log2(SECONDS)),
        "text": "\n".join(str(s) for s in SECONDS),
    },
    "mef-opt": {"frames": ("1.png", "2.png", "3.png"), "exposures": None, "truth": None, "bits": 8},
}


@pytest.fixture
def deephdr(tmp_path: Path) -> Path:
    """Three training and three test scenes, nested as published."""
    root = tmp_path / "DeepHDR"
    for number, name in enumerate(("001", "002", "010")):
        write_scene(root / "Training" / name, number, stops=(0, 3, 6) if number == 2 else STOPS)
    write_scene(root / "Test" / "EXTRA" / "001", 3, packed=False)
    write_scene(root / "Test" / "PAPER" / "BarbequeDay", 4)
    write_scene(root / "Test" / "PAPER" / "ManStanding", 5)
    return root


def codes(report: Report, level: str) -> list[tuple[str | None, str]]:
    return [(finding.scene, finding.code) for finding in report.findings if finding.level == level]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("nested", [True, False], ids=["nested", "flat"])
def test_every_layout_is_recognised(tmp_path: Path, name: str, nested: bool) -> None:
    for number, place in enumerate(("Training/scene_0001_1", "Test/scene_0002_1")):
        write_scene(tmp_path / (place if nested else Path(place).name), number, **KINDS[name])
    found = find_scenes(tmp_path)
    assert found.layout is LAYOUTS[name]
    assert {scene.split for scene in found.scenes} == ({"train", "test"} if nested else {None})
    assert found.unexpected == found.without_scene == ()
    assert all(scene.unexpected == () for scene in found.scenes)
    report = validate(tmp_path)
    assert report.good, report.findings
    assert set(codes(report, "odd")) <= {(None, "size"), (None, "count")}
    whole = open_dataset(tmp_path, stops="estimate" if name == "mef-opt" else None)
    assert len(whole) == 2
    for bracket in whole:
        assert bracket.ldr.shape == (3, *SIZE, 3)
        assert bracket.ldr.mean(axis=(1, 2, 3)).tolist() == sorted(bracket.ldr.mean(axis=(1, 2, 3)))
        expected = [1, 4, 16]
        np.testing.assert_allclose(bracket.times, expected, rtol=0.1 if name == "mef-opt" else 1e-4)
        assert (bracket.truth is None) == (LAYOUTS[name].truth is None)


@pytest.mark.parametrize("packed", [True, False], ids=["run-length", "flat"])
def test_pixels_come_through(tmp_path: Path, packed: bool) -> None:
    truth = write_scene(tmp_path / "001", 7, packed=packed)
    (bracket,) = open_dataset(tmp_path)
    assert bracket.name == "001"
    np.testing.assert_array_equal(bracket.truth, truth)
    np.testing.assert_array_equal(bracket.ldr[2], expose(truth, 16).astype(np.float32) / np.float32(65535))
    data = (tmp_path / "001" / "HDRImg.hdr").read_bytes()
    start = data.index(b"+X 192\n") + 7
    assert (data[start : start + 4] == b"\x02\x02\x00\xc0") == packed  # how a run-length encoded row begins


def test_scenes_are_named_sorted_and_split(deephdr: Path) -> None:
    names = [scene.name for scene in find_scenes(deephdr).scenes]
    assert names == [
        "Test/EXTRA/001", "Test/PAPER/BarbequeDay", "Test/PAPER/ManStanding",
        "Training/001", "Training/002", "Training/010",
    ]  # fmt: skip
    assert len(open_dataset(deephdr, "train")) == len(open_dataset(deephdr, "test")) == 3
    assert len(open_dataset(deephdr / "Test")) == len(open_dataset(deephdr / "Test", "test")) == 3
    assert len(open_dataset(deephdr / "Test" / "PAPER", "test")) == 2
    assert [s.name for s in open_dataset(deephdr / "Training" / "001").scenes] == ["001"]
    with pytest.raises(InputError, match=r"split must be one of those in .*, test, train, got 'val'"):
        open_dataset(deephdr, "val")
    assert [bracket.name for bracket in open_dataset(deephdr)[1:3]] == names[1:3]


def test_names_may_hold_digits_that_are_no_decimals(tmp_path: Path) -> None:
    for number, name in enumerate(("10", "9²", "9")):
        write_scene(tmp_path / name, number, size=(32, 32))
    assert [scene.name for scene in find_scenes(tmp_path).scenes] == ["9", "9²", "10"]


def test_splits_of_other_downloads(tmp_path: Path) -> None:
    places = (
        "SIGGRAPH17_HDR_Trainingset/x/001",
        "SIGGRAPH17_HDR_Testset/x/001",
        "Test-set/007",
        "val/1",
        "a",
    )
    for number, place in enumerate(places):
        write_scene(tmp_path / place, number)
    splits = {scene.name: scene.split for scene in find_scenes(tmp_path).scenes}
    assert list(splits.values()) == [None, "test", "train", "test", "val"]


def test_exposures_decide_the_order(tmp_path: Path) -> None:
    write_scene(tmp_path / "001", 0, frames=("c.tif", "a.tif", "b.tif"))
    (tmp_path / "001" / "exposure.txt").write_text("2, 4, 0")  # of a, b, c
    (bracket,) = open_dataset(tmp_path)
    assert bracket.times.tolist() == [1, 4, 16]
    assert bracket.ldr.mean(axis=(1, 2, 3)).argsort().tolist() == [0, 1, 2]
    report = validate(tmp_path)
    assert ("001", "frame-order") in codes(report, "odd")
    assert report.scenes[0].taken == ("c.tif", "a.tif", "b.tif")


def test_tursun_takes_frames_5_7_9(tmp_path: Path) -> None:
    write_scene(tmp_path / "01", 0, **KINDS["tursun2016"])
    assert validate(tmp_path).scenes[0].taken == ("5.tiff", "7.tiff", "9.tiff")
    (tmp_path / "01" / "exposure.txt").write_text("\n".join(f"1/{2 ** (10 - n)}" for n in range(9)))
    (bracket,) = open_dataset(tmp_path)
    assert bracket.times.tolist() == [1, 4, 16]
    expected = tifffile.imread(tmp_path / "01" / "7.tiff").astype(np.float32) / np.float32(65535)
    np.testing.assert_array_equal(bracket.ldr[1], expected)


def test_many_frames_give_first_middle_and_last(tmp_path: Path) -> None:
    frames = tuple(f"{n}.tif" for n in range(1, 6))
    write_scene(tmp_path / "a", 0, **KINDS["sen2012"] | {"frames": frames, "stops": (0, 1, 2, 3, 4)})
    report = validate(tmp_path)
    assert report.layout is LAYOUTS["sen2012"]
    assert report.scenes[0].taken == ("1.tif", "3.tif", "5.tif")


def test_static_stack_of_the_oxford_mirror(tmp_path: Path) -> None:
    write_scene(tmp_path / "001", 0, **KINDS["deephdr-oxford"])
    for number in (1, 2, 3):
        still = np.full((*SIZE, 3), 1000 * number, np.uint16)
        tifffile.imwrite(tmp_path / "001" / f"ref_{number}_aligned.tif", still, photometric="rgb")
    (tmp_path / "001" / "HDRImg.jpg").write_text("a preview")
    (scene,) = find_scenes(tmp_path).scenes
    assert [path.name for path in scene.unexpected] == ["HDRImg.jpg"]
    write_hdr(tmp_path / "001" / "ref_hdr_aligned.hdr", np.full((*SIZE, 3), 1e-4, np.float32))
    static = read_scene(scene, static=True)
    np.testing.assert_allclose(static.ldr[:, 0, 0, 0], np.array([1000, 2000, 3000]) / 65535)
    (tmp_path / "001" / "ref_3_aligned.tif").unlink()
    assert ("001", "static-count") in codes(validate(tmp_path), "odd")
    with pytest.raises(InputError, match="static must be False"):
        read_scene(find_scenes(tmp_path).scenes[0], static=True)


def test_missing_times_are_required_or_measured(tmp_path: Path) -> None:
    write_scene(tmp_path / "a", 1, **KINDS["mef-opt"] | {"frames": ("1.png", "2.png", "3.png")})
    with pytest.raises(InputError, match="stops must be given for MEF-Opt"):
        open_dataset(tmp_path)[0]
    assert open_dataset(tmp_path, stops=(0, 3, 6))[0].times.tolist() == [1, 8, 64]
    stops = validate(tmp_path).scenes[0].measured_stops
    assert stops == pytest.approx(STOPS, abs=0.2)
    for number in (1, 2, 3):
        cv2.imwrite(str(tmp_path / "a" / f"{number}.png"), np.full((*SIZE, 3), 255, np.uint8))
    with pytest.raises(InputError, match="too little of the same light: give stops"):
        open_dataset(tmp_path, stops="estimate")[0]


def test_layouts_that_cannot_be_told_apart(tmp_path: Path) -> None:
    write_scene(tmp_path / "001", 0, **KINDS["hu2020"] | {"truth": None})
    with pytest.raises(InputError, match=r"one layout, .* 1 like DeepHDR, Oxford mirror .* 1 like Hu 2020"):
        find_scenes(tmp_path)
    assert find_scenes(tmp_path, "hu2020").layout is LAYOUTS["hu2020"]
    report = validate(tmp_path, "hu2020")
    assert codes(report, "unusable") == [("001", "truth-missing")]
    write_scene(tmp_path / "002", 0, **KINDS["hu2020"])
    assert find_scenes(tmp_path).layout is LAYOUTS["hu2020"]
    write_scene(tmp_path / "003", 0)
    with pytest.raises(InputError, match="give the folder of one of them"):
        find_scenes(tmp_path)


def test_seconds_are_never_taken_for_stops(tmp_path: Path) -> None:
    # Three .tiff without truth could be either set, in either unit.
    write_scene(tmp_path / "001", 0, frames=("1.tiff", "2.tiff", "3.tiff"), truth=None)
    assert find_scenes(tmp_path).layout is LAYOUTS["deephdr"]
    assert codes(validate(tmp_path), "unusable") == [("001", "truth-missing")]
    # A file in the wrong unit contradicts both the pixels and the truth.
    write_scene(tmp_path / "d" / "002", 1, text="0.01 0.04 0.16")
    shutil.rmtree(tmp_path / "001")
    report = validate(tmp_path)
    assert ("d/002", "exposure-unit") in codes(report, "unusable")
    assert "exposure.txt seems to hold seconds" in str(report.findings)
    with pytest.raises(
        InputError, match=r"must have the scale of the shortest exposure.* check the exposures"
    ):
        open_dataset(tmp_path)[0]


def test_a_real_bracket_of_the_oxford_mirror(tmp_path: Path) -> None:
    data = Path(os.environ.get("APNT_DATA") or Path(__file__).parents[3] / "shared" / "data")
    source = data / "brackets" / "kalantari_002"
    if not source.is_dir():
        pytest.skip(f"{source} is not there")
    scene = tmp_path / "002"
    scene.mkdir()
    for name in ALIGNED:
        shutil.copyfile(source / name, scene / name)
    (scene / "input_exp.txt").write_text("0.00\n3.00\n6.00\n")
    report = validate(tmp_path, "deephdr-oxford")
    assert codes(report, "unusable") == [("002", "truth-missing")]
    assert codes(report, "odd") == [("002", "depth")]  # JPEG inside .tif
    assert report.scenes[0].size == (1500, 1000)
    assert report.scenes[0].measured_stops == pytest.approx((0, 3, 6), abs=0.3)
    (scene / "input_exp.txt").write_text("0.01 0.08 0.64")
    assert ("002", "exposure-unit") in codes(validate(tmp_path, "deephdr-oxford"), "unusable")


def damage(scene: Path, how: str) -> None:
    frame, hdr, text = scene / "262A0899.tif", scene / "HDRImg.hdr", scene / "exposure.txt"
    if how == "cut frame":
        frame.write_bytes(frame.read_bytes()[:-5000])
    elif how == "empty frame":
        frame.write_bytes(b"")
    elif how == "no frame":
        frame.unlink()
    elif how == "extra frame":
        shutil.copy(frame, scene / "262A0901.tif")
    elif how == "same frame":
        shutil.copy(frame, scene / "262A0900.tif")
    elif how == "small frame":
        tifffile.imwrite(frame, np.zeros((64, 64, 3), np.uint16), photometric="rgb")
    elif how == "no truth":
        hdr.unlink()
    elif how == "cut truth":
        hdr.write_bytes(hdr.read_bytes()[:-500])
    elif how == "black truth":
        write_hdr(hdr, np.zeros((*SIZE, 3), np.float32))
    elif how == "small truth":
        write_hdr(hdr, np.ones((64, 64, 3), np.float32))
    elif how == "bright truth":
        write_hdr(hdr, radiance(0) * 4)
    elif how == "dark truth":
        spot = np.zeros((*SIZE, 3), np.float32)
        spot[:2, :2] = 1
        write_hdr(hdr, spot)
    elif how == "no exposures":
        text.unlink()
    elif how == "two exposures":
        text.write_text("0 2")
    elif how == "words":
        text.write_bytes(b"0 two 4")
    elif how == "binary":
        text.write_bytes(b"\xff\xfe\x00\x9f" * 9)
    elif how == "equal":
        text.write_text("0 2 2")
    elif how == "far":
        text.write_text("0 6 12.5")


DAMAGE = {
    "cut frame": ("frame-unreadable", r"Training/001/262A0899\.tif is truncated"),
    "empty frame": ("frame-unreadable", r"Training/001/262A0899\.tif must be a photograph, and it is empty"),
    "no frame": ("frame-count", r"Training/001 must hold 3 frames like 262A0898\.tif, it holds 2"),
    "extra frame": ("frame-count", r"Training/001 must hold 3 frames .* it holds 4"),
    "same frame": ("frames-equal", r"262A0899\.tif and 262A0900\.tif are the same picture"),
    "small frame": ("frame-sizes", "Training/001 .*64 x 64"),
    "no truth": ("truth-missing", r"Training/001/HDRImg\.hdr is missing"),
    "cut truth": ("truth-unreadable", r"Training/001/HDRImg\.hdr is not one"),
    "black truth": ("truth-black", r"Training/001/HDRImg\.hdr is black"),
    "small truth": ("truth-size", r"Training/001/HDRImg\.hdr has 64 x 64 pixels, the frames 192 x 128"),
    "bright truth": ("truth-scale", r"truth is 4 times as bright .* truth_scale=0\.25"),
    "dark truth": ("truth-scale", "truth is 0 times as bright .*: check the exposures$"),
    "no exposures": ("exposures-missing", r"Training/001/exposure\.txt is missing"),
    "two exposures": ("exposures", r"exposure\.txt must hold 3 exposures in log2 stops.* it holds 2: 0,2"),
    "words": ("exposures", r"exposure\.txt must hold 3 exposures in log2 stops.* got 'two'"),
    "binary": ("exposures", r"exposure\.txt must be a text file"),
    "equal": ("exposures", "must be different exposures, .* two are 0 stops apart: 0, 2, 2"),
    "far": ("exposures", "must span at most 12 stops"),
}
"""Kind of damage -> code and message of validate's finding."""


@pytest.mark.parametrize("how", DAMAGE)
def test_damage_is_named_and_refused_or_skipped(
    deephdr: Path, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    damage(deephdr / "Training" / "001", how)
    code, message = DAMAGE[how]
    report = validate(deephdr)
    assert not report.good
    assert report.unusable == {"Training/001"}
    assert ("Training/001", code) in codes(report, "unusable")
    assert any(re.search(message, finding.message) for finding in report.findings), report.findings
    assert capfd.readouterr().err == ""  # no decoder's chatter

    def read_all(on_error: str) -> list[Bracket]:
        return list(open_dataset(deephdr, "train", on_error=on_error, need_truth=True))  # type: ignore[arg-type]

    if how != "same frame":  # which only validate looks for
        with pytest.raises(InputError, match="Training/001"):
            read_all("raise")
        with pytest.warns(UserWarning, match=r"skipped Training/001: .*Training/001"):
            good = read_all("skip")
        assert [bracket.name for bracket in good] == ["Training/002", "Training/010"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(open_dataset(deephdr, "test"))) == 3  # the rest is not touched


@pytest.mark.parametrize("function", ["read_radiance", "measured_truth_scale", "measured_stops"])
def test_too_little_memory_for_one_scene_is_a_finding(
    deephdr: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    from apnt.data import validate as module

    whole, calls = getattr(module, function), []

    def short_of_memory(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 1:
            raise MemoryError("Unable to allocate 4.47 GiB for an array with shape (12000, 100000, 1)")
        return whole(*arguments)

    monkeypatch.setattr(module, function, short_of_memory)
    report = validate(deephdr)
    first = report.scenes[0].name
    (message,) = (finding.message for finding in report.findings if finding.level == "unusable")
    assert report.unusable == {first}
    assert len(report.scenes) == 6
    if function != "read_radiance":  # which names the file itself
        assert message == (
            f"checking {first} needs more memory than there is (4.47 GiB at once): scale the photographs "
            "down, or run where there is more"
        )


def test_oddities_are_reported_and_accepted(tmp_path: Path) -> None:
    write_scene(tmp_path / "Training" / "001", 0, bits=8)
    write_scene(tmp_path / "Training" / "002", 1, size=(96, 96))
    (tmp_path / "Training" / "003").mkdir()
    (tmp_path / "readme.pdf").write_text("x")
    (tmp_path / ".DS_Store").write_text("x")
    image = write_scene(tmp_path / "Training" / "004", 2)
    write_hdr(tmp_path / "Training" / "004" / "HDRImg.hdr", np.minimum(image, 0.25))
    image = write_scene(tmp_path / "Training" / "005", 3)
    write_hdr(tmp_path / "Training" / "005" / "HDRImg.hdr", 1.5 * image)
    write_scene(tmp_path / "Training" / "006", 4, text="0 2 5.5")
    report = validate(tmp_path)
    assert report.good, report.findings
    odd = codes(report, "odd")
    for scene, code in (
        ("Training/001", "depth"),
        (None, "size"),
        ("Training/003", "stray-folder"),
        ("Training/004", "truth-clipped"),
        ("Training/005", "truth-above-1"),
        ("Training/005", "truth-scale"),
        ("Training/006", "exposure-misfit"),
        (None, "count"),
    ):
        assert (scene, code) in odd, code
    assert [path.name for path in report.unexpected] == ["readme.pdf"]
    by_name = {bracket.name: bracket for bracket in open_dataset(tmp_path)}
    truth = by_name["Training/005"].truth
    assert truth is not None
    assert truth.max() == 1.0


def test_truth_of_another_scale_is_brought_to_ours(tmp_path: Path) -> None:
    image = write_scene(tmp_path / "001", 0)
    write_hdr(tmp_path / "001" / "HDRImg.hdr", 4 * image)
    truth = open_dataset(tmp_path, truth_scale=0.25)[0].truth
    np.testing.assert_allclose(truth, image, rtol=0.01)
    with pytest.raises(InputError, match="truth_scale must be a positive number"):
        open_dataset(tmp_path, truth_scale=0)


def test_arguments_that_do_not_fit(deephdr: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="on_error must be 'raise' or 'skip', got 'ignore'"):
        open_dataset(deephdr, on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="layout must be one of deephdr"):
        open_dataset(deephdr, layout="kalantari")
    for stops in ("measure", (0, 2)):
        for on_error in ("raise", "skip"):
            with pytest.raises(InputError, match="stops must be three numbers"):
                open_dataset(deephdr, stops=stops, on_error=on_error)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="stops must be left out for DeepHDR"):
        open_dataset(deephdr, stops=(0, 2, 4))
    with pytest.raises(InputError, match="does not exist"):
        open_dataset(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="none, or too little"):
        open_dataset(tmp_path / "empty")
    write_scene(tmp_path / "sen" / "1", 0, **KINDS["sen2012"])
    with pytest.raises(InputError, match=r"data must have truth, and Sen 2012.* has none"):
        open_dataset(tmp_path / "sen", need_truth=True)
    for path in deephdr.rglob("exposure.txt"):
        path.write_text("0 0 0")
    with pytest.warns(UserWarning, match="skipped"), pytest.raises(InputError, match="have problems"):
        open_dataset(deephdr, on_error="skip")


def test_json_is_complete_and_stable(deephdr: Path) -> None:
    damage(deephdr / "Training" / "001", "cut truth")
    result = run("data", "validate", deephdr, "--json")
    assert result.exit_code == 1
    content = json.loads(result.stdout)
    assert content["format"] == 1
    assert content["layout"] == {
        "name": "deephdr",
        "title": "DeepHDR (Kalantari and Ramamoorthi 2017)",
        "exposure_file": "exposure.txt",
        "exposure_unit": "stops",
        "truth": "HDRImg.hdr",
    }
    assert (content["good"], content["count"], content["usable"]) == (False, 6, 5)
    assert content["splits"] == {"train": 3, "test": 3}
    assert content["exposures"] == [
        {"stops": [0, 2, 4], "ratios": [1, 4, 16], "scenes": 5},
        {"stops": [0, 3, 6], "ratios": [1, 8, 64], "scenes": 1},
    ]
    assert content["unexpected_files"] == []
    (bad,) = [finding for finding in content["findings"] if finding["level"] == "unusable"]
    assert set(bad) == {"level", "code", "scene", "message"}
    scene = content["scenes"][0]
    assert scene["name"] == "Test/EXTRA/001"
    assert (scene["size"], scene["bits"]) == ([192, 128], 16)
    assert scene["truth_scale"] == pytest.approx(1, abs=0.01)
    assert scene["measured_stops"] == pytest.approx(STOPS, abs=0.1)
    # Unknown values are null.
    assert content["scenes"][3]["truth_max"] is None


def run(*arguments: str | Path) -> Any:
    return typer.testing.CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_validate_for_people(deephdr: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    result = run("data", "validate", deephdr)
    assert result.exit_code == 0, result.output
    text = result.output
    for expected in (
        "DeepHDR (Kalantari and Ramamoorthi 2017)",
        "6: 3 training, 3 test",
        "exposure.txt, taken as log2 stops",
        "0 2 4 stops, 1 : 4 : 16 (5 scenes)",
        "192 x 128 (6 scenes), 16 bits (6 scenes)",
        "training scenes: 3 here, 74 published",
        "Every scene can be used.",
        f"apnt evaluate --set {deephdr}",
    ):
        assert expected in text, expected
    damage(deephdr / "Training" / "001", "cut frame")
    result = run("data", "validate", deephdr)
    assert result.exit_code == 1
    assert "1 of 6 scenes cannot be used" in result.output
    assert "Training/001/262A0899.tif is truncated" in result.output
    (tmp_path / "other").mkdir()
    result = run("data", "validate", tmp_path / "other")
    assert result.exit_code == 1
    assert "No data set was recognised" in result.output
    assert json.loads(run("data", "validate", tmp_path / "other", "--json").stdout)["layout"] is None
    result = run("data", "validate", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr


def test_many_findings_stay_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for number in range(26):
        write_scene(tmp_path / "Training" / f"{number:03}", number, size=(32, 32), bits=8)
        if number >= 3:
            (tmp_path / "Training" / f"{number:03}" / "HDRImg.hdr").unlink()
    result = run("data", "validate", tmp_path)
    assert "and 3 more" in result.output
    assert "26 scenes" in result.output
    assert result.output.count("frames have 8 bits, not 16") == 1


def test_crops_are_changed_alike(deephdr: Path) -> None:
    bracket = open_dataset(deephdr, "test")[0]
    assert bracket.truth is not None
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(20):
        crop = random_crop(bracket, 48, CropRecipe(), rng)
        assert crop.ldr.shape == (3, 48, 48, 3)
        assert crop.truth is not None
        # The longest exposure and the truth do not move against each other: they show the same light.
        clear = crop.ldr[2] < 0.99
        np.testing.assert_allclose(crop.ldr[2][clear] ** 2.2 / 16, crop.truth[clear], atol=1e-4)
        seen.add(crop.truth.tobytes())
    assert len(seen) == 20
    plain = random_crop(bracket, 128, CropRecipe(flip=0, turn=0, permute=0), rng)
    assert any(np.array_equal(plain.truth, bracket.truth[:, x : x + 128]) for x in range(65))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"crop must fit .* 192 x 128 pixels, got 129"):
        random_crop(bracket, 129, CropRecipe(), rng)
    with pytest.raises(InputError, match="flip must be a probability"):
        CropRecipe(flip=1.5)


@pytest.mark.parametrize(
    ("recipe", "change"),
    [
        (CropRecipe(flip=1, turn=0, permute=0), lambda image: image[:, ::-1]),
        (CropRecipe(flip=0, turn=1, permute=0), None),
        (CropRecipe(flip=0, turn=0, permute=1), None),
    ],
    ids=["flip", "turn", "permute"],
)
def test_each_change_of_a_crop(recipe: CropRecipe, change: Callable[[np.ndarray], np.ndarray] | None) -> None:
    image = np.random.default_rng(0).random((20, 20, 3), dtype=np.float32)
    bracket = Bracket("a", np.stack([image] * 3), np.array([1.0, 4.0, 16.0]), image)
    truths = [random_crop(bracket, 20, recipe, np.random.default_rng(seed)).truth for seed in range(30)]
    if change is not None:
        assert all(np.array_equal(truth, change(image)) for truth in truths if truth is not None)
    elif recipe.turn:
        turns = {k for k in range(4) for truth in truths if np.array_equal(truth, np.rot90(image, k))}  # type: ignore[arg-type]
        assert turns == {1, 2, 3}
    else:
        firsts = {tuple((image[0, 0] == value).argmax() for value in truth[0, 0]) for truth in truths}  # type: ignore[index]
        assert len(firsts) == 6


def test_training_samples_depend_on_seed_and_index_alone(deephdr: Path) -> None:
    one, two = (brackets_for(deephdr, 9, 32, BracketRecipe(), seed=5) for _ in range(2))
    assert isinstance(one, CapturedCrops)
    one[0]
    for key, value in one[7].items():
        assert torch.equal(value, two[7][key]), key
    assert one[7]["ldr"].shape == (3, 3, 32, 32)
    assert one[7]["truth"].shape == (3, 32, 32)
    assert not torch.equal(one[7]["truth"], brackets_for(deephdr, 9, 32, BracketRecipe(), seed=6)[7]["truth"])
    assert len(one) == 9
    # Every scene once before any again: three scenes, of which one has another spacing.
    spacing = [int(one[index]["times"][1]) for index in range(9)]
    assert all(sorted(spacing[k : k + 3]) == [4, 4, 8] for k in (0, 3, 6))


def test_training_refuses_or_skips_by_choice(deephdr: Path) -> None:
    damage(deephdr / "Training" / "002", "cut truth")
    samples = brackets_for(deephdr, 6, 32, BracketRecipe())
    with pytest.raises(InputError, match=r"Training/002/HDRImg\.hdr is not one"):
        [samples[index] for index in range(6)]
    skipping = brackets_for(deephdr, 6, 32, BracketRecipe(), CropRecipe(on_error="skip"))
    with pytest.warns(UserWarning, match="skipped Training/002"):
        spacing = [int(skipping[index]["times"][1]) for index in range(6)]
    assert set(spacing) == {4, 8}
    for name in ("001", "010"):
        damage(deephdr / "Training" / name, "cut truth")
    with pytest.warns(UserWarning, match="skipped"), pytest.raises(InputError, match="none can be"):
        skipping[0]


def test_what_a_folder_holds_decides(deephdr: Path, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    write_hdr(maps / "a.hdr", radiance(0))
    cv2.imwrite(str(maps / "1.png"), np.zeros((4, 4, 3), np.uint8))
    cv2.imwrite(str(maps / "2.png"), np.zeros((4, 4, 3), np.uint8))
    quiet = BracketRecipe(shift=2.0, rotation=0.0)
    assert isinstance(brackets_for(maps, 1, 32, quiet), SyntheticBrackets)
    with pytest.raises(InputError, match=r"data must be a folder with .* neither"):
        brackets_for(tmp_path / "nowhere", 1, 32, quiet)
    with pytest.raises(InputError, match=r"must hold training scenes, and .* has only \['test'\]"):
        brackets_for(deephdr / "Test", 1, 32, quiet)
    # Matching features need known motion, which truths give as radiance maps do.
    made = SyntheticBrackets(deephdr, 2, 32, quiet)
    assert len(made.maps) == 3
    assert made[0]["motion"].shape == (2, 32, 32)


def test_evaluation_takes_the_test_scenes(deephdr: Path, tmp_path: Path) -> None:
    brackets, count = load_set(str(deephdr))
    names = [bracket.name for bracket in brackets]
    assert names == ["Test/EXTRA/001", "Test/PAPER/BarbequeDay", "Test/PAPER/ManStanding"]
    assert count == 3
    assert load_set(str(deephdr / "Training"))[1] == 3
    with pytest.raises(InputError, match="data must be left out"):
        load_set(str(deephdr), tmp_path)
    damage(deephdr / "Test" / "EXTRA" / "001", "no truth")
    with pytest.raises(InputError, match=r"Test/EXTRA/001/HDRImg\.hdr is missing"):
        load_set(str(deephdr))


def test_a_download_trains_and_evaluates(
    deephdr: Path, tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    real = CapturedCrops.__getitem__

    def watch(self: CapturedCrops, index: int) -> dict[str, torch.Tensor]:
        seen.append(real(self, index))
        return seen[-1]

    monkeypatch.setattr(CapturedCrops, "__getitem__", watch)
    monkeypatch.setenv("COLUMNS", "200")
    out = tmp_path / "run"
    result = run("train", "--config", tiny_recipe, "--data", deephdr, "--out", out)
    assert result.exit_code == 0, result.output
    assert len(seen) == 2
    weights = out / "model.safetensors"
    scores = tmp_path / "scores.json"
    result = run(
        "evaluate", "--set", deephdr, "--weights", weights, "--methods", "apnt,weighted", "--json", scores,
        "--device", "cpu",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    content = json.loads(scores.read_text())
    names = ["Test/EXTRA/001", "Test/PAPER/BarbequeDay", "Test/PAPER/ManStanding"]
    assert [scene["name"] for scene in content["scenes"]] == names
