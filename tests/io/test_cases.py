"""The handed makers of files that once were read wrong, at the level of the readers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from apnt.io import read_exif, read_photo
from apnt.io.depth import rescale_bracket
from apnt.io.photo import read_photograph
from apnt.io.radiance import read_radiance

STOPS = (0, 2, 4)


@pytest.fixture
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder that the maker of the test's name filled."""
    data = Path(os.environ.get("APNT_DATA", Path(__file__).parents[3] / "shared" / "data"))
    maker = data.parent / "cases" / "files" / f"{request.param}.py"
    if not maker.is_file():
        pytest.skip(f"the maker is not at {maker}")
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, maker, tmp_path], check=True, timeout=60, env=environment)
    return tmp_path


def maker(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("made", [name], indirect=True)


@pytest.mark.parametrize("made", ["bits10_in_16", "bits12_in_16", "bits15_photoshop"], indirect=True)
def test_bits(made: Path) -> None:
    truth = np.load(made / "truth.npy")
    frames, notes, _ = rescale_bracket([read_photograph(made / f"{n}.tif") for n in range(3)])
    assert len(notes) == 1
    for frame, stop in zip(frames, STOPS, strict=True):
        light = np.clip(truth * 2.0**stop, 0, 1)
        np.testing.assert_allclose(frame.pixels, light ** (1 / 2.2), atol=1e-3)


@maker("lzw_planar_16")
def test_planar_lzw(made: Path) -> None:
    pytest.importorskip("imagecodecs", reason="decodes LZW in planes")
    np.testing.assert_array_equal(read_photo(made / "planar_lzw.tif"), read_photo(made / "planar_none.tif"))


@maker("lzw_white_is_zero_16")
def test_white_is_zero(made: Path) -> None:
    plain = read_photo(made / "none_black_is_zero.tif")
    for name in ("lzw_white_is_zero", "lzw_black_is_zero", "none_white_is_zero"):
        np.testing.assert_array_equal(read_photo(made / f"{name}.tif"), plain)


@maker("other_formats")
def test_other_formats(made: Path) -> None:
    lossless = read_photo(made / "a.bmp")
    np.testing.assert_array_equal(read_photo(made / "a.jp2"), lossless)
    for name in ("a.webp", "a.avif"):
        assert np.abs(read_photo(made / name) - lossless).mean() < 0.03


@maker("thumbnail_first")
def test_thumbnail_first(made: Path) -> None:
    frames = [read_photograph(made / f"{n}.tif") for n in range(3)]
    assert [f.pixels.shape for f in frames] == [(96, 128, 3)] * 3
    dark = frames[2].pixels < 0.9
    light = [f.pixels[dark] ** 2.2 for f in frames]
    np.testing.assert_allclose(np.median(light[1] / light[0]), 4, rtol=0.01)
    np.testing.assert_allclose(np.median(light[2] / light[1]), 4, rtol=0.01)


@maker("orientation_180")
def test_orientation(made: Path) -> None:
    frames = [read_photograph(made / f"{n}.jpg") for n in range(3)]
    assert [f.orientation for f in frames] == [3, 1, 1]  # what the caller refuses or warns by
    assert [f.exposure.time for f in frames] == [1 / 400, 1 / 100, 1 / 25]


@maker("xmp_only")
def test_xmp(made: Path) -> None:
    found = [read_exif(made / f"{n}.tif") for n in range(3)]
    assert [(e.time, e.f_number) for e in found] == [(2**s / 400, 8) for s in STOPS]


@maker("alpha_hole")
def test_alpha_hole(made: Path) -> None:
    short, medium, long = (read_photograph(made / f"{n}.png") for n in range(3))
    assert short.valid is not None
    assert not short.valid[:, :30].any()
    assert short.valid[:, 30:].all()
    assert medium.valid is None
    assert long.valid is None


@maker("linear16")
def test_nothing_is_claimed_of_a_curve(made: Path) -> None:
    # The files do not say that they are linear; their ratios do, which the bracket's check sees.
    frames = [read_photograph(made / f"{n}.tif") for n in range(3)]
    assert [f.curve for f in frames] == [None] * 3
    np.testing.assert_allclose(frames[0].pixels, np.load(made / "truth.npy"), atol=1e-4)


@maker("exr_mixed")
def test_channels_of_several_types(made: Path) -> None:
    truth = np.load(made / "truth.npy")
    np.testing.assert_array_equal(read_radiance(made / "rgb32_a16.exr"), truth)
    np.testing.assert_allclose(read_radiance(made / "g16.exr"), truth, rtol=2**-10)
