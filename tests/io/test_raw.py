"""Camera RAW: DNG files of a sensor with known colours, and what LibRaw would do to them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile

from apnt.errors import InputError
from apnt.io import read_exif, read_photo
from apnt.io.exif import exif_exposures
from apnt.io.photo import read_photograph
from apnt.io.raw import _white_level, camera_to_srgb

rawpy = pytest.importorskip("rawpy", reason="reads camera RAW")

INSIDE = slice(6, -6)  # demosaicing has neighbours there


def light_in(path: Path) -> np.ndarray:
    return read_photograph(path).pixels


@pytest.fixture
def light() -> np.ndarray:
    """(96, 128, 3) linear sRGB, smooth enough that a mosaic tells all of it, from 0.02 to 0.55."""
    y, x = np.mgrid[0:96, 0:128] / np.array([95, 127])[:, None, None]
    return np.stack([0.02 + 0.5 * x, 0.05 + 0.45 * y, 0.06 + 0.4 * x * y], axis=-1)


@pytest.mark.parametrize("linear", [True, False], ids=["linear", "mosaic"])
@pytest.mark.parametrize("scale", [1.0, 0.25])
@pytest.mark.parametrize("neutral", [(0.5, 1.0, 0.65), (0.8, 1.0, 0.4), (1.0, 1.0, 1.0)])
def test_radiance(
    tmp_path: Path, camera: Any, light: np.ndarray, linear: bool, scale: float, neutral: tuple[float, ...]
) -> None:
    camera.neutral = neutral
    seen = camera.sees(light * scale)
    photo = read_photograph(camera.write(tmp_path / "a.dng", seen, linear=linear))
    assert (photo.format, photo.curve, photo.bits, photo.notes) == ("camera RAW", "linear", 16, ())
    ratio = (photo.pixels / (light * scale))[INSIDE, INSIDE]
    np.testing.assert_allclose(np.median(ratio, axis=(0, 1)), 1, atol=2e-3)
    # One step of the sensor is up to 0.6 % of the darkest light here.
    np.testing.assert_allclose(ratio, 1, atol=0.01 if scale == 1 else 0.04)
    np.testing.assert_allclose(photo.wb, np.array(neutral).max() / neutral, rtol=1e-4)


@pytest.mark.parametrize("linear", [True, False], ids=["linear", "mosaic"])
def test_frames_of_a_bracket_stay_on_one_scale(
    tmp_path: Path, camera: Any, light: np.ndarray, linear: bool
) -> None:
    # LibRaw's default would brighten each by its own histogram, and take white from its own maximum.
    frames = []
    for n, factor in enumerate((0.25, 1.0, 1.8)):
        seen = camera.sees(light * factor)
        frames.append(light_in(camera.write(tmp_path / f"{n}.dng", seen, linear=linear)))
    for frame, factor in zip(frames, (0.25, 1.0, 1.8), strict=True):
        np.testing.assert_allclose(
            np.median(frame[INSIDE, INSIDE] / light[INSIDE, INSIDE]), factor, rtol=3e-3
        )


@pytest.mark.parametrize("linear", [True, False], ids=["linear", "mosaic"])
def test_read_photo_encodes_it(tmp_path: Path, camera: Any, light: np.ndarray, linear: bool) -> None:
    path = camera.write(tmp_path / "a.dng", camera.sees(light), linear=linear)
    np.testing.assert_allclose(read_photo(path) ** 2.2, light_in(path), atol=1e-6)


@pytest.mark.parametrize("linear", [True, False], ids=["linear", "mosaic"])
def test_a_clipped_sensor_is_white(tmp_path: Path, camera: Any, linear: bool) -> None:
    light = np.full((64, 64, 3), 0.3)
    light[:, 32:] = 5.0
    photo = read_photograph(camera.write(tmp_path / "a.dng", camera.sees(light), linear=linear))
    np.testing.assert_array_equal(photo.pixels[:, 40:], 1)
    np.testing.assert_allclose(photo.pixels[INSIDE, 6:24], 0.3, atol=2e-3)


@pytest.mark.parametrize("linear", [True, False], ids=["linear", "mosaic"])
def test_a_clipped_channel_is_white_in_its_channel(tmp_path: Path, camera: Any, linear: bool) -> None:
    seen = np.empty((64, 64, 3), np.uint16)
    seen[:] = (3000, 15000, 6000)  # green clips
    photo = read_photograph(camera.write(tmp_path / "a.dng", seen, linear=linear))
    assert (photo.pixels[INSIDE, INSIDE, 1] == 1).all()
    assert (photo.pixels[INSIDE, INSIDE, 0] < 1).all()


@pytest.mark.parametrize("linear", [True, False], ids=["linear", "mosaic"])
def test_white_balance_of_the_reference(tmp_path: Path, camera: Any, light: np.ndarray, linear: bool) -> None:
    seen = camera.sees(light)
    first = read_photograph(camera.write(tmp_path / "0.dng", seen, linear=linear))
    # The same light, and another idea of white in the file.
    write, neutral = camera.write, camera.neutral
    camera.neutral = (0.7, 1.0, 0.5)
    path = write(tmp_path / "1.dng", seen, linear=linear)
    camera.neutral = neutral
    assert np.abs(light_in(path) - first.pixels).max() > 0.05
    np.testing.assert_allclose(read_photograph(path, wb=first.wb).pixels, first.pixels, atol=1e-3)
    assert first.wb is not None
    doubled = read_photograph(path, wb=[2 * g for g in first.wb])  # the scale of the multipliers says nothing
    np.testing.assert_allclose(doubled.pixels, first.pixels, atol=1e-3)


@pytest.mark.parametrize("wb", [(1, 2), (1, 0, 1), (1, -1, 1), (1, float("nan"), 1)])
def test_bad_white_balance(tmp_path: Path, camera: Any, light: np.ndarray, wb: tuple[float, ...]) -> None:
    path = camera.write(tmp_path / "a.dng", camera.sees(light), linear=False)
    with pytest.raises(InputError, match="wb must be three positive multipliers"):
        read_photograph(path, wb=wb)


@pytest.mark.parametrize("linear", [True, False], ids=["linear", "mosaic"])
@pytest.mark.parametrize("stops", [0.5, -1.5, 2.0])
def test_baseline_exposure_counts_in_the_exposure(
    tmp_path: Path, camera: Any, light: np.ndarray, linear: bool, stops: float
) -> None:
    time = (33434, "2I", 1, (1, 100), True)
    baseline = (50730, "2i", 1, (round(stops * 100), 100), True)
    seen = camera.sees(light)
    plain = camera.write(tmp_path / "0.dng", seen, linear=linear, tags=(time,))
    path = camera.write(tmp_path / "1.dng", seen, linear=linear, tags=(time, baseline))
    photo = read_photograph(path)
    np.testing.assert_array_equal(photo.pixels, light_in(plain))
    assert photo.exposure.baseline == stops
    assert photo.notes == (
        f"{path} states a BaselineExposure of {stops:+.2g} stops: counted in the exposure",
    )
    np.testing.assert_allclose(exif_exposures([plain, path]), [0.01, 0.01 / 2**stops])


@pytest.mark.parametrize("linear", [True, False], ids=["linear", "mosaic"])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_orientation(tmp_path: Path, camera: Any, light: np.ndarray, linear: bool, orientation: int) -> None:
    tag = (274, "H", 1, orientation, True)
    path = camera.write(tmp_path / "a.dng", camera.sees(light), linear=linear, tags=(tag,))
    photo = read_photograph(path)
    assert photo.orientation == orientation
    turned = np.rot90(light, {3: 2, 6: 3, 8: 1}[orientation])
    assert photo.pixels.shape == turned.shape
    np.testing.assert_allclose(photo.pixels[INSIDE, INSIDE], turned[INSIDE, INSIDE], atol=5e-3)


@pytest.mark.parametrize("linear", [True, False], ids=["linear", "mosaic"])
def test_colours_agree_with_libraw(tmp_path: Path, camera: Any, light: np.ndarray, linear: bool) -> None:
    path = camera.write(tmp_path / "a.dng", camera.sees(light), linear=linear)
    with rawpy.imread(str(path)) as raw:
        theirs = raw.postprocess(
            use_camera_wb=True, output_bps=16, gamma=(1, 1), no_auto_bright=True, adjust_maximum_thr=0.0
        )
    # LibRaw leaves the black in the white of linear DNG files: 3.4 % too dark here.
    factor = (camera.white - camera.black) / camera.white if linear else 1
    np.testing.assert_allclose(theirs / 65535, light_in(path) * factor, atol=2e-3)


def test_a_matrix_from_xyz() -> None:
    # sRGB's own sensor: its matrix is that of XYZ to sRGB, scaled as cameras' matrices are.
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = np.vstack([np.linalg.inv(to_xyz) * 0.7, np.zeros(3)])
    raw = SimpleNamespace(rgb_xyz_matrix=xyz, color_matrix=np.zeros((3, 4)))
    np.testing.assert_allclose(camera_to_srgb(raw), np.eye(3), atol=1e-3)
    with pytest.raises(InputError, match="camera RAW without known colours"):
        camera_to_srgb(SimpleNamespace(rgb_xyz_matrix=np.zeros((4, 3)), color_matrix=np.zeros((3, 4))))


@pytest.mark.parametrize(
    ("own", "white"),
    [(None, 16383), ([0, 0, 0, 0], 16383), ([15000, 15100, 15000, 15100], 15000), ([3, 3, 3, 3], 16383)],
)
def test_white_level(own: list[int] | None, white: int) -> None:
    assert _white_level(SimpleNamespace(white_level=16383, camera_white_level_per_channel=own)) == white


def test_a_float_dng_is_refused(tmp_path: Path, camera: Any, light: np.ndarray) -> None:
    for linear in (True, False):
        path = camera.write(tmp_path / "a.dng", light.astype(np.float32), linear=linear)
        with pytest.raises(InputError, match="is a float DNG, as merging exposures makes it"):
            read_photo(path)


@pytest.mark.parametrize("linear", [True, False], ids=["linear", "mosaic"])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_truncated(
    tmp_path: Path,
    camera: Any,
    light: np.ndarray,
    linear: bool,
    kept: float,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = camera.write(tmp_path / "a.dng", camera.sees(light), linear=linear)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(InputError, match=r"a\.dng is truncated or no photograph"):
        read_photo(path)
    assert capfd.readouterr().err == ""


def test_exposure_of_a_dng(tmp_path: Path, camera: Any, light: np.ndarray) -> None:
    tags = ((33434, "2I", 1, (1, 400), True), (33437, "2I", 1, (8, 1), True), (34855, "H", 1, 200, True))
    path = camera.write(tmp_path / "a.dng", camera.sees(light), linear=False, tags=tags)
    exposure = read_exif(path)
    assert (exposure.time, exposure.iso, exposure.f_number) == (1 / 400, 200, 8)


def test_a_dng_with_a_thumbnail_first(tmp_path: Path, camera: Any, light: np.ndarray) -> None:
    # As cameras write it: the mosaic is a sub-image of the thumbnail.
    plain = camera.write(tmp_path / "0.dng", camera.sees(light), linear=False)
    with tifffile.TiffFile(plain) as tiff:
        page = tiff.pages.first
        mosaic, own = page.asarray(), {50714, 50717, 33421, 33422}
        tags = [(t.code, t.dtype, t.count, t.value, True) for t in page.tags if t.code > 33000]
    path = tmp_path / "1.dng"
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            np.zeros((24, 32, 3), np.uint8), photometric="rgb", subfiletype=1, subifds=1, metadata=None,
            extratags=[tag for tag in tags if tag[0] not in own],
        )  # fmt: skip
        writer.write(
            mosaic,
            photometric=32803,
            subfiletype=0,
            metadata=None,
            extratags=[t for t in tags if t[0] in own],
        )
    np.testing.assert_array_equal(light_in(path), light_in(plain))
