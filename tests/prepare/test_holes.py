"""Where a frame holds no data: filled from the others, said, and doubted where nobody knows the light."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from apnt.bracket import Bracket
from apnt.errors import InputError
from apnt.prepare.holes import doubt_unknown, filled, say_holes
from apnt.prepare.pipeline import Options, prepare
from apnt.prepare.report import Report

STOPS = (0, 2, 4)
KNOWN = Options(curve="gamma22", align="off")
NAMES = ["a.png", "b.png", "c.png"]


def scene() -> np.ndarray:
    """(H, W, 3) light: a dim ramp with texture; the left sixth is what the short frame alone records."""
    x = np.linspace(0, 1, 120)
    patches = np.random.default_rng(0).uniform(0.7, 1.4, (8, 10)).repeat(12, axis=0).repeat(12, axis=1)
    light = 0.01 * 2 ** (2.5 * x) * patches
    light[:, :20] = 0.6 * (0.8 + 0.2 * np.sin(np.arange(20) / 3))
    return np.repeat(light[..., None], 3, axis=2)


def shot(light: np.ndarray, stop: float, hole: slice | None = None) -> np.ndarray:
    """(H, W, 4) uint8 with alpha 0 in the columns of the hole, black there."""
    value = np.round(255 * np.clip(light * 2.0**stop, 0, 1) ** (1 / 2.2)).astype(np.uint8)
    frame = np.dstack([value, np.full(value.shape[:2], 255, np.uint8)])
    if hole is not None:
        frame[:, hole] = 0
    return frame


def reported(holes: dict[int, slice], columns: slice, stops: tuple[float, ...] = STOPS) -> Report:
    frames = [shot(scene(), stop, holes.get(k)) for k, stop in enumerate(stops)]
    prepared = prepare(frames, stops=stops, options=KNOWN)
    shortest = min(set(range(len(stops))) - set(holes))
    known = np.clip(scene()[:, columns] * 2.0 ** stops[shortest], 0, 1) / 2.0 ** stops[shortest]
    seen = prepared.bracket.radiance[0, :, columns]
    # The frame without data shows what the shortest one that has some shows.
    assert np.median(np.abs(np.log2(seen / known))) < 0.03
    return prepared.report


def test_a_hole_that_other_frames_show_is_a_note() -> None:
    report = reported({0: slice(40, 70)}, slice(40, 70))
    (note,) = (text for text in report.corrections if "no data" in text)
    assert note == (
        "Transparent places are no data: images[0] in 25% of the picture; the other frames show them."
    )
    assert report.warnings == []


def test_a_hole_where_the_next_frame_is_white_is_a_warning() -> None:
    report = reported({0: slice(0, 20)}, slice(0, 20))
    assert report.warnings == [
        "In 17% of the picture nobody knows how bright it was: images[0] holds no data there, and images[1] "
        "shows white; the result is that white, and the light was brighter."
    ]


def test_a_hole_of_two_frames() -> None:
    report = reported({0: slice(0, 20), 1: slice(0, 20)}, slice(0, 20))
    (warning,) = report.warnings
    assert "images[0], images[1] hold no data there, and images[2] shows white" in warning


def test_a_hole_of_a_long_frame_loses_no_light() -> None:
    frames = [shot(scene(), stop, slice(0, 20) if stop == 4 else None) for stop in STOPS]
    assert prepare(frames, stops=STOPS, options=KNOWN).report.warnings == []


def test_a_hole_of_all_frames_means_nothing() -> None:
    frames = [shot(scene(), stop, slice(0, 6)) for stop in STOPS]
    (warning,) = prepare(frames, stops=STOPS, options=KNOWN).report.warnings
    assert warning == "No frame holds data in 5.0% of the picture: what is shown there means nothing."


def test_strict_refuses_unknown_light() -> None:
    frames = [shot(scene(), stop, slice(0, 20) if stop == 0 else None) for stop in STOPS]
    with pytest.raises(InputError, match="strict refuses what is doubtful: In 17% of the picture nobody"):
        prepare(frames, stops=STOPS, options=replace(KNOWN, strict=True))


def test_a_narrow_border_is_not_worth_a_warning() -> None:
    ldr = np.full((3, 50, 300, 3), 0.5, np.float32)
    ldr[1] = 1.0
    valid = np.ones((3, 50, 300), bool)
    valid[0, :, 0] = False  # a third of a percent
    bracket = Bracket("border", ldr, np.array([1.0, 4, 16]), valid=valid)
    report = Report("stops", [0, 2, 4])
    doubt_unknown(bracket, NAMES, report)
    assert report.warnings == []
    valid[0, :, :3] = False
    doubt_unknown(bracket, NAMES, report)
    assert len(report.warnings) == 1
    say_holes(bracket, NAMES, report)
    assert "a.png in 1.0% of the picture" in report.corrections[0]
    assert filled(bracket).ldr[0, :, :3].min() == 0.5 or np.allclose(
        filled(bracket).ldr[0, :, :3], 4 ** (-1 / 2.2)
    )
