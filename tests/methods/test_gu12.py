"""Gu12-style: its parts against definitions; there is no answer of the authors to compare with."""

from __future__ import annotations

import numpy as np
import pytest

from apnt.methods import gu12
from apnt.methods.gradient_domain import divergence, gradient, integrate


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3), (16, 16), (17, 30)])
def test_integrating_a_gradient_gives_the_image_back(size):
    image = np.random.default_rng(0).random(size)
    assert integrate(gradient(image)) == pytest.approx(image - image.mean(), abs=1e-12)


def test_integrating_solves_poissons_equation_for_any_field():
    field = np.random.default_rng(0).random((2, 9, 12))
    image = integrate(field)
    assert divergence(gradient(image)) == pytest.approx(divergence(field), abs=1e-12)
    assert image.mean() == pytest.approx(0, abs=1e-15)


def test_divergence_by_hand():
    field = np.array([[[1.0, 2.0], [9.0, 9.0]], [[3.0, 9.0], [4.0, 9.0]]])  # 9: beyond the border
    assert divergence(field).tolist() == [[1 + 3, 2 - 3], [-1 + 4, -2 - 4]]


def test_the_fused_gradient_is_the_largest_singular_vector():
    stack = np.random.default_rng(0).random((3, 5, 6, 3))
    field = gu12.fused_gradient(stack)
    for y in range(4):
        for x in range(5):
            rows = [gradient(c)[:, y, x] for frame in stack for c in np.moveaxis(frame, -1, 0)]
            _, sizes, vectors = np.linalg.svd(np.array(rows))
            expected = sizes[0] * vectors[0] * np.sign(vectors[0] @ np.sum(rows, axis=0))
            assert field[:, y, x] == pytest.approx(expected, abs=1e-12)


def test_grey_copies_keep_their_gradients_direction_and_sign():
    image = np.random.default_rng(0).random((8, 9))
    stack = np.repeat(np.stack([image, image])[..., None], 3, axis=-1)
    assert gu12.fused_gradient(stack) == pytest.approx(np.sqrt(6) * gradient(image), abs=1e-12)


def test_attenuation_flattens_steep_surroundings():
    field = np.zeros((2, 60, 120))
    field[1, :, :60], field[1, :, 60:] = 0.01, 0.4
    result = gu12.attenuated(field, 7)[1]
    flat, steep, mean = 0.011, 0.401, 0.205 + 0.001
    assert result[30, 20] == pytest.approx(0.01 * (mean / flat) ** 0.2)
    assert result[30, 100] == pytest.approx(0.4 * (mean / steep) ** 0.2)


def test_the_range_is_that_of_the_mean_weighted_by_exposure(smooth):
    stack = smooth(3, 64, 64).mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    weights = np.exp(-((stack - 0.5) ** 2) / 0.08) ** 3 + 1e-12
    mean = (weights * stack).sum(axis=0) / weights.sum(axis=0)
    expected = np.quantile(mean[..., 0], [0.01, 0.99])
    assert np.quantile(gu12.fuse(stack)[..., 0], [0.01, 0.99]) == pytest.approx(expected, abs=1e-9)


def test_a_shape_that_only_one_frame_shows_is_seen():
    rng = np.random.default_rng(0)
    dark = np.full((48, 64, 3), 0.02)
    dark[:, 40:] = 0.4 + 0.2 * rng.random((48, 24, 1))
    bright = np.ones((48, 64, 3))
    bright[:, :20] = 0.4 + 0.2 * rng.random((48, 20, 1))
    result = gu12.fuse(np.stack([dark, bright]))[..., 1]
    left = np.corrcoef(result[4:-4, 4:16].ravel(), bright[4:-4, 4:16, 1].ravel())[0, 1]
    right = np.corrcoef(result[4:-4, 46:58].ravel(), dark[4:-4, 46:58, 1].ravel())[0, 1]
    assert min(left, right) > 0.9
