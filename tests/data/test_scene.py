"""Rendering at sub-pixel precision: against analytic pictures, and the geometry of objects and cameras."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from apnt.data.scene import (
    Ground,
    Motion,
    MovingObject,
    blob,
    camera_motion,
    known_motion,
    photograph,
)

SIZE = (48, 64)
STILL = np.eye(3)


def waves(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    value = 0.5 + 0.2 * np.sin(2 * np.pi * x / 16) + 0.2 * np.cos(2 * np.pi * y / 20)
    return np.repeat(value[..., None], 3, axis=-1).astype(np.float32)


def ground(border: int = 16) -> Ground:
    y, x = np.mgrid[-border : SIZE[0] + border, -border : SIZE[1] + border].astype(float)
    return Ground(waves(x, y), 1.0, (border, border))


def one_object(**motion: float) -> MovingObject:
    axis = np.arange(21) - 10
    alpha = (np.hypot(axis[:, None], axis[None, :]) < 7).astype(np.float32)[..., None]
    return MovingObject(np.concatenate([alpha] * 4, axis=-1), 10.5, Motion((30.0, 22.0), **motion))


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.5, 0.0), (-3.25, 2.5)])
def test_a_camera_shifts_the_picture_by_fractions(shift: tuple[float, float]) -> None:
    seen, _ = photograph(ground(), [], [camera_motion(SIZE, shift)], [0], [0], SIZE)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(float)
    # Averaging over a pixel and cubic interpolation lower the waves by 1 to 2 %.
    assert np.abs(seen[0] - waves(x - shift[0], y - shift[1])).max() < 0.006


def test_zoom_shows_the_radiance_at_its_scale() -> None:
    y, x = np.mgrid[:128, :128].astype(float)
    radiance = waves(x / 1.6, y / 1.6)
    seen, _ = photograph(Ground(radiance, 1.6, (8.0, 8.0)), [], [STILL], [0], [0], SIZE)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(float)
    # Pixel centres: x of the frame is 8 + 1.6 (x + 1/2) - 1/2 of the map.
    assert np.abs(seen[0] - waves((7.5 + 1.6 * (x + 0.5)) / 1.6, (7.5 + 1.6 * (y + 0.5)) / 1.6)).max() < 0.006


def test_camera_motion_turns_about_the_middle() -> None:
    turned = camera_motion((101, 101), (2.0, -1.0), rotation=90.0)
    assert turned @ [50, 50, 1] == pytest.approx([52, 49, 1])
    assert turned @ [60, 50, 1] == pytest.approx([52, 59, 1])
    assert (camera_motion((101, 101), scale=1.1) @ [60, 50, 1])[0] == pytest.approx(61)


@pytest.mark.parametrize("moment", [-1.0, 0.0, 0.5, 1.0])
def test_an_object_moves_by_fractions(moment: float) -> None:
    black = Ground(np.zeros((*SIZE, 3), np.float32))
    thing = one_object(velocity=(3.3, -2.6), spin=20.0)
    seen, covers = photograph(black, [thing], [STILL], [moment], [0], SIZE)
    weight = seen[0, ..., 0]
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    centre = (weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()
    assert centre == pytest.approx((30 + 3.3 * moment, 22 - 2.6 * moment), abs=0.02)
    assert np.array_equal(covers[0], covers[0] & (weight > 0.3))
    assert covers[0].sum() == pytest.approx(weight.sum(), rel=0.05)


def test_objects_grow_bend_and_follow_the_camera() -> None:
    black = Ground(np.zeros((*SIZE, 3), np.float32))

    def area(thing: MovingObject, camera: np.ndarray = STILL) -> float:
        return float(photograph(black, [thing], [camera], [1], [0], SIZE)[0][0, ..., 0].sum())

    rest = area(one_object())
    assert area(one_object(growth=0.1)) == pytest.approx(rest * 1.21, rel=0.03)
    assert area(one_object(), camera_motion(SIZE, scale=1.1)) == pytest.approx(rest * 1.21, rel=0.03)
    bent = photograph(black, [one_object(bend=0.2, wave=1.0)], [STILL], [1], [0], SIZE)[0]
    straight = photograph(black, [one_object()], [STILL], [1], [0], SIZE)[0]
    assert np.abs(bent - straight).max() > 0.5


def test_an_open_shutter_spreads_an_object_but_keeps_its_light() -> None:
    black = Ground(np.zeros((*SIZE, 3), np.float32))
    thing = one_object(velocity=(12.0, 0.0))
    sharp, blurred = (photograph(black, [thing], [STILL], [0], [s], SIZE)[0][0, ..., 0] for s in (0.0, 0.8))
    # What cubic interpolation adds at a sharp edge is clipped.
    assert blurred.sum() == pytest.approx(sharp.sum(), rel=0.02)
    assert (blurred > 0.02).sum() > 1.3 * (sharp > 0.02).sum()


def test_no_dark_ring_beside_a_lamp() -> None:
    lamp = np.full((*SIZE, 3), 0.01, np.float32)
    lamp[20:28, 20:40] = 4.0
    seen, _ = photograph(Ground(lamp), [], [camera_motion(SIZE, (0.5, 0.5))], [0], [0], SIZE)
    assert seen.min() > 0.01 / 1.5


def test_texels_and_places_are_inverse() -> None:
    thing = one_object(velocity=(3.3, -2.6), spin=20.0, growth=0.1, bend=0.06, wave=1.0)
    place = np.random.default_rng(0).uniform(20, 40, (2, 50))
    assert np.abs(thing.place(thing.texels(place, 0.8), 0.8) - place).max() < 1e-3


def test_known_motion_leads_to_what_a_pixel_shows() -> None:
    rng = np.random.default_rng(1)
    texture = cv2.resize(rng.uniform(0.2, 0.8, (6, 6, 3)), (40, 40), interpolation=cv2.INTER_CUBIC)
    things = [
        MovingObject(
            blob(texture.astype(np.float32), rng), 12.0, Motion(*where, spin=8.0, bend=0.05, wave=1.0)
        )
        for where in (((22.0, 20.0), (9.0, 1.5)), ((44.0, 30.0), (-6.5, 2.0)))
    ]
    cameras = (camera_motion(SIZE, (1.0, 0.5)), camera_motion(SIZE, (-2.3, 1.4), rotation=2.0))
    moments = (0.0, 1.1)
    light, _ = photograph(ground(), things, cameras, moments, [0, 0], SIZE)
    motion, visible = known_motion(things, cameras, moments, SIZE)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    moved = cv2.remap(light[1], x + motion[..., 1], y + motion[..., 0], cv2.INTER_CUBIC)
    # A pixel beside an edge shows both sides of it; edges lie elsewhere within the pixels of the other frame.
    inner = cv2.erode(visible.astype(np.uint8), np.ones((5, 5))) > 0
    assert np.quantile(np.abs(moved - light[0])[inner], 0.9) < 0.01
    assert np.abs(motion[inner]).max() > 7  # objects and ground
    assert np.median(np.abs(light[1] - light[0])[inner]) > 0.02  # which still frames would not have
    assert 0.6 < visible.mean() < 0.95
    # What the first object covers in the second frame is seen no longer, nor what leaves the frame.
    assert np.abs(moved - light[0])[~visible].mean() > 0.05


def test_the_motion_of_a_pair_is_zero_between_a_frame_and_itself() -> None:
    thing = one_object(velocity=(3.0, 1.0), bend=0.05)
    motion, visible = known_motion([thing], (STILL, STILL), (0.5, 0.5), SIZE)
    assert np.abs(motion).max() < 1e-3
    assert visible.all()
