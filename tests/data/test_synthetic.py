"""Synthetic brackets: truth, motion and masks fit the pictures; everything depends on the seed alone."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from apnt.bracket import to_chw
from apnt.data import synthetic
from apnt.data.synthetic import BracketRecipe, SensorNoise, expose, synthesize
from apnt.errors import InputError

CLEAN = BracketRecipe(shot=(1e-12, 1e-12), read=(1e-6, 1e-6), bits=(16,), shift=8.0, rotation=0.0, camera=1.0)


def scene(seed: int, size: int = 160) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.gamma(1.0, 1.0, (size, size, 3)).astype(np.float32)


def make(seed: int, recipe: BracketRecipe = CLEAN) -> synthetic.SyntheticBracket:
    objects = [scene(100 + seed, 80)]
    return synthesize(scene(seed), objects, np.random.default_rng(seed), recipe)


@pytest.mark.parametrize("shape", [(4, 5, 3), (2, 4, 5, 3)])
def test_to_chw_moves_the_channels_of_any_view(shape: tuple[int, ...]) -> None:
    flipped = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)[..., ::-1, :]
    moved = to_chw(flipped)
    assert moved.is_contiguous()
    assert moved.shape == (*shape[:-3], 3, 4, 5)
    assert all(np.array_equal(moved[..., c, :, :], flipped[..., c]) for c in range(3))


def test_a_seed_gives_the_same_bracket() -> None:
    one, two, other = make(3), make(3), make(4)
    for name in ("ldr", "truth", "moving", "motion", "visible"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert not np.array_equal(one.ldr, other.ldr)


def test_exposures_show_the_truth_where_they_do_not_saturate() -> None:
    made = make(5)
    medium = made.ldr[1] ** 2.2 / made.times[1]
    fine = ~made.saturated
    assert fine.mean() > 0.5
    assert np.abs(medium - made.truth)[fine].max() < 1e-3
    assert made.truth.min() >= 0
    assert made.truth.max() == 1.0


def moves_whole(made: synthetic.SyntheticBracket) -> bool:
    return bool(np.abs(made.motion - made.motion.round()).max() < 1e-4)


def test_motion_leads_from_the_reference_to_the_shortest_exposure() -> None:
    whole = [m for m in (make(seed) for seed in range(12)) if moves_whole(m)]
    assert len(whole) >= 3
    for made in whole:
        height, width = made.visible.shape
        yy, xx = np.mgrid[:height, :width]
        ok = made.visible & ~made.saturated
        assert ok.mean() > 0.4
        y, x = (np.round(c + made.motion[..., i]).astype(int)[ok] for i, c in enumerate((yy, xx)))
        error = np.abs(made.ldr[0][y, x] ** 2.2 - made.truth[ok]).max(axis=-1)
        # A pixel on the soft edge of an object mixes it with the background, which moves differently.
        assert (error < 2e-3).mean() > 0.97


def test_half_of_the_cameras_move_by_whole_pixels() -> None:
    whole = [moves_whole(make(seed)) for seed in range(12)]
    assert any(whole)
    assert not all(whole)


def test_moving_covers_the_object_and_leaves_the_background() -> None:
    still = make(6, replace(CLEAN, camera=0.0))
    assert still.moving is not None
    assert 0.01 < still.moving.mean() < 0.9
    assert np.abs(still.motion[~still.moving]).max() == 0
    # Without camera motion the background of all three frames is one picture.
    same = np.abs(still.ldr[0] ** 2.2 - still.truth).max(axis=-1) < 2e-3
    near = (
        cv2.dilate(still.moving.astype(np.uint8), np.ones((3, 3))) > 0
    )  # soft edges reach one pixel further
    assert same[~near].all()
    assert not same[still.moving].all()


def test_share_of_saturated_pixels_follows_the_recipe() -> None:
    recipe = replace(CLEAN, objects=(0, 0), camera=0.0, saturated=(0.1, 0.1))
    clipped = [(make(seed, recipe).ldr[1] >= 1).any(axis=-1).mean() for seed in range(3)]
    assert np.allclose(clipped, 0.1, atol=0.002)


def test_expose_noise_and_steps() -> None:
    rng = np.random.default_rng(0)
    grey = np.full((200, 200, 3), 0.1, np.float32)
    shot = expose(grey, 4.0, SensorNoise(shot=1e-3, read=1e-2), 16, rng) ** 2.2
    assert shot.mean() == pytest.approx(0.4, rel=0.01)
    assert shot.std() == pytest.approx(np.sqrt(1e-3 * 0.4 + 1e-4), rel=0.03)
    eight = expose(grey, 1.0, SensorNoise(1e-12, 1e-9), 8, rng)
    assert np.allclose(eight * 255, np.round(eight * 255), atol=1e-4)
    assert expose(grey, 100.0, SensorNoise(1e-3, 1e-2), 8, rng).max() == 1.0


def test_bad_backgrounds_are_named() -> None:
    small = np.ones((2 * CLEAN.margin + 8,) * 2 + (3,), np.float32)
    with pytest.raises(InputError, match="background must exceed its margin"):
        synthesize(small, [], np.random.default_rng(0), CLEAN)
    with pytest.raises(InputError, match="background must hold light"):
        synthesize(np.zeros((160, 160, 3), np.float32), [], np.random.default_rng(0), CLEAN)
