"""The command line, with a network that returns the medium exposure."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import OpenEXR
import pytest
import safetensors.torch
import tifffile
import torch
import typer
import typer.testing
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

import apnt
import apnt.nn
from apnt.batch.settings import Settings
from apnt.cli import app
from apnt.data.procedural import procedural_bracket
from apnt.errors import InputError
from apnt.io import icc, read_exif, read_photo, read_radiance
from apnt.looks.colour import SRGB

EXIF_IFD, EXPOSURE_TIME = 0x8769, 0x829A
LEVELS = {400: 40, 100: 120, 25: 200}  # one over the exposure time: grey level


class Medium(torch.nn.Module):
    """The medium exposure's light, and maps of a network that expects an error of 0.1 in the upper half."""

    def forward(self, ldr: torch.Tensor, times: torch.Tensor, return_maps: bool = False) -> object:
        radiance = ldr[:, 1] ** 2.2 / times[:, 1, None, None, None]
        if not return_maps:
            return radiance
        ones = torch.ones_like(radiance[:, :1])
        error = 0.1 * ones
        error[:, :, error.shape[2] // 2 :] = 0.01
        maps = {"motion": [ones, ones], "saturation": [ones, ones], "offset": [], "error": [error]}
        return radiance, maps


class Network:
    """Stands in for the class that loads weights."""

    asked: list[str] = []  # noqa: RUF012 - emptied by the fixture

    @classmethod
    def from_pretrained(cls, weights: str) -> Medium:
        cls.asked.append(weights)
        return Medium()


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> type[Network]:
    monkeypatch.setattr("apnt.methods.network.load_network", Network.from_pretrained)
    Network.asked.clear()
    return Network


@pytest.fixture
def photographs(tmp_path: Path) -> list[str]:
    """Medium, long, short, with exposure times in EXIF."""
    paths = []
    for denominator in (100, 25, 400):
        exif = Image.Exif()
        exif.get_ifd(EXIF_IFD)[EXPOSURE_TIME] = IFDRational(1, denominator)
        path = tmp_path / f"{denominator}.png"
        Image.new("RGB", (24, 20), (LEVELS[denominator],) * 3).save(path, exif=exif.tobytes())
        paths.append(str(path))
    return paths


def run(*arguments: str | Path) -> Any:
    return typer.testing.CliRunner().invoke(app, [str(argument) for argument in arguments])


def error_of(result: Any, code: int = 2) -> str:
    """The one line on stderr of a command that failed."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("Error: ")
    return lines[0]


def test_fuse(network: type[Network], photographs: list[str], tmp_path: Path) -> None:
    result = run("fuse", *photographs, "-o", tmp_path / "hdr.exr")
    assert result.exit_code == 0, result.output
    assert network.asked == ["default"]
    pixels = OpenEXR.File(str(tmp_path / "hdr.exr")).channels()["RGB"].pixels
    assert pixels.shape == (20, 24, 3)
    assert pixels.dtype == np.float16
    np.testing.assert_allclose(pixels, (120 / 255) ** 2.2 / 4, rtol=2.0**-11)
    with Image.open(tmp_path / "hdr_preview.jpg") as preview:
        assert preview.size == (24, 20)
        assert np.asarray(preview).mean() > 60
    assert f"HDR      {tmp_path / 'hdr.exr'}  (24 x 20, linear)" in result.stdout
    assert f"Preview  {tmp_path / 'hdr_preview.jpg'}" in result.stdout
    assert (
        "400.png +0 EV, 100.png +2 EV, 25.png +4 EV  (exposures from EXIF; moment of 100.png)"
        in result.stdout
    )
    assert re.search(r"Time     \d+\.\d s", result.stdout)


@pytest.mark.parametrize(
    ("option", "value"), [("--times", "4,1/2,1"), ("--stops", "2,-1,0"), ("--stops", " -2, -5, -4")]
)
def test_times_and_stops(
    network: type[Network], photographs: list[str], tmp_path: Path, option: str, value: str
) -> None:
    # The pixels say otherwise.
    result = run("fuse", *photographs, "-o", tmp_path / "a.hdr", option, value, "--trust-exposures")
    assert result.exit_code == 0, result.output
    assert (
        f"25.png +0 EV, 400.png +1 EV, 100.png +3 EV  (exposures from {option}; moment of 400.png)"
        in result.stdout
    )


def test_stops_may_begin_with_a_minus(network: type[Network], photographs: list[str], tmp_path: Path) -> None:
    result = run("fuse", *photographs, "-o", tmp_path / "a.hdr", "--stops", "-2,0,2", "--trust-exposures")
    assert result.exit_code == 0, result.output
    assert "100.png +0 EV, 25.png +2 EV, 400.png +4 EV" in result.stdout


def test_options(network: type[Network], photographs: list[str], tmp_path: Path) -> None:
    look = tmp_path / "look.png"
    options = ["--preview", look, "--device", "cpu", "--precision", "fp32", "--weights", "mine.safetensors"]
    result = run("fuse", *photographs, "-o", tmp_path / "a.tif", *options)
    assert result.exit_code == 0, result.output
    assert network.asked == ["mine.safetensors"]
    assert Image.open(look).format == "PNG"
    assert not (tmp_path / "a_preview.jpg").exists()


def test_no_preview(network: type[Network], photographs: list[str], tmp_path: Path) -> None:
    before = set(os.listdir(tmp_path))
    result = run("fuse", *photographs, "-o", tmp_path / "a.hdr", "--no-preview")
    assert result.exit_code == 0, result.output
    assert set(os.listdir(tmp_path)) - before == {"a.hdr"}
    assert "Preview" not in result.stdout


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (0, "takes 2 to 15 photographs with different exposures, or a folder, got none"),
        (1, "must be 2 to 15 photographs with different exposures, got 1: {tmp}/100.png; add the other"),
        (16, "must be 2 to 15 photographs with different exposures, got 16"),
    ],
)
def test_count(
    network: type[Network], photographs: list[str], tmp_path: Path, count: int, message: str
) -> None:
    images = (photographs * 6)[:count]
    message = message.format(tmp=tmp_path)
    assert message in error_of(run("fuse", *images, "-o", tmp_path / "a.exr"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fuse", "{tmp}/nowhere/", "-o", "{tmp}/a.exr"], "{tmp}/nowhere does not exist: check the path"),
        (["fuse", "{tmp}/a.jpg", "-o", "{tmp}/a.exr"], "{tmp}/a.jpg does not exist: check the path"),
        (["fuse", "{tmp}/1.png", "{tmp}/a.jpg", "-o", "{tmp}/a.exr"], "{tmp}/a.jpg does not exist"),
        (["fuse", "{tmp}/no*.jpg", "-o", "{tmp}/a.exr"], "no file is like {tmp}/no*.jpg"),
        (["fuse", "{tmp}/empty", "-o", "{tmp}/a.exr"], "the folder {tmp}/empty holds none"),
        (["fuse", "{tmp}/empty", "{tmp}/1.png", "-o", "{tmp}/a.exr"], "is a folder beside others: name one"),
        (["batch", "{tmp}/nowhere", "--dry-run"], "{tmp}/nowhere does not: check the path"),
        (["batch", "{tmp}/no*.jpg", "--dry-run"], "no file is like {tmp}/no*.jpg"),
        (["batch", "{tmp}/empty", "--dry-run"], "{tmp}/empty holds none"),
        (["response", "{tmp}/nowhere", "-o", "{tmp}/c.toml"], "{tmp}/nowhere does not exist"),
        (["response", "{tmp}/1.png", "-o", "{tmp}/c.toml"], "or a folder, got one path: {tmp}/1.png"),
        (["evaluate", "--set", "{tmp}/nowhere"], "got '{tmp}/nowhere', which does not exist"),
        (["evaluate", "--set", "val-v1", "--data", "{tmp}/nowhere"], "{tmp}/nowhere does not exist"),
        (["evaluate", "--set", "val-v2", "--data", "{tmp}/nowhere"], "{tmp}/nowhere does not exist"),
        (["experiment", "fig6", "--out", "{tmp}/o", "{tmp}/nowhere"], "{tmp}/nowhere does not exist"),
        (["experiment", "table1", "--out", "{tmp}/o", "--data", "{tmp}/nowhere"], "nowhere does not exist"),
        (["data", "validate", "{tmp}/nowhere"], "{tmp}/nowhere does not exist"),
        (
            ["export", "{tmp}/no.safetensors", "-o", "{tmp}/a.pt2"],
            "got '{tmp}/no.safetensors', which does not",
        ),
    ],
)
def test_what_does_not_exist_is_said(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (24, 20)).save(tmp_path / "1.png")
    result = run(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert message.format(tmp=tmp_path) in error_of(result)
    assert not (tmp_path / "o").exists()  # nothing is made for what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "must know where the HDR image goes: add -o"),
        (["-o", "{tmp}"], "output must be a file, and {tmp} is a directory"),
        (["-o", "{tmp}/a.jpg"], "output must end in .hdr, .exr, .tif, .tiff"),
        (["-o", "{tmp}/missing/a.exr"], "does not exist: create it"),
        (["-o", "{tmp}/25.png/a.exr"], "25.png is a file"),
        (["-o", "{tmp}/" + 300 * "a" + ".exr"], ".exr is not (File name too long): choose another place"),
        (["-o", "{tmp}/a.exr", "--preview", "{tmp}/25.png"], "preview must not overwrite an input"),
        (["-o", "{tmp}/a.exr", "--preview", "{tmp}/a.exr"], "preview must end in .jpg, .jpeg, .png"),
        (["-o", "{tmp}/a.exr", "--preview", "{tmp}/a.jpg", "--no-preview"], "exclude each other"),
        (["-o", "{tmp}/a.exr", "--gain-map", "--no-preview"], "a gain map must go into a picture"),
        (
            ["-o", "{tmp}/a.exr", "--times", "1,2,4", "--stops", "0,1,2"],
            "--times and --stops exclude each other",
        ),
        (
            ["-o", "{tmp}/a.exr", "--times", "1,2"],
            "times must be one number an image, 3, got 2",
        ),
        (["-o", "{tmp}/a.exr", "--times", "1,2,2"], "and two are 0 stops apart: 1, 2, 2"),
        (["-o", "{tmp}/a.exr", "--times", "0,1,2"], "times must be positive"),
        (["-o", "{tmp}/a.exr", "--times", "-1,1,2"], "times must be positive"),
        (["-o", "{tmp}/a.exr", "--times", "nan,1,2"], "times must be finite"),
        (["-o", "{tmp}/a.exr", "--times", "1,2,5000"], "at most 12 stops"),
        (
            ["-o", "{tmp}/a.exr", "--times", "a,b,c"],
            "numbers such as 1/400,1/100,1/25, got 'a'",
        ),
        (["-o", "{tmp}/a.exr", "--stops", "0,2,14"], "at most 12 stops"),
        (["-o", "{tmp}/a.exr", "--reference", "4"], "--reference must be a frame from 1 to 3, got 4"),
        (["-o", "{tmp}/a.exr", "--device", "potato"], "device must be usable here"),
        (["-o", "{tmp}/a.tif", "--preview", "{tmp}/a.tif"], "must be another file than the output"),
        (
            ["-o", "{tmp}/a.exr", "--look", "vivid"],
            "look must be one of local, filmic, display, reinhard, none",
        ),
        (["-o", "{tmp}/a.exr", "--look", "display", "--gain-map"], "local, filmic, none for a gain map"),
        (["-o", "{tmp}/a.exr", "--preview", "{tmp}/a.png", "--gain-map"], "picture that ends in .jpg, .jpeg"),
        (["-o", "{tmp}/a.exr", "--white-balance", "warm"], "white balance must be as-shot, grey-world"),
        (["-o", "{tmp}/a.exr", "--exposure", "nan"], "exposure must lie from -20 to 20 stops, got nan"),
        (["-o", "{tmp}/a.exr", "--metadata", "some"], "metadata must be one of all, anonymous, none"),
    ],
)
def test_bad_options(
    network: type[Network], photographs: list[str], tmp_path: Path, options: list[str], message: str
) -> None:
    before = set(os.listdir(tmp_path))
    result = run("fuse", *photographs, *(option.format(tmp=tmp_path) for option in options))
    assert message.format(tmp=tmp_path) in error_of(result)
    assert set(os.listdir(tmp_path)) == before
    assert network.asked == []


def no_exif(path: Path) -> None:
    Image.new("RGB", (24, 20)).save(path)


def same_exposure(path: Path) -> None:
    path.write_bytes((path.parent / "25.png").read_bytes())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "100.png does not exist"),
        (lambda path: path.write_text("no picture"), "100.png is no image"),
        (lambda path: path.write_bytes(path.read_bytes()[:70]), "100.png is truncated"),
        (lambda path: Image.new("RGB", (20, 24)).save(path), "images must have the same size"),
        (no_exif, "exposure time is missing in"),
        (same_exposure, "EXIF exposures cannot be used"),
    ],
    ids=["missing", "no image", "truncated", "size", "no EXIF", "equal"],
)
def test_bad_photographs(
    network: type[Network], photographs: list[str], tmp_path: Path, spoil: Any, message: str
) -> None:
    spoil(tmp_path / "100.png")
    before = set(os.listdir(tmp_path))
    assert message in error_of(run("fuse", *photographs, "-o", tmp_path / "a.exr"))
    assert set(os.listdir(tmp_path)) == before
    assert network.asked == []


def test_no_exif_says_what_to_do(network: type[Network], photographs: list[str], tmp_path: Path) -> None:
    no_exif(tmp_path / "25.png")
    message = error_of(run("fuse", *photographs, "-o", tmp_path / "a.exr"))
    assert "25.png: give the exposures as times in seconds (--times " in message
    assert "(--stops " in message


@pytest.mark.parametrize("kind", ["no safetensors", "another network"])
def test_bad_weights(photographs: list[str], tmp_path: Path, kind: str) -> None:
    weights = tmp_path / "w.safetensors"
    if kind == "no safetensors":
        torch.save({"a": torch.zeros(1)}, weights)
    else:
        safetensors.torch.save_file({"a": torch.zeros(1)}, weights)
    before = set(os.listdir(tmp_path))
    message = error_of(run("fuse", *photographs, "-o", tmp_path / "a.exr", "--weights", weights))
    assert "weights must be a" in message
    assert str(weights) in message
    assert set(os.listdir(tmp_path)) == before


def test_closed_pipe_is_no_error_of_ours(
    network: type[Network], photographs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(text: str, **options: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(typer, "echo", closed)
    result = run("fuse", *photographs, "-o", tmp_path / "a.exr")
    assert result.exit_code == 1
    assert result.stderr == ""
    assert (tmp_path / "a.exr").is_file()


def test_full_disk(
    network: type[Network], photographs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.exr").write_bytes(b"old")
    before = set(os.listdir(tmp_path))

    def full(self: object, path: str) -> None:
        Path(path).write_bytes(b"half")
        raise RuntimeError("Failed to write pixel data.\nNo space left on device.")

    monkeypatch.setattr(OpenEXR.File, "write", full)
    result = run("fuse", *photographs, "-o", tmp_path / "a.exr", "--force")
    assert "No space left" in error_of(result, code=1)
    assert set(os.listdir(tmp_path)) == before
    assert (tmp_path / "a.exr").read_bytes() == b"old"


def test_existing_files_are_replaced_only_by_force(
    network: type[Network], photographs: list[str], tmp_path: Path
) -> None:
    output, picture = tmp_path / "a.exr", tmp_path / "a_preview.jpg"
    report = tmp_path / "a.html"
    for path, name in ((report, "report"), (picture, "preview"), (output, "output")):
        path.write_bytes(b"mine")
        message = error_of(run("fuse", *photographs, "-o", output, "--report", report))
        assert f"{name} must be a new file, and {path} exists: replace it with --force" in message
        assert path.read_bytes() == b"mine"
    assert network.asked == []
    result = run("fuse", *photographs, "-o", output, "--force")
    assert result.exit_code == 0, result.output
    assert OpenEXR.File(str(output)).channels()["RGB"].pixels.shape == (20, 24, 3)
    assert Image.open(picture).size == (24, 20)


def test_the_reference_s_metadata_and_mood(
    network: type[Network], photographs: list[str], tmp_path: Path
) -> None:
    picture = tmp_path / "a.tif"
    result = run("fuse", *photographs, "-o", tmp_path / "a.exr", "--preview", picture, "--look", "filmic")
    assert result.exit_code == 0, result.output
    assert read_exif(picture).time == pytest.approx(1 / 100)
    assert OpenEXR.File(str(tmp_path / "a.exr")).header()["expTime"] == pytest.approx(1 / 100)
    # The reference is dull: opened by 0.65 of the stops that it lacks of half of white.
    light = SRGB.linear(np.full((1, 3), 120 / 255, np.float32))
    opened = 255 * SRGB.encode(light * (0.5 / light) ** 0.65).mean()
    assert tifffile.imread(picture).mean() / 257 == pytest.approx(opened, abs=1)
    options = ["--metadata", "none", "--exposure", "1", "--preview", tmp_path / "b.jpg", "--gain-map"]
    result = run("fuse", *photographs, "-o", tmp_path / "b.exr", *options)
    assert result.exit_code == 0, result.output
    assert read_exif(tmp_path / "b.jpg").time is None
    with Image.open(tmp_path / "b.jpg") as image:
        assert np.asarray(image).mean() > 140
        assert b"hdrgm" in image.info["xmp"]


def test_a_reference_without_a_tone_is_said(tmp_path: Path) -> None:
    paths = []
    for k, level in enumerate((0, 0, 200)):
        paths.append(tmp_path / f"{k}.png")
        Image.new("RGB", (24, 20), (level,) * 3).save(paths[-1])
    result = run("fuse", *paths, "-o", tmp_path / "a.exr", "--stops", "0,2,4", "--method", "weighted",
                 "--curve", "gamma22", "--reference", "2", "--trust-exposures")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "The picture does not follow 1.png: like must be a photograph that is neither" in result.stderr
    assert (tmp_path / "a_preview.jpg").is_file()


def test_another_method(photographs: list[str], tmp_path: Path) -> None:
    result = run("fuse", *photographs, "-o", tmp_path / "a.hdr", "--method", "weighted")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "a.hdr").is_file()
    assert "methods must be of medium, weighted" in error_of(
        run("fuse", *photographs, "-o", tmp_path / "b.hdr", "--method", "best")
    )


def test_a_method_without_radiance_says_so(photographs: list[str], tmp_path: Path) -> None:
    result = run(
        "fuse", *photographs, "-o", tmp_path / "a.tif", "--preview", tmp_path / "a.png", "--method", "mertens"
    )
    assert result.exit_code == 0, result.output
    assert f"Picture  {tmp_path / 'a.tif'}  (24 x 20, for a display)" in result.stdout
    assert (
        "Note     mertens makes a picture for a display and no radiance: a.tif holds that." in result.stdout
    )
    assert "linear" not in result.output
    picture = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        np.testing.assert_array_equal(picture, file.asarray())
        assert file.pages[0].tags[34675].value == icc.srgb()  # not the linear profile of radiance


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "png", "tif", "avif"])
def test_a_method_without_radiance_writes_pictures(
    photographs: list[str], tmp_path: Path, suffix: str
) -> None:
    output = tmp_path / f"a.{suffix}"
    result = run("fuse", *photographs, "-o", output, "--method", "mertens")
    assert result.exit_code == 0, result.output
    assert "Preview" not in result.output
    assert sorted(path.name for path in tmp_path.glob("a*")) == [output.name]  # it is its own preview
    run("fuse", *photographs, "-o", tmp_path / "b.exr", "--method", "mertens")
    held = read_radiance(tmp_path / "b.exr")
    np.testing.assert_allclose(read_photo(output), held, atol=0.004 if suffix in ("png", "tif") else 0.1)
    if suffix != "tif":
        message = error_of(run("fuse", *photographs, "-o", output, "--force", "--method", "weighted"))
        assert "output must end in .hdr, .exr, .tif, .tiff, got" in message


@pytest.mark.parametrize(
    "option", [["--look", "filmic"], ["--exposure", "1"], ["--white-balance", "5200K"], ["--gain-map"]]
)
def test_a_picture_that_a_method_makes_is_not_rendered_again(
    photographs: list[str], tmp_path: Path, option: list[str]
) -> None:
    message = error_of(run("fuse", *photographs, "-o", tmp_path / "a.jpg", "--method", "mertens", *option))
    assert f"{option[0]} must be left out with mertens" in message
    with pytest.raises(InputError, match="--exposure must be left out with li20"):
        Settings(method="li20", exposure=1.0).check()


def test_json_says_what_was_found_and_done(
    network: type[Network], photographs: list[str], tmp_path: Path
) -> None:
    found = json.loads(run("fuse", *photographs, "-o", tmp_path / "a.exr", "--json").stdout)
    assert found["output"] == str(tmp_path / "a.exr")
    assert found["size"] == [24, 20]
    assert found["exposures"] == "EXIF"
    assert found["stops"] == [2, 4, 0]
    assert set(found) >= {
        "curve",
        "curve_error",
        "falloff",
        "reference",
        "corrections",
        "warnings",
        "alignment",
        "shares",
        "stops_error",
    }
    assert found["shares"]["uncertain"] == 0.5


def test_a_report_is_written_beside(network: type[Network], photographs: list[str], tmp_path: Path) -> None:
    output, report = tmp_path / "a.exr", tmp_path / "a.html"
    result = run("fuse", *photographs, "-o", output, "--report", report, "--look", "filmic")
    assert result.exit_code == 0, result.output
    assert f"Report   {report}" in result.stdout
    page = report.read_text(encoding="utf-8")
    for part in (
        "<h1>a.exr</h1>",
        "100.png",
        "Exposures: from EXIF.",
        "look “filmic”",
        "error that the network",
    ):
        assert part in page, part
    message = error_of(run("fuse", *photographs, "-o", output, "--force", "--report", tmp_path / "a.pdf"))
    assert "report must end in .html" in message
    options = ["--force", "--json", "--method", "mertens", "--reference", "1"]
    found = json.loads(run("fuse", *photographs, "-o", output, "--report", report, *options).stdout)
    assert found["report"] == str(report)
    page = report.read_text(encoding="utf-8")
    assert "no radiance" in page
    assert "Reference: 100.png, named by the user." in page


@pytest.mark.parametrize("broken", ["torch", "cv2", "numpy"])
def test_info_prints_where_a_package_cannot_be_imported(broken: str) -> None:
    code = (
        f"import sys; sys.modules[{broken!r}] = None; sys.argv = ['apnt', 'info', '--json']\n"
        "from apnt.cli import app; app()"
    )
    package = str(Path(apnt.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {package!r})\n{code}"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    name = "opencv" if broken == "cv2" else broken
    assert found["versions"][name].startswith("cannot be imported: ")
    assert found["versions"]["apnt"] == apnt.__version__
    assert ("error" in found["cpu"]) == (broken == "torch")


def test_info() -> None:
    result = run("info")
    assert result.exit_code == 0, result.output
    assert re.search(rf"^apnt +{re.escape(apnt.__version__)}$", result.stdout, re.MULTILINE)
    assert re.search(rf"^torch +{re.escape(torch.__version__)}$", result.stdout, re.MULTILINE)
    assert re.search(r"^ops backend on cpu +(cpp|reference)$", result.stdout, re.MULTILINE)
    found = json.loads(run("info", "--json").stdout)
    assert found["ops"]["backend_on_cpu"] == ("cpp" if found["ops"]["library"] else "reference")
    assert found["versions"]["apnt"] == apnt.__version__
    assert found["cuda"]["available"] == torch.cuda.is_available()
    assert found["cpu"]["name"]
    assert found["cpu"]["capability"] == torch.backends.cpu.get_cpu_capability()
    assert re.fullmatch(r"\d+(\.\d+)+", found["readers"]["pillow"])
    assert set(found["readers"]) == {"pillow", "tifffile", "rawpy", "pillow-heif", "imagecodecs"}
    packaged = Path(apnt.__file__).parent / "weights"
    assert found["weights"] == sorted(path.name for path in packaged.glob("*.safetensors"))


def test_info_names_the_extra_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from apnt import info

    monkeypatch.setitem(info._READERS, "rawpy", ("rawpy_that_nobody_has", "rawpy"))
    assert "readers rawpy" in (text := run("info").stdout)
    assert re.search(r"^readers rawpy +not installed: pip install 'apnt\[photo\]'$", text, re.MULTILINE)


def test_version() -> None:
    assert run("--version").stdout.strip() == apnt.__version__


@pytest.mark.parametrize(
    ("command", "file"),
    [
        (["response", "brackets", "-o", "camera.toml"], "camera.toml"),
        (["demo", "--out", "."], "short.jpg"),
        (["demo", "--out", "."], "side_by_side.jpg"),
        (["evaluate", "--set", "procedural", "--json", "a.json"], "a.json"),
        (["evaluate", "--set", "procedural", "--markdown", "a.md"], "a.md"),
        (["evaluate", "--set", "procedural", "--html", "a.html"], "a.html"),
        (["bench", "--json", "a.json"], "a.json"),
        (["experiment", "table1", "--out", "."], "table1.md"),
        (["experiment", "fig7", "--out", "."], "fig7.png"),
        (["experiment", "fig6", "--out", "."], "fig6.json"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[:2]),
)
def test_no_command_replaces_files_that_it_was_not_told_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str], file: str
) -> None:
    monkeypatch.setattr("apnt.demo.procedural_bracket", lambda: procedural_bracket(0, 96, 128))
    monkeypatch.chdir(tmp_path)
    Path(file).write_bytes(b"mine")
    message = error_of(run(*command))
    assert f"must be a new file, and {file} exists: replace it with --force" in message
    assert Path(file).read_bytes() == b"mine"
    assert os.listdir() == [file]


def test_response_is_replaced_by_force(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from apnt.prepare import calibrate
    from apnt.prepare.response import Response

    made = calibrate.Calibration(Response("gamma22"), [SimpleNamespace(note="good")])
    monkeypatch.setattr(calibrate, "calibrate", lambda folders: made)
    output = tmp_path / "camera.toml"
    output.write_bytes(b"mine")
    result = run("response", "brackets", "-o", output, "--force")
    assert result.exit_code == 0, result.output
    assert b"gamma22" in output.read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "yan19"], "weights of yan19 must be given"),
        (["--weights", "missing.safetensors"], "got 'missing.safetensors', which does not exist"),
        (["--method", "wu18", "--weights", "missing.safetensors"], "got 'missing.safetensors'"),
    ],
)
def test_weights_are_found_wrong_before_photographs_are_read(
    monkeypatch: pytest.MonkeyPatch, photographs: list[str], tmp_path: Path, options: list[str], message: str
) -> None:
    def late(*_: object) -> None:
        raise AssertionError("photographs were prepared")

    monkeypatch.setattr("apnt.run.prepare", late)
    assert message in error_of(run("fuse", *photographs, "-o", tmp_path / "a.exr", *options))
    monkeypatch.setattr("apnt._fuse.prepare", late)
    method = dict(zip(options[::2], options[1::2], strict=True))
    with pytest.raises(InputError, match=re.escape(message)):
        apnt.fuse(
            photographs,
            method=method.get("--method", "apnt"),
            weights=method.get("--weights", "default"),
        )


def test_json_says_the_reference_by_its_name(
    network: type[Network], photographs: list[str], tmp_path: Path
) -> None:
    result = run("fuse", *photographs, "-o", tmp_path / "a.exr", "--json", "--reference", "2")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["reference"], found["reference_name"]) == (1, "25.png")
    assert Path(found["images"][found["reference"]]).name == found["reference_name"]


def test_evaluate_passes_its_options_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from apnt.evaluate import command

    seen: dict[str, Any] = {}
    monkeypatch.setattr(
        command, "evaluate_set", lambda set_name, **options: seen.update(options, set_name=set_name)
    )
    result = run(
        "evaluate", "--methods", "medium, weighted", "--data", tmp_path, "--limit", "2", "--json", "a.json",
        "--html", "a.html", "--html-scenes", "3", "--protocols", "peers, cvvdp", "--peak-luminance", "1000",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert seen == {
        "set_name": "val-v1",
        "data": tmp_path,
        "weights": "default",
        "methods": ["medium", "weighted"],
        "protocols": ["peers", "cvvdp"],
        "peak_luminance": 1000.0,
        "json_path": Path("a.json"),
        "markdown_path": None,
        "html_path": Path("a.html"),
        "html_scenes": 3,
        "device": None,
        "precision": "fp32",
        "limit": 2,
        "per_scene": False,
        "force": False,
    }
    run("evaluate", "--weights", "default", "--weights", "mine.safetensors")
    assert seen["weights"] == ["default", "mine.safetensors"]
    assert seen["protocols"] == ["peers", "pu21"]


def test_evaluate_errors_are_one_line() -> None:
    assert "limit must be at least 1, got 0" in error_of(run("evaluate", "--limit", "0"))


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (["evaluate"], "--methods"),
        (["evaluate"], "--protocols"),
        (["experiment", "fig7", "--out", "out"], "--methods"),
        (["experiment", "table2", "--config", "c", "--data", "d", "--out", "out"], "--models"),
    ],
    ids=str,
)
def test_lists_of_no_names_are_refused(command: list[str], option: str) -> None:
    message = error_of(run(*command, option, " ,"))
    assert f"{option} must be names, separated by commas, got ' ,'" in message


def test_demo_passes_its_options_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from apnt import demo

    seen: list[Any] = []
    monkeypatch.setattr(demo, "make_demo", lambda out, weights, *, force: seen.extend([out, weights, force]))
    result = run("demo", "--out", tmp_path, "--weights", "mine")
    assert result.exit_code == 0, result.output
    assert run("demo", "--out", tmp_path, "--force").exit_code == 0
    assert seen == [tmp_path, "mine", False, tmp_path, "default", True]


def test_large_pages_are_asked_for_unless_the_user_decided(
    photographs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    run("bench", "--only", "nothing")  # measures PyTorch as it is
    assert "THP_MEM_ALLOC_ENABLE" not in os.environ
    fuse = ("fuse", *photographs, "-o", tmp_path / "out.exr", "--weights", "fast")
    assert run(*fuse).exit_code == 0  # keeps what is freed
    assert "THP_MEM_ALLOC_ENABLE" not in os.environ
    assert run(*fuse, "--force", "--memory", "4GB").exit_code == 0
    assert os.environ.pop("THP_MEM_ALLOC_ENABLE") == "1"
    run("info")
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "1"
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    run("info")
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "0"
