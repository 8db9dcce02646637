"""Alpha: what has no data, and colours that were multiplied by it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from apnt.errors import InputError
from apnt.io import read_photo
from apnt.io.photo import from_array, from_pillow, read_photograph


@pytest.fixture
def alpha(picture: np.ndarray) -> np.ndarray:
    """(H, W) in [0, 1]: a hole at the left, a soft border beside it."""
    x = np.arange(picture.shape[1])
    return np.broadcast_to(np.clip((x - 10) / 20, 0, 1), picture.shape[:2])


def write(path: Path, picture: np.ndarray, alpha: np.ndarray, bits: int, premultiplied: bool) -> Path:
    white = 2**bits - 1
    colour = picture * alpha[..., None] if premultiplied else picture
    stored = np.round(np.dstack([colour, alpha]) * white).astype(np.uint16 if bits > 8 else np.uint8)
    if path.suffix == ".png":
        path.write_bytes(cv2.imencode(".png", stored[..., [2, 1, 0, 3]])[1].tobytes())
    elif path.suffix == ".tif":
        kind = "assocalpha" if premultiplied else "unassalpha"
        tifffile.imwrite(path, stored, photometric="rgb", extrasamples=[kind])
    else:
        Image.fromarray(stored).save(path, lossless=True, exact=True)
    return path


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_holes(tmp_path: Path, picture: np.ndarray, alpha: np.ndarray, suffix: str, bits: int) -> None:
    if (suffix, bits) == (".webp", 16):
        pytest.skip("WebP has 8 bits")
    photo = read_photograph(write(tmp_path / f"a{suffix}", picture, alpha, bits, False))
    np.testing.assert_array_equal(photo.valid, alpha >= 0.5)
    assert photo.valid is not None
    np.testing.assert_allclose(photo.pixels[photo.valid], picture[photo.valid], atol=0.51 / (2**bits - 1))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_premultiplied(
    tmp_path: Path, picture: np.ndarray, alpha: np.ndarray, bits: int, compression: str | None
) -> None:
    path = write(tmp_path / "a.tif", picture, alpha, bits, True)
    if compression:
        stored = tifffile.imread(path)
        tifffile.imwrite(
            path, stored, photometric="rgb", extrasamples=["assocalpha"], compression=compression
        )
    photo = read_photograph(path)
    assert photo.valid is not None
    # Rounding of colour and of alpha, both divided by an alpha of one half or more.
    np.testing.assert_allclose(photo.pixels[photo.valid], picture[photo.valid], atol=2.1 / (2**bits - 1))
    np.testing.assert_array_equal(photo.valid, alpha >= 0.5)


def test_orientation_turns_alpha_too(tmp_path: Path, picture: np.ndarray, alpha: np.ndarray) -> None:
    exif = Image.Exif()
    exif[274] = 6
    stored = np.round(np.dstack([picture, alpha]) * 255).astype(np.uint8)
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    photo = read_photograph(tmp_path / "a.png")
    assert photo.orientation == 6
    np.testing.assert_array_equal(photo.valid, np.rot90(alpha >= 0.5, 3))
    np.testing.assert_array_equal(photo.pixels, np.rot90(stored[..., :3] / np.float32(255), 3))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_opaque_alpha_is_no_alpha(tmp_path: Path, picture: np.ndarray, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", picture, np.ones(picture.shape[:2]), 8, False)
    assert read_photograph(path).valid is None


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_transparent_everywhere_is_refused(tmp_path: Path, picture: np.ndarray, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", picture, np.zeros(picture.shape[:2]), 8, False)
    with pytest.raises(InputError, match="is transparent everywhere: save it without its alpha channel"):
        read_photo(path)


def test_transparent_colour_of_a_palette(tmp_path: Path) -> None:
    image = Image.new("P", (30, 20), 1)
    image.putpalette([0, 0, 0, 90, 120, 150])
    image.paste(0, (0, 0, 10, 20))
    image.save(tmp_path / "a.png", transparency=0)
    photo = read_photograph(tmp_path / "a.png")
    assert photo.valid is not None
    assert not photo.valid[:, :10].any()
    assert photo.valid[:, 10:].all()
    np.testing.assert_allclose(photo.pixels[0, 20] * 255, [90, 120, 150], atol=1e-4)


@pytest.mark.parametrize("mode", ["RGBa", "La"])
def test_premultiplied_pillow_modes(picture: np.ndarray, alpha: np.ndarray, mode: str) -> None:
    straight = np.round(np.dstack([picture, alpha]) * 255).astype(np.uint8)
    image = Image.fromarray(straight)
    image = image.convert("LA") if mode == "La" else image
    photo = from_pillow(image.convert(mode), "image")
    expected = np.asarray(image)[..., :-1] / np.float32(255)
    assert photo.valid is not None
    np.testing.assert_allclose(
        photo.pixels[photo.valid], np.broadcast_to(expected, photo.pixels.shape)[photo.valid], atol=2.1 / 255
    )


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("brightness", [1.0, 0.9])
def test_colours_that_are_not_premultiplied_whatever_the_tag(
    tmp_path: Path, picture: np.ndarray, alpha: np.ndarray, bits: int, brightness: float
) -> None:
    white = 2**bits - 1
    stored = np.round(np.dstack([picture * brightness, alpha]) * white)
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored.astype(np.uint16 if bits > 8 else np.uint8),
        photometric="rgb",
        extrasamples=["assocalpha"],
    )
    photo = read_photograph(tmp_path / "a.tif")
    np.testing.assert_allclose(photo.pixels, picture * brightness, atol=0.51 / white)
    np.testing.assert_array_equal(photo.valid, alpha >= 0.5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [2, 4])
def test_arrays(picture: np.ndarray, alpha: np.ndarray, dtype: type, channels: int) -> None:
    white = 1 if dtype is np.float32 else np.iinfo(dtype).max
    array = np.dstack([picture[..., : channels - 1], alpha]) * white
    array = (array if white == 1 else np.round(array)).astype(dtype)
    photo = from_array(array, "images[1]")
    np.testing.assert_array_equal(photo.valid, alpha >= 0.5)
    np.testing.assert_allclose(photo.pixels[..., 0], picture[..., 0], atol=0.51 / 255)
    assert (photo.samples is not None) == (dtype is not np.float32)
    assert from_array(array[..., :-1], "images[1]").valid is None
