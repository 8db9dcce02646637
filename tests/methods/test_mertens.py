"""Mertens09: the authors' answers, and the equations written out with loops."""

from __future__ import annotations

import numpy as np
import pytest

from apnt.methods import mertens, pyramid


@pytest.mark.parametrize("case", ["door", "house", "tower"])
def test_it_equals_the_authors_program(oracle, case):
    frames, answer = oracle("mertens09", case)
    error = np.abs(mertens.fuse(frames) - answer["image"])
    assert error.max() < 2e-4  # the answer is stored in steps of 1.2e-4


def test_weights_of_two_single_pixels_by_hand():
    # One pixel has no contrast, so both weights are 1e-12 whatever the colour.
    frames = np.array([0.2, 0.4, 0.6, 0.1, 0.1, 0.1]).reshape(2, 1, 1, 3)
    assert mertens.weights(frames).ravel() == pytest.approx([0.5, 0.5])
    assert mertens.fuse(frames).ravel() == pytest.approx([0.15, 0.25, 0.35])


def test_weights_by_hand():
    frames = np.zeros((2, 1, 2, 3))
    frames[0, 0] = [[0.5, 0.5, 0.8], [0.5, 0.5, 0.5]]
    frames[1, 0] = [[0.5, 0.2, 0.5], [0.5, 0.5, 0.5]]
    # contrast: difference of luma; saturation: the same deviation of 0.3 in one of three channels;
    # well-exposedness exp(-0.3**2 / 0.08) of both. So the ratio is that of the luma weights of B and G.
    blue, green = 0.1140209, 0.5870431
    assert mertens.weights(frames)[:, 0, 0] == pytest.approx(np.array([blue, green]) / (blue + green))
    assert mertens.weights(frames)[:, 0, 1] == pytest.approx([0.5, 0.5])  # grey: no saturation


def naive_down(image: np.ndarray) -> np.ndarray:
    height, width = image.shape
    kernel = [1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16]

    def mirrored(i: int, n: int) -> int:  # ... 1 0 | 0 1 2 ... n-1 | n-1 n-2 ...
        i %= 2 * n
        return i if i < n else 2 * n - 1 - i

    return np.array([
        [
            sum(
                kernel[a + 2] * kernel[b + 2] * image[mirrored(y + a, height), mirrored(x + b, width)]
                for a in range(-2, 3)
                for b in range(-2, 3)
            )
            for x in range(0, width, 2)
        ]
        for y in range(0, height, 2)
    ])  # fmt: skip


def naive_up(image: np.ndarray, height: int, width: int) -> np.ndarray:
    kernel = [1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16]
    result = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            for i in range(-1, image.shape[0] + 1):  # coarse samples with one repeated beyond each border
                for j in range(-1, image.shape[1] + 1):
                    a, b = 2 * i - y, 2 * j - x
                    if abs(a) <= 2 and abs(b) <= 2:
                        sample = image[min(max(i, 0), image.shape[0] - 1), min(max(j, 0), image.shape[1] - 1)]
                        result[y, x] += 4 * kernel[a + 2] * kernel[b + 2] * sample
    return result


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (5, 2), (7, 8), (9, 9)])
def test_pyramid_steps_equal_loops(size):
    image = np.random.default_rng(0).random(size)
    coarse = naive_down(image)
    assert pyramid.down(image) == pytest.approx(coarse, abs=1e-14)
    assert pyramid.up(coarse, *size) == pytest.approx(naive_up(coarse, *size), abs=1e-14)


@pytest.mark.parametrize("size", [(16, 16), (17, 33)])
def test_a_pyramid_collapses_to_its_image(size):
    image = np.random.default_rng(0).random((*size, 3))
    assert pyramid.collapse(pyramid.laplacian(image, 4)) == pytest.approx(image, abs=1e-13)


def test_fusion_equals_its_definition_on_two_levels():
    frames = np.random.default_rng(1).random((2, 5, 6, 3))  # floor(log2(5)) = 2 levels
    weights = mertens.weights(frames)
    fine, coarse = np.zeros((5, 6, 3)), np.zeros((3, 3, 3))
    for frame, weight in zip(frames, weights, strict=True):
        for c in range(3):
            small = naive_down(frame[..., c])
            fine[..., c] += weight * (frame[..., c] - naive_up(small, 5, 6))
            coarse[..., c] += naive_down(weight) * small
    expected = fine + np.stack([naive_up(coarse[..., c], 5, 6) for c in range(3)], axis=-1)
    assert mertens.fuse(frames) == pytest.approx(expected, abs=1e-12)
