"""The response is recovered from brackets whose curve is known, and doubted where nothing tells it."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from apnt.data.val_v1 import val_v1
from apnt.errors import InputError
from apnt.prepare.blocks import find_pairs
from apnt.prepare.channels import balanced
from apnt.prepare.estimate import Estimate, estimate_camera, estimate_response
from apnt.prepare.response import NAMED, Response
from apnt.prepare.shift import frame_shifts

LEVELS = np.linspace(0.0, 1.0, 256)
GREYS = np.stack([LEVELS.astype(np.float32)] * 3, axis=-1)
TIMES = np.array([1.0, 4.0, 16.0])


def scene(seed: int = 0, size: tuple[int, int] = (320, 448)) -> np.ndarray:
    """(H, W, 3) linear radiance over four decades: patches of even colour under uneven light."""
    rng = np.random.default_rng(seed)
    rows, columns = (n // 32 + 1 for n in size)
    patches = rng.lognormal(-2.6, 1.3, (rows, columns, 1)) * rng.uniform(0.5, 1.0, (rows, columns, 3))
    image = np.kron(patches, np.ones((32, 32, 1)))[: size[0], : size[1]].astype(np.float32)
    light = cv2.resize(rng.uniform(0.8, 1.2, (5, 7, 3)).astype(np.float32), size[::-1])
    return image * light


def photographed(
    radiance: np.ndarray | list[np.ndarray],
    times: np.ndarray,
    response: Response,
    quality: int | None = None,
    gains: np.ndarray | None = None,
    noise: float = 1e-3,
) -> np.ndarray:
    """Frames with sensor noise and 8 bits, or JPEG: (N, H, W, 3). ``radiance`` may be one image a frame."""
    rng, frames = np.random.default_rng(1), []
    for k, time in enumerate(times):
        light = (radiance[k] if isinstance(radiance, list) else radiance) * time
        light = light * (1.0 if gains is None else gains[k])
        light = light + rng.normal(0, 1, light.shape) * np.sqrt(1e-4 * light + noise**2)
        frame = np.round(response.encode(light) * 255).astype(np.uint8)
        if quality is not None:
            _, code = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
            frame = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
        frames.append(frame.astype(np.float32) / np.float32(255))
    return np.stack(frames)


def camera(strength: float = 0.6) -> Response:
    """sRGB and an S-curve on top, a little different in each channel."""
    x = np.linspace(0, 1, 4097)
    value = Response("srgb").encode(np.stack([x**2.2] * 3, -1))[:, 0].astype(np.float64)
    curves = []
    for s in (strength, 0.95 * strength, 1.05 * strength):
        curves.append(np.interp(LEVELS, (1 - s) * value + s * value**2 * (3 - 2 * value), x))
    return Response("sRGB and S", np.stack(curves))


def error(found: Response, truth: Response) -> float:
    """Median relative error of the linear values from 2 % to 90 %, a common factor aside."""
    light = truth.linear(GREYS)
    inside = (light > 0.02) & (light < 0.9)
    ratio = np.log(found.linear(GREYS)[inside] / light[inside])
    return float(np.median(np.abs(ratio - np.median(ratio))))


def is_assumed(estimate: Estimate) -> bool:
    return estimate.response.name == "gamma22" and "assumed to be gamma 2.2" in (estimate.note or "")


@pytest.mark.parametrize("quality", [None, 85])
@pytest.mark.parametrize("strength", [0.3, 0.8])
def test_a_contrast_curve_is_found(strength: float, quality: int | None) -> None:
    truth = camera(strength)
    estimate = estimate_response(photographed(scene(), TIMES, truth, quality), TIMES)
    assert estimate.response.name == "estimated"
    assert error(Response("gamma22"), truth) > 0.05
    assert error(estimate.response, truth) < 0.03
    assert error(estimate.response, truth) < 3 * estimate.error + 0.002
    assert estimate.note is None
    assert estimate.agreement > 0.9
    assert (estimate.levels[:, 0] < 0.2).all()
    assert (estimate.levels[:, 1] > 0.8).all()


@pytest.mark.parametrize("name", NAMED)
def test_a_named_curve_is_recognised(name: str) -> None:
    estimate = estimate_response(photographed(scene(), TIMES, Response(name)), TIMES)
    assert estimate.response.name == name
    assert (estimate.gains == 1).all()
    assert estimate.error < 0.03
    assert estimate.note is None


def test_two_frames_are_enough() -> None:
    truth = camera()
    estimate = estimate_response(photographed(scene(), TIMES[:2], truth), TIMES[:2])
    assert error(estimate.response, truth) < 0.05


def test_many_frames_are_better_than_two() -> None:
    truth, times = camera(), 2.0 ** np.arange(9)
    estimate = estimate_response(photographed(scene() / 8, times, truth), times)
    assert error(estimate.response, truth) < 0.015


def test_several_brackets_of_a_camera_are_better_than_one() -> None:
    truth, levels = camera(), (0.05, 0.3, 1.0)  # of scenes whose light covers only a part of the curve each
    brackets = []
    for seed, level in enumerate(levels):
        radiance = level * (0.1 + 0.9 * np.clip(scene(seed, (160, 224)), 0, 1))
        brackets.append((photographed(radiance, TIMES[:2], truth), TIMES[:2]))
    alone = [estimate_response(*bracket) for bracket in brackets]
    together = estimate_camera(iter(brackets))
    assert error(together.response, truth) < 0.02
    assert error(together.response, truth) < np.mean([error(a.response, truth) for a in alone])
    assert together.error < min(a.error for a in alone)
    assert together.gains.shape == (6, 3)
    assert (together.gains[1::2] == 1).all()  # the middle frame of two is the second
    with pytest.raises(InputError, match="brackets must be at least one"):
        estimate_camera([])


@pytest.mark.parametrize("colour", [(0.2, 0.05, 0.02), (0.08, 0.07, 0.06)], ids=["red", "grey"])
def test_a_moving_camera_and_objects_do_no_harm(colour: tuple[float, float, float]) -> None:
    truth, wide = camera(), scene(size=(384, 512))
    frames = []
    for k, (y, x) in enumerate(((20, 44), (32, 32), (47, 21))):
        frame = wide[y : y + 320, x : x + 448].copy()
        cv2.circle(frame, (100 + 70 * k, 150 + 20 * k), 60, colour, -1)
        frames.append(frame)
    ldr = photographed(frames, TIMES, truth)
    assert np.abs(frame_shifts(ldr) - [[12, -12], [0, 0], [-15, 11]]).max() <= 1
    estimate = estimate_response(ldr, TIMES)
    assert error(estimate.response, truth) < 0.03
    if colour[0] < 0.1:  # of a coloured object, greys know nothing
        assert estimate.agreement < 0.99  # it was in the way


@pytest.mark.parametrize("size", [(64, 96), (96, 128)])
def test_slopes_beside_saturation_are_no_structure(size: tuple[int, int]) -> None:
    """Three gradients of light: nothing tells a shift, and none is found that would bend the curve."""
    y, x = (np.linspace(0, 1, n) for n in size)
    y = y[:, None]
    light = np.stack(
        [2.0 ** (6 * x - 6) + 0 * y, 2.0 ** (5 * x - 5.5) * (0.4 + 0.6 * y), 2.0 ** (4 * x - 5) + 0 * y]
    )
    ldr = photographed([light.transpose(1, 2, 0)] * 3, TIMES, Response("gamma22"))
    assert not frame_shifts(ldr).any()
    found = estimate_response(ldr, TIMES)
    assert found.response.name == "gamma22"
    assert found.wrong == ()


def test_a_few_pixels_tell_no_shift() -> None:
    rng = np.random.default_rng(0)
    ldr = np.ones((3, 200, 300, 3), np.float32)
    for frame in ldr:  # all but a corner is saturated; the corner holds noise
        frame[:20, :20] = rng.uniform(0.3, 0.6, (20, 20, 1))
    assert not frame_shifts(ldr).any()


@pytest.mark.parametrize("frame", [0, 2])
def test_a_white_balance_that_differs_is_found(frame: int) -> None:
    gains = np.ones((3, 3))
    gains[frame] = 1.25, 1.0, 0.8
    for response in (camera(), Response("gamma22")):
        estimate = estimate_response(photographed(scene(), TIMES, response, gains=gains), TIMES)
        assert estimate.gains == pytest.approx(gains, rel=0.05)
        assert error(estimate.response, response) < 0.02


def test_an_exposure_that_is_off_is_found() -> None:
    gains = np.array([[1.0] * 3, [1.0] * 3, [1.1] * 3, [1.0] * 3, [1.0] * 3])
    times = 2.0 ** np.arange(5)
    ldr = photographed(scene(), times, camera(), gains=gains)
    estimate = estimate_response(ldr, times, exposure_error=0.05)
    found = np.log(estimate.gains).mean(axis=1)
    # Exposures off by a power fit a curve of that power: what bends out of the line is what can be found.
    straight = np.interp(np.arange(5), (0, 4), found[[0, 4]])
    assert (found - straight)[2] == pytest.approx(np.log(1.1), abs=0.03)


def test_areas_without_data_are_left_out() -> None:
    truth, valid = camera(), np.ones((3, 320, 448), bool)
    ldr = photographed(scene(), TIMES, truth)
    valid[:, :, :224] = False
    spoiled = ldr.copy()
    spoiled[:, :, :224] = scene(5)[None, :, :224].clip(0, 1)
    ours, clean = (estimate_response(frames, TIMES, valid) for frames in (spoiled, ldr))
    assert error(ours.response, truth) < 0.04
    assert ours.pairs == pytest.approx(clean.pairs, rel=0.02)
    assert clean.pairs < 0.7 * estimate_response(ldr, TIMES).pairs


def test_a_small_bright_area_counts() -> None:
    """The only values above the middle stand on 48 x 48 of 448 x 320 pixels, and support the curve there."""
    radiance = np.minimum(scene(), 0.01)
    radiance[64:112, 64:112] = np.geomspace(0.01, 0.062, 48, dtype=np.float32)[:, None, None]
    estimate = estimate_response(photographed(radiance, TIMES, camera(), noise=1e-4), TIMES)
    assert (estimate.levels[:, 1] > 0.75).all()


def test_nothing_to_go_by_is_said() -> None:
    black = np.zeros((3, 64, 64, 3), np.float32)
    same = np.repeat(photographed(scene(), TIMES[:1], camera()), 3, axis=0)
    tiny = photographed(scene(size=(24, 24)), TIMES, camera())
    tiniest = tiny[:, :5, :7]
    for ldr, times in ((black, TIMES), (same, np.ones(3)), (tiny, TIMES), (tiniest, TIMES)):
        estimate = estimate_response(ldr, times)
        assert is_assumed(estimate)
        assert estimate.error > 0.2
        assert np.isnan(estimate.levels).all()


def test_a_single_level_is_no_curve() -> None:
    """Three frames of one grey wall: some ratio, which any curve of a family explains."""
    wall = np.full((160, 224, 3), 0.03)
    for response in (camera(), Response("gamma22")):
        assert is_assumed(estimate_response(photographed(wall, TIMES, response), TIMES))


@pytest.mark.parametrize("moved", [False, True])
def test_texture_without_a_flat_place_tells_a_curve_by_ranks(moved: bool) -> None:
    """Grass at night: no block of 8x8 pixels is flat, and what is bright is little."""
    texture = np.random.default_rng(3).lognormal(-5.0, 1.2, (80, 112, 1)) * np.ones(3)
    texture = cv2.resize(texture, (452, 324), interpolation=cv2.INTER_LINEAR)
    places = ((0, 0), (3, 2), (4, 1)) if moved else ((0, 0),) * 3
    frames = [texture[y : y + 320, x : x + 448] for y, x in places]
    truth = camera()
    ldr = photographed(frames, TIMES, truth, noise=3e-4)
    assert len(find_pairs(ldr, TIMES, None)) < 60
    estimate = estimate_response(ldr, TIMES)
    assert estimate.response.name == "estimated"
    assert error(estimate.response, truth) < 0.05
    assert error(estimate.response, truth) < 0.4 * error(Response("gamma22"), truth)
    assert 0.02 < estimate.error < 0.2  # little tells it, and that is said


def test_coloured_light_that_frames_render_differently_is_no_white_balance() -> None:
    """As cameras do whose colours are mixed and clipped before the curve: greys alone agree, and tell it."""
    light = scene(2, (480, 640)) * np.array([1.0, 0.5, 0.25])
    light[:, :260] = light[:, :260].mean(axis=-1, keepdims=True)
    rendered = np.ones((3, 1, 640, 3))
    rendered[0, :, 260:], rendered[2, :, 260:] = (1.4, 1, 0.7), (0.75, 1, 1.5)
    estimate = estimate_response(photographed(list(light * rendered), TIMES, camera()), TIMES)
    assert error(estimate.response, camera()) < 0.01
    assert np.abs(np.log(estimate.gains)).max() < 0.02


def test_frames_that_contradict_each_other_are_said() -> None:
    frames = [scene(seed) for seed in (0, 1, 2)]
    estimate = estimate_response(photographed(frames, TIMES, Response("gamma22")), TIMES)
    assert estimate.note is not None
    assert estimate.error > 0.05


def test_the_answer_is_always_the_same() -> None:
    ldr = photographed(scene(), TIMES, camera())
    first, second = (estimate_response(ldr, TIMES).response.table for _ in range(2))
    assert first is not None
    assert second is not None
    assert np.array_equal(first, second)


def test_pairs_that_are_known_are_not_found_again(monkeypatch) -> None:
    ldr = photographed(scene(), TIMES, camera())
    found = estimate_response(ldr, TIMES)
    pairs = find_pairs(ldr, TIMES, None)
    monkeypatch.setattr("apnt.prepare.estimate.find_pairs", None)  # a call would fail
    again = estimate_response(ldr, TIMES, pairs=pairs)
    np.testing.assert_array_equal(again.response.table, found.response.table)
    assert again.pairs == found.pairs


def test_grey_stays_grey_where_a_channel_clips_late() -> None:
    alike = np.stack([LEVELS**p for p in (1.0, 1.02, 0.98)])
    assert balanced(alike) == pytest.approx(alike, abs=2e-3)
    odd = alike.copy()
    odd[0, :248] *= 0.6  # red comes to half of its light in the last levels
    odd[0, 247:] = np.linspace(odd[0, 247], 1, 9)
    bent = balanced(odd)
    assert (np.diff(bent, axis=1) > 0).all()
    assert bent[:, -1].tolist() == [1, 1, 1]
    assert np.abs(np.log(bent[0, 128] / bent[1, 128])) < 0.03
    # Ratios of light within a channel stay.
    assert bent[0, 200] / bent[0, 50] == pytest.approx(odd[0, 200] / odd[0, 50])


@pytest.mark.parametrize(
    ("ldr", "times", "message"),
    [
        (np.zeros((1, 32, 32, 3), np.float32), [1.0], "ldr must have shape .* N from 2 to 15"),
        (np.zeros((2, 32, 32), np.float32), [1.0, 2.0], "ldr must have shape"),
        (np.zeros((2, 32, 32, 3), np.uint8), [1.0, 2.0], "ldr must be float"),
        (np.full((2, 32, 32, 3), 2.0, np.float32), [1.0, 2.0], "ldr must lie in .0, 1., got 2 to 2"),
        (np.zeros((2, 32, 32, 3), np.float32), [1.0], r"times must have shape \(2,\)"),
        (np.zeros((2, 32, 32, 3), np.float32), [2.0, 1.0], "times must be above 0 and ascend, got 2, 1"),
        (np.zeros((2, 32, 32, 3), np.float32), [0.0, 1.0], "times must be above 0"),
    ],
)
def test_input_that_cannot_be(ldr: np.ndarray, times: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        estimate_response(ldr, np.array(times))


def test_masks_and_errors_that_cannot_be() -> None:
    ldr, times = np.zeros((2, 32, 32, 3), np.float32), np.array([1.0, 4.0])
    with pytest.raises(InputError, match="valid must be bool of shape"):
        estimate_response(ldr, times, np.ones((2, 32, 31), bool))
    with pytest.raises(InputError, match="exposure_error must be above 0 and below 1, got 0"):
        estimate_response(ldr, times, exposure_error=0)


def test_brackets_of_val_v1_are_gamma_22() -> None:
    named = Path(os.environ.get("APNT_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (named / "hdr" / "val").is_dir():
        pytest.skip(f"the radiance maps of val-v1 are not in {named}")
    for bracket in islice(val_v1(named), 6):
        estimate = estimate_response(bracket.ldr, bracket.times)
        assert estimate.response.name == "gamma22", bracket.name
        assert (estimate.gains == 1).all(), bracket.name
