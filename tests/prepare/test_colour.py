"""A frame of other colours, or none, among the others; and frames that have no common curve."""

from __future__ import annotations

import numpy as np
import pytest

from apnt.prepare.colour import paler
from apnt.prepare.pipeline import Options, prepare

STOPS = (0, 2, 4)
LUMA = np.array([0.3, 0.59, 0.11])


def light(colour: float = 1.0) -> np.ndarray:
    """(192, 256, 3): patches of many colours, each with a little texture."""
    rng = np.random.default_rng(5)
    colours = 2 ** (rng.uniform(-7, -1, (12, 16, 1)) + colour * rng.uniform(-0.7, 0.7, (12, 16, 3)))
    texture = 2 ** rng.normal(0, 0.02, (192, 256, 1))
    return colours.repeat(16, axis=0).repeat(16, axis=1) * texture


def frames(colour: float = 1.0) -> list[np.ndarray]:
    return [np.clip(light(colour) * 2.0**stop, 0, 1) ** (1 / 2.2) for stop in STOPS]


def coded(values: list[np.ndarray]) -> list[np.ndarray]:
    return [np.round(255 * np.clip(v, 0, 1)).astype(np.uint8) for v in values]


def toned(values: np.ndarray, saturation: float) -> np.ndarray:
    grey = (values @ LUMA)[..., None]
    return grey + saturation * (values - grey)


@pytest.mark.parametrize("saturation", [0.0, 0.4])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_frame_without_colour_is_named(which: int, saturation: float) -> None:
    own = frames()
    own[which] = toned(own[which], saturation)
    found = prepare(coded(own), stops=STOPS, options=Options(align="off"))
    said = [doubt for doubt in found.report.warnings if "half of the colour" in doubt]
    assert [doubt.split(" shows")[0] for doubt in said] == [f"images[{which}]"]


def test_a_sepia_frame_is_named() -> None:
    own = frames()
    own[1] = toned(own[1], 0.0) * [1, 0.9, 0.75]
    found = prepare(coded(own), stops=STOPS, options=Options(align="off"))
    assert any(doubt.startswith("images[1] shows less than half") for doubt in found.report.warnings)


@pytest.mark.parametrize("gains", [(1, 1, 1), (1.2, 1, 0.8)])
@pytest.mark.parametrize("colour", [0.0, 0.05, 1.0])
def test_frames_of_one_rendering_are_alike(colour: float, gains: tuple[float, ...]) -> None:
    # Of little colour, too, and of a white balance that changes; with noise.
    rng = np.random.default_rng(0)
    own = [np.clip(frame * np.array(gains) ** (k == 0), 0, 1) for k, frame in enumerate(frames(colour))]
    noisy = [np.clip(frame + rng.normal(0, 0.01, frame.shape), 0, 1).astype(np.float32) for frame in own]
    assert paler(np.stack(noisy)) == {}


def test_frames_without_a_common_curve_are_doubted() -> None:
    own = frames(0.0)
    own[1] = 1 / (1 + np.exp(-9 * (own[1] - 0.6)))
    found = prepare(coded(own), stops=STOPS, options=Options(align="off"))
    assert any(
        "agree with any one curve" in doubt
        or "agree with one curve" in doubt
        or "do not fit each other" in doubt
        for doubt in found.report.warnings
    ), found.report
    assert not any("expected to be right" in note for note in found.report.corrections)
