"""What is doubtful is said in full; what was not recorded is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from apnt.errors import InputError
from apnt.prepare.pipeline import Options, prepare
from apnt.prepare.report import Report


def test_strict_names_every_doubt() -> None:
    report = Report("stops", [0, 2], warnings=["One thing.", "Another thing."])
    with pytest.raises(InputError, match=r"^strict refuses what is doubtful: One thing\. Another thing\.$"):
        report.refuse_doubts()
    Report("stops", [0, 2]).refuse_doubts()


def test_strict_names_both_doubts_of_a_bracket(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    light = 0.02 * 2 ** rng.uniform(-2, 2, (16, 20, 1)).repeat(3, axis=2).repeat(8, axis=0).repeat(8, axis=1)
    paths = []
    for stop in (0, 2, 4):
        value = np.round(255 * np.clip(light * 2.0**stop, 0, 1) ** (1 / 2.2)).astype(np.uint8)
        frame = np.dstack([value, np.full(value.shape[:2], 255, np.uint8)])
        frame[:16] = 0
        paths.append(tmp_path / f"{stop}.png")
        Image.fromarray(frame).save(paths[-1])
    doubts = prepare(paths, options=Options(align="off")).report.warnings
    assert len(doubts) >= 2
    with pytest.raises(InputError) as error:
        prepare(paths, options=Options(align="off", strict=True))
    for doubt in doubts:
        assert doubt in str(error.value)


def test_what_readers_doubt_is_a_warning(tmp_path: Path) -> None:
    """Dark 16-bit frames, whose depth nothing tells, with a profile that cannot be read."""
    rng = np.random.default_rng(0)
    light = 0.02 * 2 ** rng.uniform(-2, 2, (16, 20, 1)).repeat(3, axis=2).repeat(8, axis=0).repeat(8, axis=1)
    for stop in (0, 2):
        value = np.round(4095 * np.clip(light * 2.0**stop, 0, 0.9) ** (1 / 2.2)).astype(np.uint16)
        tifffile.imwrite(tmp_path / f"{stop}.tif", value, photometric="rgb", iccprofile=b"broken" * 40)
    report = prepare([tmp_path / "0.tif", tmp_path / "2.tif"], stops=[0, 2]).report
    for said in ("the brightest sample is", "0.tif, 2.tif have a colour profile that is broken"):
        assert any(said in warning for warning in report.warnings)
        assert not any(said in note for note in report.corrections)


@pytest.mark.parametrize(
    ("values", "said"),
    [((0, 0, 0), "black alone"), ((255, 255, 255), "white alone"), ((0, 0, 255), "black and white alone")],
)
@pytest.mark.parametrize("trust", [False, True])
def test_a_bracket_that_recorded_nothing_is_refused(values: tuple[int, ...], said: str, trust: bool) -> None:
    frames = [np.full((48, 64, 3), value, np.uint8) for value in values]
    with pytest.raises(InputError, match=f"all frames are {said}: nothing was recorded"):
        prepare(frames, stops=(0, 2, 4), options=Options(trust_exposures=trust))


def test_what_lies_in_a_hole_was_not_recorded() -> None:
    frames = [np.zeros((48, 64, 4), np.uint8) for _ in range(3)]
    for frame in frames:
        frame[..., 3] = 255
        frame[:8] = (120, 120, 120, 0)
    with pytest.raises(InputError, match="all frames are black alone"):
        prepare(frames, stops=(0, 2, 4))


def test_one_frame_that_recorded_something_is_enough() -> None:
    light = np.linspace(0.05, 0.9, 64 * 48 * 3).reshape(48, 64, 3)
    frames = [np.zeros((48, 64, 3), np.uint8), np.round(255 * light).astype(np.uint8)]
    prepare(frames, stops=(0, 6))
