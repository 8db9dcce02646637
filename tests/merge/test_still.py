"""Where a bracket shows nothing that moved."""

from __future__ import annotations

import numpy as np
import pytest

from apnt.bracket import Bracket
from apnt.merge.ends import SUDDEN
from apnt.merge.noise import USUAL, FrameNoise
from apnt.merge.still import still_map

NOISE = FrameNoise(*USUAL, np.array([0.0, 1.0]), np.zeros(2), SUDDEN)


def shoot(frames: list[np.ndarray], stops: list[float], reference: int, black: float = 0.0) -> Bracket:
    """Frames of these radiances, 1 = saturation of the first; what is near black becomes lighter, as grey."""
    times = 2.0 ** (np.array(stops) - stops[0])
    ldr = []
    for light, time in zip(frames, times, strict=True):
        seen = np.clip(light * time, 0, 1)
        lifted = np.maximum(seen, seen.mean(axis=-1, keepdims=True) + np.float32(black))
        ldr.append(np.where(seen < black, lifted, seen) ** (1 / 2.2))
    return Bracket("scene", np.stack(ldr).astype(np.float32), times, reference=reference)


def plain(red: float = 0.004) -> np.ndarray:
    light = np.empty((128, 256, 3), np.float32)
    light[:] = red, 0.6 * red, 0.25 * red
    return light


def test_frames_next_to_black_tell_no_motion() -> None:
    """The first has no colours there, and the reference is saturated."""
    stops = [0.0, 4.0, 8.0, 9.0]
    assert still_map(shoot([plain()] * 4, stops, 2, black=0.004), NOISE).min() == 1
    # Nor does it hide what is darker than a saturated frame says: in the second, well exposed.
    moved = plain()
    moved[40:80, 60:120] *= 0.3
    still = still_map(shoot([plain(), moved, plain(), plain()], [0.0, 5.0, 9.0, 10.0], 2), NOISE)
    assert still[30, 45] == 0


@pytest.mark.parametrize("known", [2, 3])
def test_three_frames_that_show_the_same_show_that_nothing_moved(known: int) -> None:
    """Near to a thing that moves, where the reference is saturated; not two, of which a lamp may move."""
    frames = []
    for k in range(known + 1):
        frame = plain(0.2)
        frame[50:70, 150 - 12 * k : 170 - 12 * k] *= 0.2
        frames.append(frame)
    bracket = shoot(frames, [0.5 * k for k in range(known)] + [6.0], known)
    found = still_map(bracket, NOISE)
    beside = found[30, 100]  # 30 pixels from where it was
    assert beside == 1 if known == 3 else beside < 0.1
    assert found[30, 78] == 0  # where it was
