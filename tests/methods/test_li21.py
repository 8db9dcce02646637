"""Li21: the authors' answers, and what its edge-preserving mean does to a colour."""

from __future__ import annotations

import numpy as np
import pytest

from apnt.methods import li21
from apnt.methods.multiscale_patches import without_motion


@pytest.mark.parametrize("case", ["arno", "door", "house", "tower"])
def test_it_equals_the_authors_program_on_static_stacks(oracle, case):
    frames, answer = oracle("li21", case)
    assert np.abs(li21.fuse(frames) - answer["image"]).max() < 2e-4  # stored in steps of 1.2e-4


def test_it_equals_the_authors_program_on_a_moving_stack(oracle):
    frames, answer = oracle("li21", "dyn_sculpture")
    still = without_motion(frames)
    assert still.mean(axis=(1, 2)) == pytest.approx(answer["corrected_mean_per_frame_rgb"], abs=1e-10)
    assert np.abs(li21.fuse(still) - answer["image"]).max() < 2e-4


def test_a_constant_colour_loses_what_the_edge_map_says():
    # All windows have mean 0.5 and variance v = 2 * 0.1**2 / 3, so a deviation keeps 1 - v / (v + 1/4).
    stack = np.broadcast_to([0.5, 0.4, 0.6], (3, 40, 40, 3))
    kept = 0.25 / (0.02 / 3 + 0.25)
    expected = np.broadcast_to([0.5, 0.5 - 0.1 * kept, 0.5 + 0.1 * kept], (40, 40, 3))
    assert li21.fuse(stack) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("values", "weights"),
    [
        # g(1/4) = 1/4 and g(1/2) = 1/2 from both sides; half of 1/4 gives a 32nd of it.
        ([0, 0.125, 0.25, 0.5, 0.75, 0.875, 1], [0, 0.5 / 32, 0.5, 1, 0.5, 0.5 / 32, 0]),
        ([0.375, 0.625], [1 - 0.5 / 32] * 2),
    ],
)
def test_the_exposure_curve_at_its_knots(values, weights):
    assert li21._exposedness(np.array(values)) == pytest.approx(np.array(weights))


def test_dark_and_bright_constant_frames_are_weighted_by_the_curve():
    # Flat frames: no detail, and the base is the mean of 0.25 and 0.5 with weights 2 f(0.25), 2 f(0.5).
    stack = np.stack([np.full((40, 40, 3), 0.25), np.full((40, 40, 3), 0.5)])
    assert li21.fuse(stack) == pytest.approx(np.full((40, 40, 3), (0.5 * 0.25 + 1 * 0.5) / 1.5), abs=1e-9)
