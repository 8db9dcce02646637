"""Merging many frames with the network's result: less noise, no ghosts, no light that nobody saw."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest

from apnt import budget, scratch
from apnt._fuse import fuse_bracket
from apnt.bracket import Bracket
from apnt.data.synthetic import SensorNoise, expose
from apnt.errors import InputError
from apnt.merge.blown import raise_blown
from apnt.merge.merge import Merged, merge, tile_bytes
from apnt.merge.noise import estimate_noise
from apnt.merge.shares import beyond_search
from apnt.merge.three_frames import choose
from apnt.methods import Method, load_method
from apnt.metrics import psnr_mu

NOISE = SensorNoise(shot=2e-4, read=1e-3)
SEVEN = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def scene(height: int = 128, width: int = 160, seed: int = 3) -> np.ndarray:
    """Smooth radiance of structure at several scales: a part saturates the middle frame, half is dark."""
    rng = np.random.default_rng(seed)
    noise = np.zeros((height, width, 3), np.float32)
    for sigma in (4, 12, 32):
        layer = cv2.GaussianBlur(rng.standard_normal(noise.shape).astype(np.float32), (0, 0), sigma)
        noise += layer / layer.std()
    return np.clip(0.02 * np.exp(noise), 0, 1).astype(np.float32)


def shoot(frames: list[np.ndarray], stops: list[float], reference: int = -1, seed: int = 0) -> Bracket:
    rng = np.random.default_rng(seed)
    times = 2.0 ** (np.array(stops) - stops[0])
    ldr = np.stack([expose(f, float(t), NOISE, 8, rng) for f, t in zip(frames, times, strict=True)])
    bracket = Bracket("scene", ldr, times, reference=reference)
    truth = np.clip(frames[bracket.reference], 0, 1)
    return Bracket("scene", ldr, times, truth, reference=bracket.reference)


def merged(bracket: Bracket, image: np.ndarray | None = None) -> Merged:
    assert bracket.truth is not None
    result = bracket.truth if image is None else image
    return merge(bracket, result, choose(bracket), estimate_noise(bracket))


def test_a_tile_takes_what_is_planned_for_it() -> None:
    """NumPy's arrays alone, which are most of it; OpenCV's are not seen."""
    bracket = shoot([scene(256, 512)] * 7, SEVEN, reference=3)
    assert bracket.truth is not None
    tracemalloc.start()
    merged(bracket)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    planned = tile_bytes(bracket.size)
    assert 0.6 * planned < taken < planned


def test_a_budget_that_no_tile_fits_into_is_refused_before_the_network() -> None:
    def network(_: Bracket) -> np.ndarray:
        raise AssertionError("the network has been called")

    bracket = shoot([scene(256, 512)] * 7, SEVEN, reference=3)
    method = Method("stub", network, {}, frames=3)
    taken = budget.resident() + scratch.HELD_AT_MOST
    with (
        scratch.within(taken),
        pytest.raises(InputError, match=r"memory must be at least .*: raise it"),
    ):
        fuse_bracket(bracket, method)
    with scratch.within(taken + 1_000_000_000), pytest.raises(AssertionError, match="network"):
        fuse_bracket(bracket, method)
    with scratch.within(taken), pytest.raises(AssertionError, match="network"):  # three need no merging
        fuse_bracket(shoot([scene(256, 512)] * 3, [0.0, 2.0, 4.0], reference=1), method)


@pytest.mark.parametrize("noise", [NOISE, SensorNoise(1e-3, 3e-3)])
def test_noise_is_found(noise: SensorNoise) -> None:
    rng = np.random.default_rng(1)
    times = 2.0 ** np.arange(5)
    light = scene(192, 256)
    ldr = np.stack([expose(light, float(t), noise, 8, rng) for t in times])
    found = estimate_noise(Bracket("scene", ldr, times))
    assert found.shot == pytest.approx(noise.shot, rel=0.15)
    assert found.read == pytest.approx(noise.read, rel=0.4)
    assert found.systematic(np.float32(0.1)) < 0.005


def test_a_frame_that_is_off_as_a_whole_is_no_noise() -> None:
    bracket = shoot([scene()] * 5, SEVEN[:5])
    bracket.ldr[1] *= 1.02 ** (1 / 2.2)
    found = estimate_noise(bracket)
    assert found.shot == pytest.approx(NOISE.shot, rel=0.25)


def test_more_frames_less_noise() -> None:
    light = scene()
    seven = shoot([light] * 7, SEVEN)
    three = Bracket("three", seven.ldr[1:6:2], seven.times[1:6:2] / 2, seven.truth)
    dark = light.max(axis=-1) < 0.02
    few = load_method("weighted").fuse(three) / 2
    many = merged(seven, few).image
    assert psnr_mu(many, light, dark) > psnr_mu(few, light, dark) + 1.5
    assert psnr_mu(many, light) > psnr_mu(few, light) + 1.5


def test_it_is_unbiased_up_to_the_saturation_of_every_frame() -> None:
    light = np.broadcast_to(
        2.0 ** np.linspace(-7, -0.2, 480, dtype=np.float32)[None, :, None], (64, 480, 3)
    ).copy()
    bracket = shoot([light] * 7, SEVEN)
    bias = np.abs(merged(bracket).image.mean(axis=(0, 2)) / light[0, :, 0] - 1)
    assert bias.max() < 0.015


def test_light_that_one_frame_alone_shows_is_that_frames() -> None:
    """However dark the rest is, the network, whose frames are all saturated, does not count."""
    stops = [0.0, 3.0, 6.0, 9.0]
    lit, results = np.full((64, 64, 3), 0.6, np.float32), []
    for dark in (1e-4, 0.05):
        light = np.full((64, 160, 3), dark, np.float32)
        light[:, :64] = lit
        bracket = shoot([light] * 4, stops, reference=2)
        assert choose(bracket).support == (0,)
        clipped = np.minimum(light, np.float32(2.0**-3))  # what the network's short frame can hold
        results.append(merged(bracket, clipped).image[:, :48])
        assert results[-1].mean() == pytest.approx(0.6, rel=0.01)
    np.testing.assert_allclose(*results, rtol=1e-5)


def test_a_moving_thing_leaves_no_ghost() -> None:
    still = np.full((128, 160, 3), 0.02, np.float32)
    frames = []
    for k in range(7):
        frame = still.copy()
        frame[40:72, 10 + 16 * k : 42 + 16 * k] *= 0.5
        frames.append(frame)
    bracket = shoot(frames, SEVEN)
    error = merged(bracket).image / frames[3] - 1
    # A ghost of a frame would be off by a half or all of the light.
    assert np.abs(cv2.blur(error, (5, 5))).max() < 0.08


def test_a_lamp_that_moves_through_the_saturated_sky_is_the_networks() -> None:
    sky = np.full((160, 240, 3), 0.3, np.float32)
    sky[:, 150:] = 0.01
    frames = []
    for k in range(5):
        frame = sky.copy()
        # Dark enough beside the sky to be seen moving, bright enough to saturate the reference.
        frame[60:100, 20 + 20 * k : 60 + 20 * k] = 0.9
        frames.append(frame)
    bracket = shoot(frames, [0.0, 1.0, 3.0, 4.0, 5.0], reference=2)
    error = np.abs(merged(bracket).image - frames[2])
    assert np.quantile(error, 0.99) < 0.05


def test_wide_spacing_is_merged_where_the_network_fails() -> None:
    light = scene()
    bracket = shoot([light] * 3, [0.0, 4.0, 8.0])
    wrong = light.copy()
    dark = light.max(axis=-1) < 0.01
    rng = np.random.default_rng(5)
    blocks = np.kron(rng.random((16, 20)) < 0.2, np.ones((8, 8), bool)) & dark
    wrong[blocks] = 0
    assert psnr_mu(merged(bracket, wrong).image, light, blocks) > psnr_mu(wrong, light, blocks) + 15


def test_invalid_pixels_are_never_used() -> None:
    light = scene()
    bracket = shoot([light] * 5, SEVEN[:5])
    valid = np.ones(bracket.ldr.shape[:3], bool)
    valid[[0, 1, 3, 4], 30:60, 40:90] = False
    holed = Bracket("holes", bracket.ldr.copy(), bracket.times, bracket.truth, valid=valid)
    rng = np.random.default_rng(2)
    holed.ldr[~valid] = rng.random((int((~valid).sum()), 3))
    inside = np.s_[36:54, 46:84]
    found = merged(holed)
    assert found.frames[inside].max() == 1
    assert np.abs(found.image[inside] - light[inside]).max() < 0.03


def test_strips_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    bracket = shoot([scene()] * 5, SEVEN[:5])
    whole = merged(bracket).image
    monkeypatch.setattr("apnt.merge.merge._ROWS", 48)
    monkeypatch.setattr("apnt.merge.merge._COLUMNS", 80)
    monkeypatch.setattr("apnt.merge.still._ROWS", 24)
    monkeypatch.setattr("apnt.merge.still._PIXELS", 1)
    np.testing.assert_allclose(merged(bracket).image, whole, rtol=2e-4, atol=1e-6)


def test_blown_spots_are_at_least_one() -> None:
    light = scene()
    light[40:60, 50:80] = 3.0
    bracket = shoot([light] * 3, [0.0, 2.0, 4.0])
    low = np.minimum(light, 0.63)
    raised = raise_blown(low, bracket)
    assert raised[bracket.ldr[0] >= 1].min() == 1
    dim = bracket.ldr[0] < 0.95
    np.testing.assert_array_equal(raised[dim], low[dim])


def test_a_blown_spot_that_moved_is_left_alone() -> None:
    frames = []
    for x in (50, 62, 74):
        frame = np.full((128, 192, 3), 0.05, np.float32)
        frame[40:60, x : x + 30] = 3.0
        frames.append(frame)
    bracket = shoot(frames, [0.0, 2.0, 4.0])
    low = np.full_like(frames[1], 0.5)
    np.testing.assert_array_equal(raise_blown(low, bracket), low)


@pytest.mark.parametrize("reference", [0, 1])
def test_two_frames_come_out_on_the_scale_of_the_shortest(reference: int) -> None:
    light = scene()
    bracket = shoot([light] * 2, [0.0, 2.0], reference)
    method = Method("weighted", load_method("weighted").fuse, frames=3)
    fused = fuse_bracket(bracket, method)
    assert psnr_mu(fused.image, light) > psnr_mu(np.clip(bracket.radiance[reference], 0, 1), light)
    assert fused.image.max() <= 1
    bright = light > 0.5
    assert fused.image[bright] == pytest.approx(light[bright], rel=0.15)


def test_shares_tell_what_nobody_saw() -> None:
    light = scene()
    light[:64, :80] = 4.0
    bracket = shoot([light] * 5, SEVEN[:5])
    method = Method("medium", load_method("medium").fuse, frames=3)
    shares = fuse_bracket(bracket, method).shares
    assert shares["saturated"] == pytest.approx(0.25, abs=0.03)
    assert shares["invalid"] == 0
    assert 0.05 < shares["support"] < 1
    assert "beyond_search" not in shares


def test_a_match_at_the_edge_of_the_search_is_beyond_it() -> None:
    light = np.full((64, 64, 3), 0.02, np.float32)
    light[:, 32:] = 0.1
    three = shoot([light] * 3, [0.0, 2.0, 4.0])
    offset = np.zeros((64, 64, 2), int)
    offset[10:20, 10:20, 1] = 30  # lands in the bright half
    far = beyond_search(three, offset, reach=30)
    assert far[10:20, 10:20].mean() > 0.9
    assert far.sum() == far[10:20, 10:20].sum()
    assert not beyond_search(three, offset, reach=54).any()


def test_weighted_takes_any_number() -> None:
    light = scene()
    for stops in ([0.0, 3.0], SEVEN, [0.0, 2.0, 4.0, 6.0]):
        times = 2.0 ** np.array(stops)
        ldr = np.clip(light * times[:, None, None, None].astype(np.float32), 0, 1) ** np.float32(1 / 2.2)
        np.testing.assert_allclose(load_method("weighted").fuse(Bracket("b", ldr, times)), light, atol=1e-5)


@pytest.mark.parametrize(("brightest", "merges"), [(0.9, False), (0.1, True)])
def test_three_frames_of_a_dark_reference_are_merged(brightest: float, merges: bool) -> None:
    light = np.minimum(scene() * 4, 1) * np.float32(brightest / 4)
    bracket = shoot([light] * 3, [0.0, 2.0, 4.0])
    medium = bracket.reference_frame**2.2 / bracket.times[1]
    copied = Method("copied", lambda given: medium.copy(), frames=3)
    found = fuse_bracket(bracket, copied).image
    error, before = (float(np.std(np.log((x + 1e-4) / (light + 1e-4)))) for x in (found, medium))
    # The method's result has the medium frame's noise, and counts for two thirds.
    assert error < 0.8 * before if merges else error == before
