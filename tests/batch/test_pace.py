"""How long a batch takes: said before it, and counted down during it."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from apnt.batch import pace as paces
from apnt.batch.facts import Facts
from apnt.batch.local import _Told
from apnt.batch.memory import Network, need_of
from apnt.batch.pace import Left, Pace, measure
from apnt.batch.run import Expected, Stage, Task
from apnt.batch.settings import Settings
from apnt.errors import InputError
from apnt.run import Outputs
from tests.batch.test_memory import bracket

SMALL, LARGE = bracket(3, (680, 1020)), bracket(11, (2000, 3000), "large")
PACE = Pace()


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def expecting(pace: Pace | None, workers: int = 1) -> Expected:
    return Expected(need_of([SMALL, LARGE], Network(), 64 * 10**9), pace, workers)


def test_a_plan_names_times_as_people_read_them() -> None:
    """Long brackets are said in minutes, and brackets of unequal length by the least and the most."""
    slow = Facts([SMALL, LARGE], 0, expecting(Pace(3, 3, 3)))
    said = slow.sentences()[1]
    assert re.search(r"about [\d.]+ s to [\d.]+ min a bracket, [\d.]+ min in all$", said)
    assert "e+" not in " ".join(slow.sentences())
    alike = Facts([LARGE, LARGE], 0, expecting(Pace(20, 20, 20)))
    assert re.search(r"about [\d.]+ min a bracket, [\d.]+ h in all$", alike.sentences()[1])
    many = Facts([LARGE] * 40, 0, expecting(PACE))
    assert "440 photographs, 2640 megapixels" in many.sentences()[0]


def test_pixels_and_frames_count_stage_by_stage() -> None:
    small, more, larger = (PACE.of(*what) for what in ((1.0, 3), (1.0, 7), (4.0, 3)))
    assert more["write"] == small["write"]  # one picture, whatever it is made of
    assert more["read"] > 7 / 3 * small["read"]
    assert more["fuse"] == small["fuse"]  # of three frames
    assert more["merge"] > small["merge"] == 0
    assert all(2.5 * small[s] < larger[s] < 5 * small[s] for s in ("read", "fuse", "write"))
    # A network on a GPU takes no time; what merges more than three frames is not on it.
    assert Pace(fuse=0).of(1.0, 7) == {**more, "fuse": 0}


class Fuser:
    """Takes time of a made clock, as a machine does that is so many times as slow as usual."""

    def __init__(self, clock: Clock, slow: Pace, error: type[Exception] | None = None) -> None:
        self.settings = Settings(report=slow.report > 0)
        self.clock, self.slow, self.error = clock, slow, error

    def fuse(self, paths: list[Path], stops: list[float], outputs: Outputs, clock: Any) -> None:
        if self.error is not None:
            raise self.error("no")
        assert all(path.stat().st_size for path in paths)
        assert [path.suffix for path in outputs.files] == [".exr", ".jpg", *[".html"] * self.settings.report]
        width, height = Image.open(paths[0]).size
        for stage, seconds in self.slow.of(height * width / 1e6, len(paths)).items():
            if stage != "merge":
                clock(stage)
            seconds *= paces._HARD if stage == "read" else 1
            self.clock.now += seconds


def test_a_trial_says_how_fast_each_stage_is(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("apnt.run.time", SimpleNamespace(perf_counter=clock))
    slow = Pace(2.0, 5.0, 0.5)
    assert measure(Fuser(clock, Pace(2.0, 5.0, 0.5, 3.0))) == pytest.approx((2.0, 5.0, 0.5, 3.0))  # type: ignore[arg-type]
    begun: list[str] = []
    found = measure(Fuser(clock, slow), begun.append)  # type: ignore[arg-type]
    assert found == pytest.approx(slow)
    assert len(begun) == paces.TRIALS
    assert measure(Fuser(clock, slow, InputError)) is None  # type: ignore[arg-type]


def test_a_report_takes_time_with_frames_and_pixels() -> None:
    with_report = Pace(report=1.0)
    one, more, larger = (with_report.of(*what)["report"] for what in ((1.0, 3), (1.0, 7), (12.0, 3)))
    assert one < more < 2 * one
    assert one < larger < 12 * one  # what is shown is never more than a megapixel
    assert PACE.of(1.0, 3)["report"] == 0
    assert Left([SMALL], with_report).seconds() == pytest.approx(with_report.seconds(SMALL))
    assert with_report.seconds(SMALL) > PACE.seconds(SMALL)


def test_time_left_counts_down_within_a_bracket() -> None:
    clock = Clock()
    left = Left([SMALL, LARGE], PACE, now=clock)
    small, large = PACE.seconds(SMALL), PACE.seconds(LARGE)
    assert left.seconds() == pytest.approx(small + large)
    left.begun(SMALL)
    clock.now = 2.0
    assert left.seconds() == pytest.approx(small + large - 2)
    clock.now = small
    assert left.ended(SMALL) == small
    assert left.seconds() == pytest.approx(large)
    left.begun(LARGE)
    clock.now += large / 2
    assert left.seconds() == pytest.approx(large / 2)
    clock.now += large
    assert left.seconds() is None  # nobody knows
    assert left.sentence() is None


def test_stages_and_tiles_correct_what_is_left() -> None:
    clock = Clock()
    left = Left([LARGE, SMALL], PACE, now=clock)
    small, stages = PACE.seconds(SMALL), PACE.stages(LARGE)
    left.begun(LARGE)
    clock.now = 100.0
    share = left.reached(LARGE, "fuse", 500.0)  # the network's own plan, of this picture
    later = stages["merge"] + stages["write"]
    expected = 500 + later
    assert left.seconds() == pytest.approx(expected + small)
    assert share == pytest.approx(100 / (100 + expected))
    clock.now = 130.0
    assert left.seconds() == pytest.approx(expected + small - 30)
    left.reached(LARGE, "fuse", 300.0)
    assert left.seconds() == pytest.approx(300 + later + small)
    clock.now = 140.0
    left.reached(LARGE, "fuse", done=None)  # says what is done, and nothing of the time
    assert left.seconds() == pytest.approx(290 + later + small)
    left.reached(LARGE, "read", done=0.5)
    assert left.seconds() == pytest.approx(stages["read"] / 2 + stages["fuse"] + later + small)


def test_what_is_done_tells_how_long_the_others_take() -> None:
    """Everything takes twice as long as the trial says: the trial counts for some seconds of work."""
    clock = Clock()
    others = [bracket(3, (2000, 3000), f"b{n}") for n in range(40)]
    left = Left(others, PACE, now=clock)
    each = PACE.seconds(others[0])
    for one in others[:20]:
        left.begun(one)
        clock.now += 2 * each
        left.ended(one)
    assert 0.98 * 40 * each < (left.seconds() or 0) < 40 * each
    # One that fails at once says nothing of the others.
    left.begun(others[20])
    left.ended(others[20], failed=True)
    assert 0.98 * 38 * each < (left.seconds() or 0) < 38 * each


def test_workers_share_what_is_left() -> None:
    """Without a trial nothing is known until a bracket is done, and then what all work at counts."""
    clock = Clock()
    alike = [bracket(3, (680, 1020), f"b{n}") for n in range(8)]
    left = Left(alike, None, 4, clock)
    for one in alike[:4]:
        left.begun(one)
    assert left.seconds() is None
    clock.now = 30.0
    left.ended(alike[0])
    left.begun(alike[4])
    # Three at their end, one at its beginning, three waiting; four workers.
    assert left.seconds() == pytest.approx((30 + 90) / 4)
    clock.now = 40.0
    for one in alike[1:4]:
        left.ended(one)
    left.begun(alike[5])
    assert left.seconds() == pytest.approx((37.5 * 3 + 27.5 - 37.5 * 0) / 4, abs=4)


def test_a_bracket_tells_its_stages_photographs_and_tiles() -> None:
    clock, seen = Clock(), list[Stage]()
    task = Task(SMALL, "", Settings(report=True).outputs(Path(), "a"))
    told = _Told(task, lambda _, stage: seen.append(stage), clock)
    told.stage("read")
    told.read(0, 3)
    told.read(3, 3)
    told.doing("Aligning them", 2)
    told.part_done()
    told.part_done()
    told.stage("weights")  # are loaded, once for all
    told.stage("fuse")
    told.planned("in 2 tiles", 2, 80.0)
    clock.now = 30.0
    told.tile()
    told.tile()
    told.doing("Looking for what moved", None)
    told.stage("write")
    told.stage("report")
    assert [stage.words for stage in seen] == [
        "reading",
        "photograph 1 of 3",
        "comparing photographs",
        "aligning them, 1 of 2",
        "aligning them, 2 of 2",
        "fusing",
        "fusing, tile 1 of 2",
        "fusing, tile 2 of 2",
        "merging",
        "looking for what moved",
        "writing",
        "writing the report",
    ]
    assert [stage.left for stage in seen[6:8]] == [80.0, 30.0]
    assert tuple(dict.fromkeys(stage.name for stage in seen)) == paces.STAGES
