"""The procedural scene has what the demo needs: a textured highlight, a moving object, a shifted camera."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from apnt.data.procedural import procedural_bracket, procedural_scene
from apnt.errors import InputError
from apnt.tonemap import mu_law

HEIGHT, WIDTH = 128, 192


@pytest.fixture(scope="module")
def bracket():
    return procedural_bracket(0, HEIGHT, WIDTH)


def test_shapes_types_and_ranges(bracket):
    assert bracket.ldr.shape == (3, HEIGHT, WIDTH, 3)
    assert bracket.ldr.dtype == np.float32
    assert bracket.truth.dtype == np.float32
    assert bracket.moving.dtype == bool
    assert bracket.moving.shape == (HEIGHT, WIDTH)
    for image in (bracket.ldr, bracket.truth):
        assert 0 <= image.min() < image.max() <= 1
    np.testing.assert_array_equal(bracket.times, [1, 4, 16])


def test_a_seed_is_a_scene(bracket):
    again, other = procedural_bracket(0, HEIGHT, WIDTH), procedural_bracket(1, HEIGHT, WIDTH)
    np.testing.assert_array_equal(bracket.ldr, again.ldr)
    np.testing.assert_array_equal(bracket.truth, again.truth)
    assert np.abs(bracket.truth - other.truth).mean() > 0.01


def test_resolution_shows_the_same_scene(bracket):
    fine = procedural_scene(0, 2 * HEIGHT, 2 * WIDTH).radiance[1]
    coarse = cv2.resize(fine, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    assert np.abs(mu_law(coarse) - mu_law(bracket.truth)).mean() < 0.02


def test_the_highlight_has_texture_that_only_the_short_exposure_holds(bracket):
    window = bracket.saturated & ~bracket.moving
    assert 0.05 < window.mean() < 0.3
    assert (bracket.ldr[0] >= 0.95).any(axis=-1)[window].mean() < 0.1
    assert bracket.truth[window].std() > 0.1
    assert np.median(bracket.truth[~bracket.saturated]) < 0.05  # the room is dim


def test_the_ball_moves_over_the_highlight(bracket):
    assert 0.02 < bracket.moving.mean() < 0.15
    assert (bracket.moving & bracket.saturated).sum() > 0.2 * bracket.moving.sum()
    # The ball is darker than the window, so that its ghost would show.
    assert (bracket.moving & ~bracket.saturated).any()


def test_unsaturated_medium_pixels_are_the_truth(bracket):
    medium = bracket.ldr[1] ** 2.2 / bracket.times[1]
    error = np.abs(mu_law(medium) - mu_law(bracket.truth))[~bracket.saturated]
    assert error.mean() < 0.05


@pytest.mark.parametrize("other", [0, 2])
def test_the_camera_shifts(other):
    radiance = procedural_scene(0, HEIGHT, WIDTH).radiance
    # The upper left corner holds books and wallpaper, and no ball.
    room = np.log(radiance[:, : HEIGHT // 2, : WIDTH // 4].mean(axis=-1) + 1e-3).astype(np.float64)
    hann = cv2.createHanningWindow(room.shape[:0:-1], cv2.CV_64F)
    (dx, dy), _ = cv2.phaseCorrelate(room[1], room[other], hann)
    assert 0.5 < np.hypot(dx, dy) < 6


@pytest.mark.parametrize(("height", "width"), [(32, 64), (128, 128), (192, 128)])
def test_frames_must_be_landscape_and_large_enough(height, width):
    with pytest.raises(InputError, match=f"got height {height} and width {width}"):
        procedural_scene(0, height, width)


@pytest.mark.parametrize("stops", [0, -1, 7, float("nan")])
def test_stops_must_be_usable(stops):
    with pytest.raises(InputError, match="stops must be above 0"):
        procedural_bracket(0, HEIGHT, WIDTH, stops=stops)
