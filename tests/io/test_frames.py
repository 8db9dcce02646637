"""Three frames of one scene: order, sizes, exposures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from apnt.errors import InputError
from apnt.io import read_frames, read_photo

EXIF_IFD, EXPOSURE_TIME, ORIENTATION = 0x8769, 0x829A, 274
LEVELS = {25: 200, 100: 120, 400: 40}  # one over the exposure time: grey level


def photographs(folder: Path, order: tuple[int, ...] = (100, 25, 400)) -> list[Path]:
    paths = []
    for denominator in order:
        exif = Image.Exif()
        exif.get_ifd(EXIF_IFD)[EXPOSURE_TIME] = IFDRational(1, denominator)
        paths.append(folder / f"{denominator}.png")
        Image.new("RGB", (24, 20), (LEVELS[denominator],) * 3).save(paths[-1], exif=exif.tobytes())
    return paths


def grey(*levels: int, shape: tuple[int, ...] = (20, 24, 3)) -> list[np.ndarray]:
    return [np.full(shape, level, np.uint8) for level in levels]


@pytest.mark.parametrize("order", [(25, 100, 400), (400, 100, 25), (100, 400, 25)])
def test_exif_sorts_short_to_long(tmp_path: Path, order: tuple[int, ...]) -> None:
    frames = read_frames(photographs(tmp_path, order))
    np.testing.assert_allclose(frames.times, [1, 4, 16])
    np.testing.assert_allclose(frames.ldr[:, 0, 0, 0] * 255, [40, 120, 200], atol=1e-4)
    assert [order[n] for n in frames.order] == [400, 100, 25]
    assert frames.ldr.dtype == np.float32
    assert frames.ldr.shape == (3, 20, 24, 3)


def test_times_and_stops_override_exif(tmp_path: Path) -> None:
    paths = photographs(tmp_path)
    np.testing.assert_allclose(read_frames(paths, times=[2, 8, 1]).times, [1, 2, 8])
    np.testing.assert_allclose(read_frames(paths, stops=[1, 3, 0]).times, [1, 2, 8])
    assert read_frames(paths, stops=[0, 1, 2]).order == (0, 1, 2)


def test_arrays_and_paths_mix(tmp_path: Path) -> None:
    path = photographs(tmp_path)[0]
    frames = read_frames([str(path), *grey(10, 20)], stops=[0, 1, 2])
    np.testing.assert_array_equal(frames.ldr[0], read_photo(path))


def test_one_array_of_three_frames() -> None:
    frames = read_frames(np.stack(grey(1, 2, 3)), stops=[4, 2, 0])
    np.testing.assert_allclose(frames.ldr[:, 0, 0, 0] * 255, [3, 2, 1], atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 16])
def test_count(count: int) -> None:
    with pytest.raises(InputError, match=f"images must be 2 to 15 photographs .* got {count}"):
        read_frames(grey(*range(count)), stops=[0, 2, 4])


def test_one_exposure_for_each() -> None:
    with pytest.raises(InputError, match="stops must be one number an image, 2, got 3"):
        read_frames(grey(1, 2), stops=[0, 2, 4])


@pytest.mark.parametrize("count", [2, 5, 15])
def test_any_number_of_frames(count: int) -> None:
    bracket = read_frames(grey(*range(10, 10 + count)), stops=range(count)[::-1])
    assert len(bracket) == count
    assert bracket.order == tuple(range(count))[::-1]
    np.testing.assert_allclose(bracket.times, 2.0 ** np.arange(count))
    np.testing.assert_allclose(bracket.ldr[:, 0, 0, 0] * 255, np.arange(10, 10 + count)[::-1], atol=1e-4)


def test_one_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.jpg does not exist: check the path"):
        read_frames(tmp_path / "nowhere.jpg")
    path = photographs(tmp_path)[0]
    with pytest.raises(InputError, match=f"got one path: {path}"):
        read_frames(path)


def test_sizes() -> None:
    images = [*grey(1, 2), *grey(3, shape=(24, 20, 3))]
    with pytest.raises(
        InputError,
        match=r"same size after EXIF rotation: got images\[0\], images\[1\] of 24 x 20, "
        r"images\[2\] of 20 x 24 pixels$",
    ):
        read_frames(images, stops=[0, 2, 4])


def test_two_brackets_are_told_by_their_sizes_and_where_to_take_them() -> None:
    images = [*grey(1, 2, 3, 4), *grey(1, 2, shape=(24, 20, 3))]
    with pytest.raises(
        InputError,
        match=r"got images\[0\] and 3 more of 24 x 20, images\[4\], images\[5\] of 20 x 24 pixels; "
        "apnt batch finds the brackets of a folder$",
    ):
        read_frames(images, stops=[0, 1, 2, 3, 4, 5])


def test_orientation_comes_before_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.new("RGB", (20, 24)).save(tmp_path / "a.png", exif=exif)
    frames = read_frames([tmp_path / "a.png", *grey(1, 2)], stops=[0, 2, 4])
    assert frames.ldr.shape == (3, 20, 24, 3)


def test_too_small() -> None:
    assert read_frames(grey(1, 2, 3, shape=(16, 16)), stops=[0, 2, 4]).ldr.shape == (3, 16, 16, 3)
    with pytest.raises(InputError, match=r"at least 16 pixels a side: got images\[0\], .* 40 x 15 pixels$"):
        read_frames(grey(1, 2, 3, shape=(15, 40, 3)), stops=[0, 2, 4])


def test_no_exif_and_no_times(tmp_path: Path) -> None:
    paths = photographs(tmp_path)
    Image.new("RGB", (24, 20)).save(paths[1])
    with pytest.raises(InputError, match=r"missing in \S*25\.png: give .*--times.*--stops"):
        read_frames(paths)


def test_arrays_without_times() -> None:
    with pytest.raises(InputError, match="times or stops must be given for arrays"):
        read_frames(grey(1, 2, 3))


def test_equal_exif(tmp_path: Path) -> None:
    path = photographs(tmp_path)[0]
    again = tmp_path / "again.png"
    again.write_bytes(path.read_bytes())
    with pytest.raises(
        InputError,
        match=r"EXIF exposures cannot be used, because .*100.png and .*again.png were exposed alike "
        r"\(1/100 s\): .* give .*--times",
    ):
        read_frames([path, again, tmp_path / "25.png"])


def test_a_bad_file_is_told_before_missing_exif(tmp_path: Path) -> None:
    paths = photographs(tmp_path)
    paths[2].write_text("no picture")
    with pytest.raises(InputError, match=r"400\.png is no image"):
        read_frames(paths)
