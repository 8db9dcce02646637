"""Li20: the authors' answers, and the equations written out with loops."""

from __future__ import annotations

import numpy as np
import pytest

from apnt.methods import li20
from apnt.methods.multiscale_patches import without_motion


@pytest.mark.parametrize("case", ["arno", "door", "house", "tower"])
def test_it_equals_the_authors_program_on_static_stacks(oracle, case):
    frames, answer = oracle("li20", case)
    assert np.abs(li20.fuse(frames) - answer["image"]).max() < 2e-4  # stored in steps of 1.2e-4


@pytest.mark.parametrize("case", ["dyn_arch", "dyn_sculpture"])
def test_it_equals_the_authors_program_on_moving_stacks(oracle, case):
    frames, answer = oracle("li20", case)
    still = without_motion(frames)
    assert (np.round(still[0] * 255) == answer["corrected_frame1_u8"]).all()
    assert still.mean(axis=(1, 2)) == pytest.approx(answer["corrected_mean_per_frame_rgb"], abs=1e-10)
    assert np.abs(li20.fuse(still) - answer["image"]).max() < 2e-4


def box(image: np.ndarray, radius: int) -> np.ndarray:
    height, width = image.shape
    return np.array([
        [
            image[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1].mean()
            for x in range(width)
        ]
        for y in range(height)
    ])  # fmt: skip


def test_fusion_equals_its_definition_on_two_scales():
    # A shorter side of 32 to 63 pixels has a colour scale and one grey scale, the coarsest.
    frames = np.random.default_rng(3).random((2, 33, 34, 3)) * np.array([0.5, 1.0])[:, None, None, None]
    means, strengths = [], []
    for frame in frames:
        m = box(frame.mean(axis=-1), 4)
        v = np.mean([box(frame[..., c] ** 2, 4) for c in range(3)], axis=0) - m**2
        means.append(m)
        strengths.append(np.sqrt(3 * 81 * v))
    largest, total = np.max(strengths, axis=0), np.sum(np.power(strengths, 4), axis=0)
    colour = np.zeros((33, 34, 3))
    for frame, m, c in zip(frames, means, strengths, strict=True):
        w = c**3 * largest / total
        colour += box(w, 4)[..., None] * frame - box(m * w, 4)[..., None]

    small = [m[::2, ::2] for m in means]
    coarse_means = [box(s, 4) for s in small]
    c = [9 * np.sqrt(box(s**2, 4) - m**2) for s, m in zip(small, coarse_means, strict=True)]
    largest, total = np.max(c, axis=0), np.sum(np.power(c, 4), axis=0)
    grey, base_weights = np.zeros((17, 17)), []
    for s, m, strength in zip(small, coarse_means, c, strict=True):
        w = strength**3 * largest / total
        grey += box(w, 4) * s - box(m * w, 4)
        p = np.pad(s, 1, mode="edge")
        contrast = np.abs(p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * s)
        base_weights.append(contrast * 2 / np.pi * np.arctan(20 * np.minimum(s, 1 - s)) + 1e-12)
    for m, w in zip(coarse_means, base_weights, strict=True):
        grey += box(m * w / np.sum(base_weights, axis=0), 4)

    expected = np.zeros((33, 34, 3))
    for y in range(33):
        for x in range(34):
            rows = [i // 2 for i in range(max(y - 4, 0), min(y + 5, 33)) if i % 2 == 0]
            columns = [j // 2 for j in range(max(x - 4, 0), min(x + 5, 34)) if j % 2 == 0]
            expected[y, x] = colour[y, x] + grey[np.ix_(rows, columns)].mean()
    assert li20.fuse(frames) == pytest.approx(expected, abs=1e-9)
