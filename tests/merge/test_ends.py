"""Where a camera's channels end, and what the merge makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from apnt.bracket import Bracket
from apnt.merge.ends import FULL, SUDDEN, channel_ends
from apnt.merge.merge import merge
from apnt.merge.noise import estimate_noise
from apnt.merge.still import still_map
from apnt.merge.three_frames import choose

STOPS = np.arange(7.0)
END = 0.6  # of a frame's range, at which this camera's red is white
PALER = (0.0, 0.1, 0.5)  # stops that red, green and blue gain where red is saturated


def warm(height: int = 96, width: int = 256) -> np.ndarray:
    """Orange light from 0.01 to 60 in the longest frame's range: red is 3 of green, 4 of blue."""
    light = np.geomspace(0.01, 60, width)[None, :, None] * np.array([1, 0.3, 0.25])
    return np.repeat(light, height, axis=0).astype(np.float32)


def shoot(
    light: np.ndarray, end: float = FULL, paler: tuple[float, ...] = (0.0, 0.0, 0.0), moved: int = -1
) -> Bracket:
    """Seven frames; in that of ``moved`` an object of a third of the light lies in the middle."""
    times = 2.0**STOPS
    rng = np.random.default_rng(4)
    frames = []
    for k, time in enumerate(times):
        seen = light * np.float32(time / times[-1])
        if k == moved:
            seen[30:60, 150:180] *= 0.33
        full = seen[..., 0] >= end
        seen[..., 0] = np.where(full, 1, seen[..., 0])
        seen[full] *= np.exp2(np.float32(paler))
        seen = np.clip(seen + rng.normal(0, 1e-3, seen.shape), 0, 1)
        frames.append(seen ** (1 / 2.2))
    return Bracket("warm", np.stack(frames).astype(np.float32), times)


def test_a_camera_whose_channels_end_with_its_curve() -> None:
    ends = channel_ends(shoot(warm()))
    np.testing.assert_allclose(ends.full, SUDDEN.full, rtol=0.03)
    np.testing.assert_array_equal(ends.beside, 0)


def test_red_ends_before_its_curve_and_the_others_are_paler_beside_it() -> None:
    ends = channel_ends(shoot(warm(width=1024), END, PALER))
    assert ends.full[0] == pytest.approx(END, rel=0.1)
    np.testing.assert_allclose(ends.full[1:], FULL)
    # Half as much again: the strongest colours are off by more than most.
    np.testing.assert_allclose(ends.beside, 1.5 * np.asarray(PALER), atol=0.06)


def test_what_moved_is_not_an_end() -> None:
    ends = channel_ends(shoot(warm(), moved=3))
    np.testing.assert_allclose(ends.full, SUDDEN.full, rtol=0.03)


def test_a_saturated_red_comes_from_shorter_frames() -> None:
    """The network takes white red for its light, as the reference does: 0.7 stops too much."""
    light = warm()
    bracket = shoot(light, END, PALER)
    choice = choose(bracket)
    truth = light / np.float32(bracket.times[-1])
    reference = bracket.reference_frame ** np.float32(2.2) / np.float32(bracket.times[bracket.reference])
    wrong = truth.copy()
    full = bracket.reference_frame[..., 0] >= 0.95
    wrong[full] = np.maximum(wrong[full], reference[full])
    columns = np.flatnonzero(full.all(axis=0))
    near = columns[: len(columns) // 5]  # where the reference says more than there is
    assert (wrong / truth)[:, near, 0].max() > 1.5
    made = merge(bracket, wrong, choice, estimate_noise(bracket)).image
    ratio = (made / truth)[10:-10, near[4:]]
    np.testing.assert_allclose(ratio.mean(axis=(0, 1)), 1, atol=0.1)


def test_frames_that_end_differently_do_not_contradict_each_other() -> None:
    bracket = shoot(warm(), END, PALER)
    noise = estimate_noise(bracket)
    assert still_map(bracket, noise).mean() > 0.9
    assert still_map(bracket, noise._replace(ends=SUDDEN)).mean() < 0.5
    moved = shoot(warm(), END, PALER, moved=3)
    assert still_map(moved, estimate_noise(moved))[22, 82] < 0.05
