"""Shen14: its weights against the first author's program, its details against the definition in loops."""

from __future__ import annotations

import numpy as np
import pytest

from apnt.methods import just_noticeable, shen14


def test_local_weights_equal_the_first_authors_program(oracle):
    frames, answer = oracle("shen14", "tower_small")
    weights = np.moveaxis(shen14.local_weights(frames), 0, -1)
    assert np.abs(weights - answer["EW"]).max() < 1e-6


def test_noticeable_weights_are_the_programs_but_beside_edges(oracle):
    # Two edge finders, both called Canny, differ at a few pixels, and each counts in a disk around it.
    frames, answer = oracle("shen14", "tower_small")
    error = np.abs(np.moveaxis(shen14.noticeable_weights(frames), 0, -1) - answer["IW"])
    assert np.median(error) < 1e-6
    assert np.quantile(error, 0.9) < 0.005
    assert error.mean() < 0.005


def test_global_weights_are_near_the_programs(oracle):
    frames, answer = oracle("shen14", "tower_small")
    weights = np.moveaxis(shen14.global_weights(frames), 0, -1)
    assert np.abs(weights - answer["VW"]).mean() < 0.02  # the program's are 1 on this stack


def test_the_fused_image_is_of_the_programs_kind_but_not_equal(oracle):
    frames, answer = oracle("shen14", "tower_small")
    assert np.abs(shen14.fuse(frames) - answer["image"]).mean() < 0.07


def test_local_weight_by_hand():
    # v / (1 - v) = exp(b) has weight 1; one a further up or down, weight 0.
    def value(exponent: float) -> float:
        odds = np.exp(exponent)
        return float((odds / (1 + odds)) ** 0.4)

    colours = [value(-1.3), value(-1.3 + 1.6), value(-1.3 - 3.3), 0.0, 1.0]
    stack = np.repeat(np.array(colours)[:, None, None, None], 3, axis=-1)
    assert shen14.local_weights(stack).ravel() == pytest.approx([1, 0.5, 0, 0, 0], abs=1e-6)


def test_the_threshold_of_flat_grey_by_hand():
    # No texture: brightness hides 3 levels at 127, texture 0.5 - 1.27; 0.7 of the smaller is added.
    flat = just_noticeable.threshold(np.full((41, 41), 127.0))
    assert flat[20, 20] == pytest.approx(3 + 0.7 * (0.5 - 1.27))
    black = just_noticeable.threshold(np.zeros((41, 41)))
    assert black[20, 20] == pytest.approx(20 + 0.7 * 0.5)


def test_texture_hides_more_than_an_edge():
    luma = np.full((60, 120), 127.0)
    luma[:, 30:] = 160  # an edge
    rng = np.random.default_rng(0)
    luma[:, 80:] += 6 * rng.standard_normal((60, 40))  # texture, far less steep when smoothed
    threshold = just_noticeable.threshold(luma)
    assert just_noticeable.edges(luma)[10:50, 29:32].any(axis=1).all()
    assert not just_noticeable.edges(luma)[:, 90:].any()
    assert threshold[30, 28:32].max() < threshold[10:50, 90:110].mean()


def test_crossing_gradients_cost_weight():
    ramp = np.linspace(0, 1, 21)
    right = np.broadcast_to(ramp[:, None], (21, 21, 3))
    down = right.swapaxes(0, 1)
    assert shen14.global_weights(np.stack([right, right / 2])) == pytest.approx(np.ones((2, 21, 21)))
    # The gradient of j, 0.05 a pixel, stands at a right angle to that of i.
    assert shen14.global_weights(np.stack([right, down]))[:, 10, 10] == pytest.approx([0.95, 0.95])


def naive_details(frame: np.ndarray, guidance: np.ndarray) -> np.ndarray:
    """Remap the whole image around each pixel, and take one coefficient of its Laplacian pyramid."""

    def smooth(length: int) -> np.ndarray:
        kernel = np.array([0.05, 0.25, 0.4, 0.25, 0.05])
        band = np.array(
            [[kernel[j - i + 2] if abs(j - i) <= 2 else 0 for j in range(length)] for i in range(length)]
        )
        down = (band / band.sum(axis=1, keepdims=True))[::2]
        up = band[:, ::2]
        return up / up.sum(axis=1, keepdims=True) @ down

    rows, columns = smooth(frame.shape[0]), smooth(frame.shape[1])
    result = np.zeros_like(frame)
    for y in range(frame.shape[0]):
        for x in range(frame.shape[1]):
            difference = frame - frame[y, x]
            if not np.isnan(guidance[y, x]):
                d = np.linalg.norm(difference, axis=-1, keepdims=True)
                n = 0.2 ** guidance[y, x]
                t = np.clip((0.4 * d - 0.01) / 0.01, 0, 1)
                step = t**2 * (t - 2) ** 2
                new = step * d**n / (d**n + 0.5**n) + (1 - step) * d
                difference = difference / np.maximum(d, 1e-12) * new
            image = frame[y, x] + difference
            result[y, x] = (image - np.einsum("ij,jkc,lk->ilc", rows, image, columns))[y, x]
    return result


@pytest.mark.parametrize("size", [(9, 12), (16, 11), (1, 3), (20, 17)])
def test_details_equal_their_definition(size):
    rng = np.random.default_rng(0)
    frame, guidance = rng.random((*size, 3)), rng.random(size)
    guidance[rng.random(size) < 0.3] = np.nan
    expected = naive_details(frame, guidance)
    assert shen14.boosted_details(frame, guidance) == pytest.approx(expected, abs=1e-5)
