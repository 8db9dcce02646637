"""Which photographs belong together."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from apnt.batch.find import find_files, look
from apnt.batch.group import group
from apnt.batch.likeness import LIKE, Likeness
from apnt.batch.segments import Moment, cut
from apnt.batch.shots import LeftOut, Shot, look_at
from apnt.benchmarks.batch_folder import make_folder
from apnt.errors import InputError
from apnt.io.taken import exif_time, read_taken

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "brackets"


def ranges(*moments: tuple[float, float]) -> list[int]:
    """Lengths of what a run of (stops, gap) is cut into."""
    return [len(part) for part in cut([Moment(stops, gap) for stops, gap in moments])]


def test_exposures_that_repeat_begin_a_new_bracket() -> None:
    assert ranges((0, 9), (-2, 0.3), (2, 0.3), (0, 0.3), (-2, 0.3), (2, 0.3)) == [3, 3]


def test_a_pause_parts_brackets_whose_exposures_differ() -> None:
    assert ranges((-1, 9), (0, 0.3), (1, 0.3), (-2, 6), (2, 0.3)) == [3, 2]
    assert ranges((-1, 9), (0, 0.3), (1, 0.3), (-2, 0.3), (2, 0.3)) == [5]


def test_a_test_shot_stays_alone() -> None:
    assert ranges((0, 90), (-2, 6), (0, 0.3), (2, 0.3)) == [1, 3]


def test_a_burst_stays_alone() -> None:
    assert ranges((0, 9), (0, 0.1), (0, 0.1), (0, 0.1)) == [1, 1, 1, 1]


def test_a_bracket_set_by_hand_is_one() -> None:
    assert ranges((-2, 90), (0, 12), (2, 9), (4, 15)) == [4]


def test_two_frames_minutes_apart_are_none() -> None:
    assert ranges((-2, 90), (0, 300)) == [1, 1]


def test_the_camera_says_what_it_brackets() -> None:
    said = [Moment(2, 90, False), Moment(0, 1.2, True), Moment(-1, 0.3, True), Moment(1, 0.3, True)]
    assert [len(part) for part in cut(said)] == [1, 3]


def test_no_more_stops_and_frames_than_are_fused() -> None:
    lengths = ranges(*((float(n) / 2, 0.3) for n in range(17)))
    assert sum(lengths) == 17
    assert len(lengths) == 2
    assert max(lengths) <= 15
    assert ranges((0, 9), (13, 0.3)) == [1, 1]


def test_without_clocks_exposures_alone_decide() -> None:
    gap = float("nan")
    assert ranges((0, gap), (-2, gap), (2, gap), (0, gap), (-2, gap), (2, gap)) == [3, 3]


@pytest.fixture(scope="module")
def scenes() -> list[np.ndarray]:
    """Two scenes of light, (32, 48)."""
    rng = np.random.default_rng(0)
    return [np.exp2(1.5 * rng.standard_normal((32, 48)) - 2).astype(np.float32) for _ in range(2)]


def test_likeness_does_not_mind_exposure_and_curve(scenes: list[np.ndarray]) -> None:
    first, second = scenes
    pictures = [np.clip(first, 0, 1), np.clip(first * 6, 0, 1) ** 0.45, np.roll(first, 1, 0), second]
    alike = Likeness([np.clip(picture, 0, 1) for picture in pictures]).of(0, [1, 2, 3])
    assert alike[0] > LIKE
    assert alike[1] > 0.8
    assert alike[2] < LIKE / 2


def test_likeness_of_black_and_white_is_not_known(scenes: list[np.ndarray]) -> None:
    alike = Likeness([np.clip(scenes[0], 0, 1), np.zeros((32, 48)), np.ones((32, 48))]).of(0, [1, 2])
    assert np.isnan(alike).all()


def test_a_folder_of_a_day(tmp_path: Path) -> None:
    truth = make_folder(tmp_path, brackets=30, files=110, seed=1)
    shots, left_out = look(find_files([tmp_path]), lambda name: None)
    brackets, alone = group(shots)
    assert [[shot.path.name for shot in bracket] for bracket in brackets if len(bracket) < 2] == []
    found = {tuple(shot.path.name for shot in bracket) for bracket in brackets}
    assert found == {tuple(bracket) for bracket in truth.brackets}
    reasons = {entry.path.name: entry.reason for entry in [*left_out, *alone]}
    assert set(reasons) == set(truth.others)
    for name, words in truth.others.items():
        assert any(word in reasons[name] for word in words.split("|")), (name, reasons[name])


REAL = {
    "villa": 3, "stack_ghost": 3, "stained_glass": 7, "night_arch": 4, "phone_library": 3, "phone_cat": 11,
    "merianos_old_house": 3, "kalantari_002": 3,
}  # fmt: skip


def test_real_brackets_in_one_heap() -> None:
    if not DATA.is_dir():
        pytest.skip("the real brackets are not here")
    files = [path for name in REAL for path in sorted((DATA / name).iterdir()) if path.suffix != ".json"]
    brackets, _ = group(look(files, lambda name: None)[0])
    found = {bracket[0].path.parent.name: {shot.path.parent.name for shot in bracket} for bracket in brackets}
    assert found == {name: {name} for name in REAL}
    counts = {bracket[0].path.parent.name: len(bracket) for bracket in brackets}
    assert counts == REAL


def test_files_are_found_below_folders_and_by_patterns(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "a/b/10.jpg", "a/b/2.jpg", ".hidden/3.jpg", "a/.4.jpg", "out/5.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")

    def names(*given: str) -> list[str]:
        return [
            str(path.relative_to(tmp_path))
            for path in find_files([tmp_path / name for name in given], tmp_path / "out")
        ]

    assert names(".") == ["a/1.jpg", "a/b/2.jpg", "a/b/10.jpg"]
    assert names("a/b/*.jpg", "a/1.jpg", "a") == ["a/b/2.jpg", "a/b/10.jpg", "a/1.jpg"]
    with pytest.raises(InputError, match=r"folders must exist, and .*none does not"):
        names("none")


def test_a_file_is_a_photograph_or_has_a_reason(tmp_path: Path) -> None:
    truth = make_folder(tmp_path, brackets=1, files=0)
    good = tmp_path / truth.brackets[0][0]
    shot = look_at(good)
    assert isinstance(shot, Shot)
    assert shot.size == (96, 144)
    assert shot.small.shape == (32, 48)
    for cut_at, words in ((0, "is empty"), (100, "is truncated"), (-2000, "is truncated")):
        (tmp_path / "cut.jpg").write_bytes(good.read_bytes()[:cut_at])
        found = look_at(tmp_path / "cut.jpg")
        assert isinstance(found, LeftOut)
        assert words in found.reason


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    """Which would wait for who writes into it."""
    os.mkfifo(tmp_path / "pipe.jpg")
    assert look_at(tmp_path / "pipe.jpg") == LeftOut(
        tmp_path / "pipe.jpg", "must be a file, and it is a pipe: copy its content to a file"
    )


def test_times_come_with_decimals(tmp_path: Path) -> None:
    assert exif_time(1.5) == {0x9003: "1970:01:01 00:00:01", 0x9291: "500"}
    truth = make_folder(tmp_path, brackets=3, files=0, seed=3)
    times = [read_taken(tmp_path / name).time for bracket in truth.brackets for name in bracket]
    assert all(time is not None and time > 1.7e9 for time in times)
    assert any(time is not None and time % 1 for time in times)
