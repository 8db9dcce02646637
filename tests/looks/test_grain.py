"""Noise goes, edges and brightness stay, and strips leave no trace."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from apnt.looks.colour import luminance
from apnt.looks.grain import without_grain


@pytest.fixture(scope="module")
def noisy() -> tuple[np.ndarray, np.ndarray]:
    """Light with an edge and a thin line, and the same with noise as of photons: about a tenth of it."""
    rng = np.random.default_rng(6)
    light = np.full((200, 260, 3), [0.02, 0.005, 0.04], np.float32)
    light[:, 130:] *= 6
    light[100:103] *= 3
    noise = rng.normal(0, 0.015, light.shape) * np.sqrt(light)
    return light, np.maximum(light + noise, 0).astype(np.float32)


def test_noise_goes_and_edges_stay(noisy: tuple[np.ndarray, np.ndarray]) -> None:
    light, image = noisy
    clean = without_grain(image)
    flat = np.s_[10:90, 10:120]
    before, after = (
        np.std(x[flat] / luminance(x[flat])[..., None], axis=(0, 1)) for x in (image, clean)
    )  # of colour
    assert (after < 0.5 * before).all()
    assert np.std(luminance(clean)[flat]) < 0.75 * np.std(luminance(image)[flat])
    np.testing.assert_allclose(clean[flat].mean(axis=(0, 1)), light[flat].mean(axis=(0, 1)), rtol=0.03)
    assert clean[20:80, 132:].mean() / clean[20:80, 120:128].mean() > 5.5  # of 6
    assert clean[101, 10:120, 0].mean() / clean[90, 10:120, 0].mean() > 2.6  # of 3


def test_the_share_says_how_much(noisy: tuple[np.ndarray, np.ndarray]) -> None:
    image = noisy[1]
    np.testing.assert_allclose(without_grain(image, 0.0), image, rtol=1e-5)
    half, whole = (np.abs(without_grain(image, share) - image).mean() for share in (0.5, 1.0))
    assert 0.3 * whole < half < 0.7 * whole


def test_grain_comes_out_even() -> None:
    """As where the network takes a part of the light from a frame with three times the noise."""
    rng = np.random.default_rng(8)
    noise = rng.normal(0, 0.03, (200, 200, 3))
    noise[60:140, 60:140] *= 3
    image = (0.02 * np.exp(noise)).astype(np.float32)
    clean = without_grain(image)
    rough = [np.std(np.log(luminance(x)[80:120, 80:120])) for x in (image, clean)]
    elsewhere = [np.std(np.log(luminance(x)[:40])) for x in (image, clean)]
    assert rough[0] > 2.7 * elsewhere[0]
    assert rough[1] < 2 * elsewhere[1]


def test_coarse_noise_goes_as_fine_noise_does() -> None:
    """What stays of it would be seen as blotches; what is finest stays as grain."""
    rng = np.random.default_rng(9)
    image = (0.02 * np.exp(rng.normal(0, 0.1, (256, 256, 3)))).astype(np.float32)
    clean = without_grain(image)
    coarse, fine = [], []
    for x in (image, clean):
        blurred = cv2.GaussianBlur(x, (0, 0), 2.0)
        coarse.append(np.std(blurred - cv2.GaussianBlur(x, (0, 0), 4.0)))
        fine.append(np.std(x - cv2.GaussianBlur(x, (0, 0), 1.0)))
    assert 0.4 < fine[1] / fine[0] < 0.7
    assert coarse[1] / coarse[0] < 1.1 * fine[1] / fine[0]


def test_strips_leave_no_trace(noisy: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    image = noisy[1]
    whole = without_grain(image)
    monkeypatch.setattr("apnt.looks.grain.rows_of", lambda width: 37)
    np.testing.assert_array_equal(without_grain(image), whole)


@pytest.mark.parametrize("value", [0.0, 0.25])
@pytest.mark.parametrize("size", [(1, 1), (3, 90), (70, 70)])
def test_flat_light_stays(value: float, size: tuple[int, int]) -> None:
    image = np.full((*size, 3), value, np.float32)
    np.testing.assert_allclose(without_grain(image), image, rtol=1e-6)
