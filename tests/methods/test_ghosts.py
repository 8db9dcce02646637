"""The motion tests that Ma17, Li20 and Li21 share."""

from __future__ import annotations

import numpy as np
import pytest

from apnt.methods.ghosts import Limits, Windows, consistent, matched, opened
from apnt.methods.multiscale_patches import without_motion

LIMITS = Limits(dark=0.02, bright=0.98, intensity=0.2)


def test_histogram_matching_by_hand():
    # Source: 2 pixels each of levels 10, 20 and 30; target: 1 of 100, 3 of 150 and 2 of 200. A level takes
    # the first target level whose count reaches its own less half of its own pixels: 2 - 1 -> 100 (1),
    # 4 - 1 -> 150 (4), 6 - 1 -> 200 (6).
    source = np.array([[10, 10, 20], [20, 30, 30]]) / 255
    target = np.array([[100, 150, 150], [150, 200, 200]]) / 255
    expected = np.array([[100, 100, 150], [150, 200, 200]])
    assert matched(source, target) * 255 == pytest.approx(expected)


def test_black_and_white_may_not_fall_short():
    source = np.array([[0, 0, 255, 255]]) / 255
    target = np.array([[100, 150, 150, 200]]) / 255
    assert matched(source, target) * 255 == pytest.approx(np.array([[150, 150, 200, 200]]))


def test_histogram_matching_returns_the_image_for_its_own_histogram():
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3)) / 255
    assert matched(image, image) == pytest.approx(image, abs=1e-12)


def test_matching_scales_counts_of_another_size():
    source = np.array([[0.0, 1.0]])
    target = np.repeat([[0.2, 0.6]], 5, axis=0)
    assert matched(source, target).ravel() == pytest.approx([51 / 255, 153 / 255])


def test_the_disk_is_the_octagon_of_41_pixels():
    mask = np.zeros((101, 101), bool)
    y, x = np.mgrid[-50:51, -50:51]
    octagon = (abs(x) <= 20) & (abs(y) <= 20) & (abs(x) + abs(y) <= 30)
    mask[octagon] = True
    assert octagon.sum() == 41 * 41 - 4 * 55  # a corner lacks 1 + 2 + ... + 10 pixels
    assert (opened(mask) == octagon).all()
    mask[50, 70] = False  # one pixel of a straight side: the octagon does not fit any more
    assert not opened(mask).any()


def test_opening_removes_strips_and_keeps_what_runs_out_of_the_image():
    mask = np.ones((60, 80), bool)
    mask[:, 30] = False  # both sides reach the border, but 30 and 49 columns are left
    assert (opened(mask) == mask).all()
    mask[:, 70] = False  # strips of 39 columns between two gaps and of 9 at the border are left
    expected = mask.copy()
    expected[:, 31:] = False
    assert (opened(mask) == expected).all()


def window(mean: float, variance: float) -> Windows:
    return Windows(np.full((60, 60), mean), np.full((60, 60), variance))


@pytest.mark.parametrize(
    ("correlation", "reference_mean", "passes"),
    [(0.81, 0.5, True), (0.79, 0.5, False), (-0.9, 0.5, False), (0.0, 0.01, True), (0.0, 0.99, True)],
)
def test_structure_must_correlate_unless_the_reference_is_blank(correlation, reference_mean, passes):
    variance = 0.04  # far above C = 0.00045
    covariance = np.full((60, 60), correlation * variance)
    result = consistent(window(0.5, variance), window(reference_mean, variance), covariance, LIMITS)
    assert (result == passes).all()


def test_brightness_must_be_what_the_histogram_predicts():
    base = np.repeat(np.linspace(0.1, 0.9, 60)[None], 60, axis=0)
    other = base / 2
    other[20:30, :20] = 0.45  # as bright as where the reference has 0.9
    flat = np.full((60, 60), 0.01)
    result = consistent(Windows(other, flat), Windows(base, flat), flat, LIMITS)
    assert not result[20:30, :20].any()
    assert result[:, 25:].all()


def test_a_moved_object_is_taken_from_the_reference():
    rng = np.random.default_rng(0)
    scene = np.clip(rng.random((90, 120, 3)) * 0.4 + np.linspace(0, 0.5, 120)[:, None], 0, 1)
    frames = np.stack([scene * 0.5, scene, np.clip(scene * 1.5, 0, 1)])
    frames = np.round(frames * 255) / 255
    moved = frames.copy()
    moved[0, 20:60, 20:60] = np.round(127 * rng.random((40, 40, 3))) / 255
    result = without_motion(moved, 1)
    assert (result[1] == frames[1]).all()
    assert (result[:, :, 95:] == frames[:, :, 95:]).all()
    repaired = np.abs(result[0, 25:55, 25:55] - frames[0, 25:55, 25:55])
    assert np.abs(moved[0, 25:55, 25:55] - frames[0, 25:55, 25:55]).mean() > 0.1
    assert repaired.mean() < 0.02


def test_the_reference_is_the_darker_middle_frame_unless_named():
    frames = np.random.default_rng(0).random((4, 50, 50, 3))
    assert (without_motion(frames) == without_motion(frames, 1)).all()
    assert (without_motion(frames, 2)[2] == frames[2]).all()
    assert (without_motion(frames, 2)[1] != frames[1]).any()
