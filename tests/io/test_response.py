"""Frames with a camera's tone curve are brought to one curve; frames without one are left alone."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from apnt.bracket import Bracket
from apnt.data.synthetic import SensorNoise, expose
from apnt.io.response import match_tone, tone_ratio


def contrast(value: np.ndarray) -> np.ndarray:
    """A camera's S-curve on display-referred values: darker shadows, brighter highlights."""
    return (0.35 * value + 0.65 * value**2 * (3 - 2 * value)).astype(np.float32)


@pytest.fixture(scope="module")
def frames() -> Bracket:
    """Smooth areas with edges between, a camera that moves between the frames, a little noise."""
    rng = np.random.default_rng(0)
    canvas = np.kron(rng.lognormal(-2.5, 1.0, (13, 17, 3)), np.ones((32, 32, 1))).astype(np.float32)
    canvas *= cv2.resize(rng.uniform(0.7, 1.3, (6, 8, 3)).astype(np.float32), canvas.shape[1::-1])
    times, starts = np.array([1.0, 4.0, 16.0]), ((3, 12), (8, 8), (14, 5))
    ldr = [
        expose(canvas[y : y + 384, x : x + 512], float(t), SensorNoise(1e-4, 1e-3), 8, rng)
        for t, (y, x) in zip(times, starts, strict=True)
    ]
    return Bracket("frames", np.stack(ldr), times)


def test_frames_that_agree_are_returned_as_they_are(frames: Bracket) -> None:
    same, adjusted = match_tone(frames)
    assert adjusted == 0
    assert same.ldr is frames.ldr


def test_a_tone_curve_is_found_and_undone(frames: Bracket) -> None:
    bent = replace(frames, ldr=contrast(frames.ldr))
    before = bent.ldr.copy()
    adjusted, amount = match_tone(bent)
    assert amount > 0.1
    assert np.array_equal(bent.ldr, before)  # the input is not changed
    assert np.array_equal(adjusted.ldr[1], bent.ldr[1])
    for k in (0, 2):
        wrong, left = (np.abs(np.log(tone_ratio(f, k)[1])) for f in (bent, adjusted))
        assert wrong.max() > 0.15
        assert left.max() < 0.05
    assert adjusted.ldr.min() >= 0
    assert adjusted.ldr.max() <= 1
    assert (adjusted.ldr[2][bent.ldr[2] >= 1] == 1).all()  # what is saturated stays so


def test_order_of_values_is_kept(frames: Bracket) -> None:
    bent = replace(frames, ldr=contrast(frames.ldr))
    adjusted, _ = match_tone(bent)
    order = np.argsort(bent.ldr[0], axis=None)
    assert (np.diff(adjusted.ldr[0].ravel()[order]) >= 0).all()


def test_frames_with_nothing_in_common_are_left_alone() -> None:
    rng = np.random.default_rng(0)
    frames = Bracket("frames", rng.random((3, 64, 64, 3), dtype=np.float32), np.array([1.0, 4.0, 16.0]))
    same, adjusted = match_tone(frames)
    assert adjusted == 0
    assert same.ldr is frames.ldr


@pytest.mark.parametrize("size", [(16, 16), (17, 200), (3, 5)])
def test_tiny_frames(size: tuple[int, int]) -> None:
    frames = Bracket("frames", np.full((3, *size, 3), 0.5, np.float32), np.array([1.0, 4.0, 16.0]))
    assert match_tone(frames)[1] == 0
