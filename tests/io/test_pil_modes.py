"""Pillow images of every mode: converted as their mode says, or refused by its name."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from apnt.errors import InputError
from apnt.io import read_photo
from apnt.io.photo import from_pillow


@pytest.fixture
def image(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(np.round((0.1 + 0.8 * picture) * 255).astype(np.uint8))


@pytest.fixture
def pale(picture: np.ndarray) -> Image.Image:
    """Eight bits of a and b are coarse for strong colours."""
    grey = picture.mean(axis=-1, keepdims=True)
    return Image.fromarray(np.round((0.2 + 0.6 * (0.75 * grey + 0.25 * picture)) * 255).astype(np.uint8))


def unit(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB")) / np.float32(255)


@pytest.mark.parametrize(
    ("mode", "tolerance"),
    [("RGB", 0), ("L", 0), ("1", 0), ("P", 0), ("RGBX", 0), ("RGBA", 0), ("LA", 0), ("YCbCr", 3), ("HSV", 8)],
)
def test_converted(image: Image.Image, mode: str, tolerance: int) -> None:
    pixels = from_pillow(image.convert(mode), "image").pixels
    expected = image if mode in ("YCbCr", "HSV") else image.convert(mode)  # the second loses by its nature
    np.testing.assert_allclose(pixels, unit(expected), atol=tolerance / 255 + 1e-7)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
def test_sixteen_bits_of_grey(picture: np.ndarray, mode: str) -> None:
    grey = np.round(picture[..., 0] * 65535).astype(">u2" if mode == "I;16B" else "<u2")
    photo = from_pillow(Image.frombytes(mode, (84, 60), grey.tobytes()), "image")
    assert photo.bits == 16
    np.testing.assert_array_equal(photo.pixels, np.repeat(grey[..., None], 3, -1) / np.float32(65535))


def test_lab_is_cielab_with_d50_white(pale: Image.Image) -> None:
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = ImageCms.applyTransform(pale, to_lab)
    assert lab is not None
    # OpenCV's conversion is another program's: L in [0, 100], D65 white, so grey is a = b = 0 there too.
    photo = from_pillow(lab, "image")
    np.testing.assert_allclose(photo.pixels, unit(pale), atol=4 / 255)
    lightness = cv2.cvtColor(photo.pixels, cv2.COLOR_RGB2Lab)[..., 0]
    np.testing.assert_allclose(lightness, np.asarray(lab)[..., 0] / 2.55, atol=2.5)
    assert photo.notes == ("image is CIELAB: converted to sRGB",)


def test_lab_tiff(tmp_path: Path, pale: Image.Image) -> None:
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = ImageCms.applyTransform(pale, to_lab)
    assert lab is not None
    lab.save(tmp_path / "a.tif")
    np.testing.assert_allclose(read_photo(tmp_path / "a.tif"), unit(pale), atol=4 / 255)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_without_a_profile_is_refused(tmp_path: Path, image: Image.Image, suffix: str) -> None:
    image.convert("CMYK").save(tmp_path / f"a{suffix}")
    with pytest.raises(InputError, match="its colour mode is CMYK without a colour profile"):
        read_photo(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("mode", ["I", "F"])
def test_refused(image: Image.Image, mode: str) -> None:
    with pytest.raises(InputError, match=f"frame 2 must be RGB or grey .* its colour mode is {mode}:"):
        from_pillow(image.convert(mode), "frame 2")


@pytest.mark.parametrize("mode", ["RGB", "L", "YCbCr"])
def test_as_read_from_a_file(tmp_path: Path, image: Image.Image, mode: str) -> None:
    image.convert(mode).save(tmp_path / "a.tif")
    reopened = Image.open(io.BytesIO((tmp_path / "a.tif").read_bytes()))
    np.testing.assert_array_equal(from_pillow(reopened, "image").pixels, read_photo(tmp_path / "a.tif"))
