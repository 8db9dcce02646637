"""The reference of a dark bracket, and the mood of files whose white is below 255."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from apnt.outputs import Moment, Picture
from apnt.prepare.options import Options
from apnt.prepare.pipeline import prepare


@pytest.fixture
def stage(tmp_path: Path) -> tuple[np.ndarray, list[Path]]:
    """A dark stage, (96, 128, 3) light, and files of 1, 4 and 16 times the exposure, none burnt out."""
    rng = np.random.default_rng(0)
    light = 0.002 * np.exp(cv2.GaussianBlur(rng.standard_normal((96, 128, 3)), (0, 0), 5) * 8)
    light = np.clip(light, 0, 0.02).astype(np.float32)
    paths = []
    for k in range(3):
        frame = np.clip(light * 4**k + rng.normal(0, 2e-4, light.shape), 0, 1) ** (1 / 2.2)
        paths.append(tmp_path / f"{k}.png")
        cv2.imwrite(str(paths[-1]), np.round(frame[..., ::-1] * 255).astype(np.uint8))
    return light, paths


def test_its_moment_is_that_of_the_middle_frame(stage: tuple[np.ndarray, list[Path]]) -> None:
    """However dark that is, and however much less noise the longest has."""
    prepared = prepare(stage[1], stops=[0, 2, 4], options=Options(curve="gamma22"))
    assert prepared.report.reference == 1
    assert prepared.white is None
    (note,) = (note for note in prepared.report.corrections if "dark throughout" in note)
    assert note.startswith("1.png, whose moment the result shows, is dark throughout: 2.png as the reference")
    named = prepare(stage[1], stops=[0, 2, 4], options=Options(curve="gamma22", reference=1))
    assert not any("dark throughout" in note for note in named.report.corrections)


def test_its_curve_is_read_off_the_longest_frame_too(stage: tuple[np.ndarray, list[Path]]) -> None:
    for given in (Options(curve="gamma22"), Options(curve="srgb")):
        prepared = prepare(stage[1], stops=[0, 2, 4], options=given)
        assert prepared.longer is not None
        photo, stops = prepared.longer
        assert stops == pytest.approx(2)
        written = cv2.imread(str(stage[1][2]))[..., ::-1] / 255
        assert np.abs(photo - written).max() < 1 / 255  # as its camera shows it, whatever the curve is
    other = prepare(stage[1], stops=[0, 2, 4], options=Options(curve="gamma22", reference=2))
    assert other.longer is None


def test_a_picture_follows_a_file_that_is_white_below_its_largest_sample(
    stage: tuple[np.ndarray, list[Path]], tmp_path: Path
) -> None:
    light, _ = stage
    frame = np.clip(light * 80, 0, 1) ** (1 / 2.2)  # burnt out in parts
    for white in (255, 200):
        cv2.imwrite(str(tmp_path / f"{white}.png"), np.round(frame[..., ::-1] * white).astype(np.uint8))
    shown = Picture(Path("picture.jpg"))
    plain, scaled = (
        shown.draw(light, Moment(tmp_path / f"{white}.png", white), display=False).picture
        for white in (255, 200)
    )
    assert np.abs(plain - scaled).max() < 0.03
