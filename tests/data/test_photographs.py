"""Training brackets like prepared photographs: one seed one bracket; errors only where they are asked for."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from apnt.bracket import Bracket
from apnt.camera import GAMMA
from apnt.data.photographs import PhotographRecipe, prepared_photographs
from apnt.data.sensor import Sensor
from apnt.data.synthetic import SensorNoise, SyntheticBracket
from apnt.data.tone_curves import apply_curve, tone_curve, undo_curve
from apnt.errors import InputError

SIDE = 64
CLEAN = PhotographRecipe(
    spacing=(2, 2), burnt=0, shot=(1e-12, 1e-12), read=(1e-6, 1e-6), bits=(16,), jpeg=0, curve=0,
    camera=0, residual_shift=0, residual_curve=0, residual_exposure=0, residual_balance=0, objects=(0, 0),
    blur=0,
)  # fmt: skip


def radiance(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.gamma(1.0, 1.0, (40, 40, 3)), (200, 200), interpolation=cv2.INTER_CUBIC).clip(
        0.01
    ).astype(np.float32)  # fmt: skip


def make(recipe: PhotographRecipe, seed: int = 0) -> Bracket:
    rng = np.random.default_rng(seed)
    return prepared_photographs(radiance(seed), [radiance(9)], SIDE, rng, recipe)


def worst(bracket: Bracket, k: int, border: int = 8) -> float:
    """Largest relative error of a frame's light where it is well exposed, without borders."""
    light = bracket.ldr[k] ** GAMMA / bracket.times[k]
    inner = np.s_[border:-border, border:-border]
    usable = (bracket.ldr[k] > 0.3) & (bracket.ldr[k] < 0.9)
    return float(np.abs(light / bracket.truth - 1)[inner][usable[inner]].max())


def test_a_seed_gives_the_same_bracket() -> None:
    one, two, other = make(PhotographRecipe(), 3), make(PhotographRecipe(), 3), make(PhotographRecipe(), 4)
    for name in ("ldr", "truth", "moving", "times"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert not np.array_equal(one.truth, other.truth)


@pytest.mark.parametrize("seed", range(8))
def test_every_bracket_is_one_that_a_network_takes(seed: int) -> None:
    made = make(PhotographRecipe(), seed)
    assert made.ldr.shape == (3, SIDE, SIDE, 3)
    for image in (made.ldr, made.truth):
        assert image.dtype == np.float32
        assert np.isfinite(image).all()
        assert 0 <= image.min() <= image.max() <= 1
    stops = np.diff(np.log2(made.times))
    assert made.times[0] == 1
    assert 1 - 1e-9 <= stops.min() <= stops.max() <= 4.5 + 1e-9


def test_without_errors_all_frames_show_the_same_light() -> None:
    made = make(CLEAN)
    assert not made.moving.any()
    assert max(worst(made, k) for k in range(3)) < 2e-3


@pytest.mark.parametrize(
    ("change", "least", "most"),
    [
        ({"residual_exposure": 0.03}, 0.001, 0.032),
        ({"residual_balance": 0.015}, 0.001, 0.017),
        ({"curve": 1.0, "bits": (16,)}, 0.0, 4e-3),  # undone but for its own quantisation
        ({"curve": 1.0, "bits": (8,)}, 0.005, 0.2),
        ({"residual_curve": 0.03}, 0.0, 0.15),
    ],
)
def test_each_error_is_of_its_size(change: dict[str, float], least: float, most: float) -> None:
    errors = [max(worst(make(replace(CLEAN, **change), seed), k) for k in (0, 2)) for seed in range(4)]
    assert least <= max(errors) <= most


def test_exact_brackets_have_no_error_of_preparation() -> None:
    wrong = replace(CLEAN, residual_exposure=0.03, residual_balance=0.015, residual_curve=0.03)
    off = [max(worst(make(replace(wrong, exact=share), seed), k) for k in (0, 2)) for share in (0.0, 1.0)
           for seed in range(4)]  # fmt: skip
    assert min(off[:4]) > 4e-3
    assert max(off[4:]) < 2e-3


def test_a_camera_that_is_not_compensated_moves_the_picture() -> None:
    moved = make(replace(CLEAN, camera=1.0, aligned=0.0), 2)
    aligned = make(replace(CLEAN, camera=1.0, aligned=1.0), 2)
    off, left = (np.median(np.abs(each.ldr[0] ** GAMMA - each.truth)) for each in (moved, aligned))
    assert 0 < left < off / 3


def test_objects_move_and_are_marked() -> None:
    made = make(replace(CLEAN, objects=(2, 2), object_speed=(8, 8), fast=0))
    light = made.ldr[0] ** GAMMA
    differs = np.abs(light - made.truth).max(axis=-1) > 0.02
    assert differs.any()
    assert (differs & made.moving).sum() > 0.9 * differs.sum()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": 1.5}, "share must lie between 0 and 1, got 1.5"),
        ({"spacing": (3.0, 1.0)}, "spacing must be a range from 0"),
        ({"shot": (0.0, 1.0)}, "shot must be a range above 0"),
        ({"bits": (9,)}, "bits must be of 8"),
        ({"growth": 0.5}, "growth must lie between 0 and 0.3"),
        ({"shift": -1.0}, "shift must be at least 0"),
    ],
)
def test_recipes_that_cannot_be(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        PhotographRecipe(**change)


def test_darkness_is_refused() -> None:
    with pytest.raises(InputError, match="ground must hold light"):
        prepared_photographs(np.zeros((90, 90, 3), np.float32), [], 64, np.random.default_rng(0), CLEAN)


def test_a_sensor_writes_what_its_file_can_hold() -> None:
    curve = tone_curve(np.random.default_rng(1), 0.5)
    light = np.linspace(0, 1, 48 * 48 * 3, dtype=np.float32).reshape(48, 48, 3)
    plain = Sensor(SensorNoise(0, 0), 8, curve).record(light, np.ones(3), np.random.default_rng(0))
    assert np.array_equal(np.round(plain * 255) / np.float32(255), plain)
    assert np.abs(undo_curve(plain, curve) ** GAMMA - light).max() < 0.02
    assert np.abs(plain - apply_curve(light ** (1 / GAMMA), curve)).max() <= 0.5 / 255 + 1e-6
    packed = Sensor(SensorNoise(0, 0), 8, curve, jpeg=75).record(light, np.ones(3), np.random.default_rng(0))
    assert 0 < np.abs(packed - plain).mean() < 0.02


def test_motion_leads_to_the_same_light_in_the_compensated_frames() -> None:
    recipe = replace(
        CLEAN, spacing=(1, 1), camera=1.0, aligned=1.0, residual_shift=0.4, objects=(2, 2),
        object_size=(0.15, 0.2), object_speed=(3.0, 8.0), object_level=(0.05, 0.3),
        saturated=(0.01, 0.02), fast=0,
    )  # fmt: skip
    rng = np.random.default_rng(5)
    made = prepared_photographs(radiance(5), [radiance(9)], SIDE, rng, recipe, motion=True)
    assert isinstance(made, SyntheticBracket)
    plain = make(recipe, 5)
    assert np.array_equal(made.ldr, plain.ldr)  # the motion draws nothing
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    assert made.motion_long is not None
    assert made.visible_long is not None
    for k, motion, visible in (
        (0, made.motion, made.visible),
        (2, made.motion_long, made.visible_long),
    ):
        light = made.ldr[k] ** GAMMA / made.times[k]
        moved = cv2.remap(light.astype(np.float32), x + motion[..., 1], y + motion[..., 0], cv2.INTER_CUBIC)
        own = made.ldr[1] ** GAMMA / made.times[1]
        known = visible & (made.ldr[[1, k]].max(axis=(0, -1)) < 0.95)
        known = cv2.erode(known.astype(np.uint8), np.ones((5, 5))) > 0
        assert known.mean() > 0.1
        gap, still = (np.quantile(np.abs(x - own)[known] / own[known], 0.75) for x in (moved, light))
        assert gap < 0.07
        assert gap < still / 4
        assert np.abs(motion[visible]).max() > 3
