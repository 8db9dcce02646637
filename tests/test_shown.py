"""What ``apnt.fuse`` returns: a picture in a notebook, an array everywhere else."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import apnt
from apnt.shown import FusedImage


@pytest.fixture
def radiance() -> np.ndarray:
    return np.random.default_rng(0).random((40, 60, 3), np.float32) * 0.1


def png(image: FusedImage) -> np.ndarray:
    data = image._repr_png_()
    assert data is not None
    return np.asarray(Image.open(io.BytesIO(data)))


def test_it_shows_the_rendering(radiance: np.ndarray) -> None:
    shown = png(FusedImage.of(radiance, display=False))
    np.testing.assert_array_equal(shown, np.rint(255 * apnt.render(radiance)))


def test_a_picture_for_a_display_is_shown_as_it_is(radiance: np.ndarray) -> None:
    image = FusedImage.of(radiance, display=True)
    np.testing.assert_array_equal(png(image), np.rint(255 * radiance))
    np.testing.assert_array_equal(png(image[10:20, 10:30]), np.rint(255 * radiance[10:20, 10:30]))


def test_large_ones_are_shown_smaller() -> None:
    image = FusedImage.of(np.full((20, 3000, 3), 0.2, np.float32), display=False)
    assert png(image).shape == (7, 1024, 3)


def test_it_is_an_array(radiance: np.ndarray, tmp_path: Path) -> None:
    image = FusedImage.of(radiance, display=False)
    assert isinstance(image, np.ndarray)
    assert np.shares_memory(image, radiance)
    for plain in (image * 2, image > 0.05, image.mean(), np.clip(image, 0, 1), image.sum(axis=-1)):
        assert type(plain) is not FusedImage
    assert type(image.mean()) is np.float32
    np.testing.assert_array_equal(torch.from_numpy(image).numpy(), radiance)
    assert cv2.resize(image, (30, 20)).shape == (20, 30, 3)
    np.save(tmp_path / "a.npy", image)
    assert type(np.load(tmp_path / "a.npy")) is np.ndarray
    again = pickle.loads(pickle.dumps(image))
    assert type(again) is np.ndarray
    np.testing.assert_array_equal(again, radiance)


def test_what_is_no_picture_is_not_shown(radiance: np.ndarray) -> None:
    image = FusedImage.of(radiance, display=False)
    for other in (image[..., 0], image[0, 0], image[:0], image.astype(np.float64), image.transpose(2, 0, 1)):
        assert isinstance(other, FusedImage)
        assert other._repr_png_() is None
    image[0, 0, 0] = np.nan
    assert image._repr_png_() is None
    image[0, 0, 0] = -1
    assert image._repr_png_() is None


@pytest.mark.parametrize(("method", "display"), [("weighted", False), ("mertens", True)])
def test_fuse_returns_it(method: str, display: bool) -> None:
    light = np.random.default_rng(0).random((64, 80, 3)) * 0.06
    frames = [np.round(255 * np.clip(light * 2.0**s, 0, 1) ** (1 / 2.2)).astype(np.uint8) for s in (0, 2, 4)]
    result = apnt.fuse(frames, stops=(0, 2, 4), method=method)
    assert isinstance(result, FusedImage)
    expected = np.asarray(result) if display else apnt.render(np.asarray(result))
    np.testing.assert_array_equal(png(result), np.rint(255 * expected))
