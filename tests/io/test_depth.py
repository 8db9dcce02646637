"""Samples with fewer bits than their container, over brackets that the tests make."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import ImageCms

from apnt.io import read_photo
from apnt.io.depth import effective_bits, rescale_bracket
from apnt.io.photo import read_photograph
from apnt.io.photograph import Photograph


def exposures(picture: np.ndarray, factors: tuple[float, ...] = (0.2, 0.8, 3.0)) -> list[np.ndarray]:
    return [np.clip(picture * f, 0, 1) for f in factors]


def write(
    folder: Path, frames: list[np.ndarray], white: int, shift: int = 0, **options: object
) -> list[Photograph]:
    photographs = []
    for n, frame in enumerate(frames):
        path = folder / f"{n}.tif"
        stored = np.round(frame * white).astype(np.uint16) << shift
        tifffile.imwrite(path, stored, photometric="rgb", **options)  # type: ignore[arg-type]
        photographs.append(read_photograph(path))
    return photographs


@pytest.mark.parametrize(
    ("white", "bits"),
    [(255, 8), (511, 9), (1023, 10), (4095, 12), (16383, 14), (32767, 15), (32768, 15)],
)
def test_right_justified(tmp_path: Path, picture: np.ndarray, white: int, bits: int) -> None:
    frames = exposures(picture)
    photographs = write(tmp_path, frames, white)
    scaled, (note,), _ = rescale_bracket(photographs)
    names = ", ".join(str(tmp_path / f"{n}.tif") for n in range(3))
    assert note == f"{names} hold {bits}-bit samples in 16 bits: scaled by {white}"
    for photo, frame in zip(scaled, frames, strict=True):
        assert photo.bits == bits
        np.testing.assert_allclose(photo.pixels, frame, atol=0.51 / white)
    assert scaled[2].pixels.max() == 1.0  # what clips is exactly white
    assert photographs[0].pixels.max() < 0.6 * white / 32768  # the input is not touched
    assert rescale_bracket(scaled)[1:] == ([], [])


@pytest.mark.parametrize("white", [15300, 32766, 60000])
def test_where_two_exposures_clip_is_white(tmp_path: Path, picture: np.ndarray, white: int) -> None:
    # Sensors saturate below the range of their converters.
    frames = exposures(picture, (0.2, 3.0, 9.0))
    scaled, (note,), _ = rescale_bracket(write(tmp_path, frames, white))
    assert note.endswith(f" clip at {white} of 65535: scaled by it")
    for photo, frame in zip(scaled, frames, strict=True):
        np.testing.assert_allclose(photo.pixels, frame, atol=0.51 / white)
    assert scaled[2].pixels.max() == 1.0


def test_what_one_exposure_ends_at_is_not_white(tmp_path: Path, picture: np.ndarray) -> None:
    photographs = write(tmp_path, exposures(picture, (0.01, 0.05, 3.0)), 15300)
    scaled, *_ = rescale_bracket(photographs)
    assert scaled[2].pixels.max() == pytest.approx(15300 / 65535)


@pytest.mark.parametrize("value", [0, 3, 100])
def test_frames_that_are_dark_alike_have_no_white(tmp_path: Path, picture: np.ndarray, value: int) -> None:
    scaled, *_ = rescale_bracket(write(tmp_path, [np.ones_like(picture)] * 2, value))
    assert scaled[0].pixels.max() == pytest.approx(value / 65535)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_left_justified(tmp_path: Path, picture: np.ndarray, bits: int) -> None:
    scaled, notes, _ = rescale_bracket(write(tmp_path, exposures(picture), 2**bits - 1, 16 - bits))
    assert notes == []
    assert [p.bits for p in scaled] == [bits] * 3
    assert scaled[2].pixels.max() == 1.0
    np.testing.assert_allclose(scaled[1].pixels, exposures(picture)[1], atol=0.51 / (2**bits - 1))


@pytest.mark.parametrize("frames", [(0.2, 0.8, 3.0), (1.0,), (0.3, 2.0)])
def test_full_containers_stay(tmp_path: Path, picture: np.ndarray, frames: tuple[float, ...]) -> None:
    photographs = write(tmp_path, exposures(picture, frames), 65535)
    scaled, notes, _ = rescale_bracket(photographs)
    assert notes == []
    for before, after in zip(photographs, scaled, strict=True):
        assert after is before


@pytest.mark.parametrize(("white", "stops"), [(4095, 8.8), (1023, 13.2), (16383, 4.4)])
def test_a_dark_bracket_is_doubtful(tmp_path: Path, picture: np.ndarray, white: int, stops: float) -> None:
    photographs = write(tmp_path, exposures(picture, (0.2, 0.7)), white)
    scaled, notes, (note,) = rescale_bracket(photographs)
    assert notes == []
    assert "the brightest sample is" in note
    assert f"their light is read {stops} stops too dark" in note
    np.testing.assert_array_equal(scaled[1].pixels, photographs[1].pixels)


def write_bytes(folder: Path, frames: list[np.ndarray], white: int) -> list[Photograph]:
    photographs = []
    for n, frame in enumerate(frames):
        path = folder / f"{n}.png"
        path.write_bytes(
            cv2.imencode(".png", np.round(frame[..., ::-1] * white).astype(np.uint8))[1].tobytes()
        )
        photographs.append(read_photograph(path))
    return photographs


@pytest.mark.parametrize("white", [235, 248])
def test_eight_bits_may_be_white_below_their_largest(tmp_path: Path, picture: np.ndarray, white: int) -> None:
    # As frames of video are.
    frames = exposures(picture, (0.2, 3.0, 9.0))
    photographs = write_bytes(tmp_path, frames, white)
    scaled, (note,), doubts = rescale_bracket(photographs)
    assert doubts == []
    assert note.endswith(f" clip at {white} of 255: scaled by it")
    for photo, frame in zip(scaled, frames, strict=True):
        np.testing.assert_allclose(photo.pixels, frame, atol=0.51 / white)
        assert photo.white == white
    assert scaled[2].pixels.max() == 1.0
    assert photographs[2].pixels.max() < 0.98  # the input is not touched
    assert rescale_bracket(scaled)[1:] == ([], [])


@pytest.mark.parametrize(
    ("white", "factors"),
    [
        (255, (0.2, 3.0, 9.0)),  # white already
        (235, (0.2, 0.8, 9.0)),  # one exposure ends there, which may be an object
        (120, (0.2, 3.0, 9.0)),  # so little is no white
        (235, (0.2, 0.9, 0.9)),  # they end alike, without an area of it
    ],
)
def test_eight_bits_stay_where_nothing_proves_their_white(
    tmp_path: Path, picture: np.ndarray, white: int, factors: tuple[float, ...]
) -> None:
    photographs = write_bytes(tmp_path, exposures(picture, factors), white)
    scaled, notes, _ = rescale_bracket(photographs)
    assert notes == []
    for before, after in zip(photographs, scaled, strict=True):
        assert after is before


def test_each_container_has_a_white_of_its_own(tmp_path: Path, picture: np.ndarray) -> None:
    (deep,) = write(tmp_path, [exposures(picture)[2]], 4095)
    (shallow,) = write_bytes(tmp_path, [picture * 0.06], 255)
    scaled, *_ = rescale_bracket([shallow, deep])
    assert scaled[0] is shallow
    assert scaled[1].pixels.max() == 1.0


@pytest.mark.parametrize("kind", ["bytes", "deep"])
def test_one_file_is_read_with_the_white_of_its_bracket(
    tmp_path: Path, picture: np.ndarray, kind: str
) -> None:
    frames = exposures(picture, (0.2, 3.0, 9.0))
    photographs = write_bytes(tmp_path, frames, 235) if kind == "bytes" else write(tmp_path, frames, 60000)
    scaled, *_ = rescale_bracket(photographs)
    np.testing.assert_array_equal(read_photo(scaled[0].name, scaled[0].white), scaled[0].pixels)
    assert read_photo(scaled[0].name).max() == photographs[0].pixels.max()  # alone it cannot tell


def test_one_file_alone(tmp_path: Path, picture: np.ndarray) -> None:
    write(tmp_path, exposures(picture), 4095)
    np.testing.assert_allclose(read_photo(tmp_path / "2.tif"), exposures(picture)[2], atol=0.51 / 4095)
    png = tmp_path / "a.png"
    stored = np.round(exposures(picture)[2] * 1023).astype(np.uint16)
    png.write_bytes(cv2.imencode(".png", stored[..., ::-1])[1].tobytes())
    np.testing.assert_allclose(read_photo(png), exposures(picture)[2], atol=0.51 / 1023)


def test_scaling_comes_before_the_colour_profile(tmp_path: Path, picture: np.ndarray) -> None:
    # Desaturated, so that both spaces hold it.
    frames = exposures(0.5 + 0.4 * (picture - 0.5))
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = bytearray(icc)  # red and green change places: a wide change that keeps the gamut
    red, green = swapped.index(b"rXYZ"), swapped.index(b"gXYZ")
    swapped[red : red + 4], swapped[green : green + 4] = b"gXYZ", b"rXYZ"
    options = {"extratags": [(34675, "B", len(swapped), bytes(swapped), True)]}
    for name, white in (("full", 65535), ("twelve", 4095)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, frames, white, **options)
    full = [read_photograph(tmp_path / "full" / f"{n}.tif") for n in range(3)]
    twelve, *_ = rescale_bracket([read_photograph(tmp_path / "twelve" / f"{n}.tif") for n in range(3)])
    for a, b in zip(full, twelve, strict=True):
        # Rounding to 12 bits, and one of their steps for the way back from sRGB and forth again.
        np.testing.assert_allclose(a.pixels, b.pixels, atol=2 / 4095)


@pytest.mark.parametrize(
    ("arrays", "bits"),
    [
        ([np.full((4, 4), 4095, np.uint16)], 12),
        ([np.full((4, 4), 300, np.uint16), np.full((4, 4), 1023, np.uint16)], 10),
        ([np.full((4, 4), 1000, np.uint16)], None),
        ([np.array([[4095, 5]], np.uint16)], None),  # one sample is no clipped area
        ([np.full((4, 4), 4095, np.uint16), np.array([[65535]], np.uint16)], None),
        ([np.zeros((4, 4), np.uint16)], None),
        ([np.zeros((0, 4), np.uint16)], None),
        ([], None),
    ],
)
def test_effective_bits(arrays: list[np.ndarray], bits: int | None) -> None:
    assert effective_bits(arrays) == bits
