"""What is shown while a command works: the bar, the time left, and how lengths of time are written."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from apnt import progress
from apnt.data.procedural import procedural_bracket
from apnt.doing import doing, part_done, told
from apnt.methods import Options, load_method
from apnt.outputs import Picture
from apnt.prepare.options import Options as Preparation
from apnt.progress import Pace
from apnt.run import Outputs, fuse_into
from apnt.text import duration, plain, shortened, some

SECONDS = [
    (0.0, "0.0 s"),
    (0.26, "0.3 s"),
    (9.94, "9.9 s"),
    (9.96, "10 s"),
    (99.6, "100 s"),
    (119.4, "119 s"),
    (119.6, "2.0 min"),
    (550.0, "9.2 min"),
    (730.0, "12.2 min"),
    (7190.0, "119.8 min"),
    (7198.0, "2.0 h"),
    (1e6, "277.8 h"),
]


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("seconds", "words"), SECONDS)
def test_lengths_of_time_are_seconds_minutes_or_hours(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (480.0, "480"),
        (1234.0, "1234"),
        (12345.6, "12346"),
        (999.6, "1000"),
        (24.0, "24"),
        (0.123456, "0.123"),
        (0.0000123, "0.0000123"),
        (12.04, "12"),
        (10.0, "10"),
        (0.0, "0"),
        (-1500.0, "-1500"),
        (math.inf, "inf"),
    ],
)
def test_numbers_have_no_exponent(number: float, words: str) -> None:
    assert plain(number, 3) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, ""), (1, "a0"), (3, "a0, a1, a2"), (4, "a0, a1, a2 and 1 more"), (9, "a0, a1, a2 and 6 more")],
)
def test_a_long_list_names_some_and_counts_the_others(count: int, words: str) -> None:
    assert some([f"a{n}" for n in range(count)]) == words


def test_a_long_list_of_anything_is_cut() -> None:
    assert shortened([(1, 2), (3, 4)], 2) == ([(1, 2), (3, 4)], "")
    assert shortened([1, 2, 3], 1) == ([1], "and 2 more")
    assert some([Path("a"), Path("b")], 1) == "a and 1 more"
    assert some(["a is empty", "b, too"], between="; ") == "a is empty; b, too"


def test_no_format_gives_a_length_of_time_an_exponent() -> None:
    """Formats that may write 5.5e+02 stand before no unit of time, and before no megapixels."""
    package = Path(progress.__file__).parent
    wrong = [
        f"{path}: {found}"
        for path in package.rglob("*.py")
        for found in re.findall(r":[^{}\n]{0,9}g\} ?(?:s|sec\w*|min\w*|h|megapixels)\b", path.read_text())
    ]
    assert not wrong


def test_time_left_counts_down_within_a_part() -> None:
    clock = Clock()
    pace = Pace(4, None, clock)
    assert pace.left() is None  # nothing is known yet
    clock.now = 10
    pace.part()
    assert pace.left() == 30
    clock.now = 14
    assert pace.left() == 26
    clock.now = 35  # this part takes longer than the first: what comes after it is left
    assert pace.left() == 20
    pace.part()
    assert pace.left() == pytest.approx(35)
    pace.part()
    clock.now = 60
    assert pace.left() is None  # the last takes longer: nobody knows


def test_time_left_is_what_was_planned_before_the_first_part() -> None:
    clock = Clock()
    pace = Pace(5, 100.0, clock)
    clock.now = 8
    assert pace.left() == 92
    clock.now = 10
    pace.part()
    assert pace.left() == 40


class Terminal:
    """A console that is a terminal, and what it was sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, width: int = 120) -> None:
        self.file = io.StringIO()
        console = Console(file=self.file, force_terminal=True, width=width, _environ={})
        monkeypatch.setattr(progress, "Console", lambda **_: console)
        self.console = console

    def drawn(self, bar: progress.Steps) -> str:
        """What the bar shows now, without colours."""
        self.file.seek(0)
        self.file.truncate()
        bar.bar.refresh()
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.file.getvalue())


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    return Terminal(monkeypatch)


def test_unequal_steps_say_no_time_left(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "clock", clock)
    with progress.progress(4, alike=None) as steps:
        assert isinstance(steps, progress.Steps)
        for n, name in enumerate(("reading", "loading", "fusing")):
            clock.now = 2.0 * n
            steps(name)
        shown = terminal.drawn(steps)
    assert "fusing" in shown
    assert "2/4" in shown
    assert "left" not in shown
    assert "0:00:04" in shown  # elapsed


def test_tiles_and_photographs_have_bars_of_their_own(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with progress.progress(4, alike=None) as steps:
        assert isinstance(steps, progress.Steps)
        steps("reading")
        steps.read(0, 3)
        steps.read(1, 3)
        assert re.search(r"Photographs .* 1/3", terminal.drawn(steps))
        steps.read(2, 3)
        steps.read(3, 3)
        shown = terminal.drawn(steps)
        assert "Comparing them" in shown
        assert "3/3" not in shown
        steps("fusing")
        assert "Comparing" not in terminal.drawn(steps)
        steps.planned("in 5 tiles", 5, 300.0)
        assert re.search(r"Tiles .* 0/5 .* 5\.0 min left", terminal.drawn(steps))
        steps.tile()
        assert re.search(r"Tiles .* 1/5", terminal.drawn(steps))


def test_a_bar_moves_within_a_part_as_the_others_did(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "clock", clock)

    def share(steps: progress.Steps) -> float:
        """Of the bar of tiles that is drawn as done."""
        task = next(task for task in steps.bar.tasks if task.description == "Tiles")
        bar = progress._Bar().render(task)
        return bar.completed / (bar.total or 1)

    with progress.progress(1, alike=None) as steps:
        assert isinstance(steps, progress.Steps)
        steps("fusing")
        steps.planned("in 2 tiles", 2, 80.0)
        assert share(steps) == 0
        clock.now = 20
        assert share(steps) == pytest.approx(0.25)
        clock.now = 70
        late = share(steps)
        clock.now = 90
        assert 0.45 < late < share(steps) < 0.5  # it takes longer, and is not done
        steps.tile()
        assert share(steps) == pytest.approx(0.5)
        clock.now = 135
        assert share(steps) == pytest.approx(0.75)
        steps.tile()
        assert share(steps) == 1


def test_what_is_done_within_a_step_is_shown(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "clock", clock)
    doing("Nobody is told")
    part_done()
    with progress.progress(2, alike=None) as steps, told(steps):
        assert isinstance(steps, progress.Steps)
        steps("writing")
        doing("Making [bold]a\x1b picture", 3)
        part_done()
        assert re.search(r"Making \[bold\]a\\x1b picture .* 1/3", terminal.drawn(steps))
        doing("Writing a.exr")
        clock.now = 65.0
        shown = terminal.drawn(steps)
        assert re.search(r"Writing a\.exr .* 0:01:05", shown)
        assert "picture" not in shown
        steps("done")
        assert "a.exr" not in terminal.drawn(steps)
    doing("Nobody is told")


def test_rounds_of_steps_tell_the_time(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two methods, one of which takes ten times as long: known once both have had a turn."""
    clock = Clock()
    monkeypatch.setattr(progress, "clock", clock)
    with progress.progress(6, alike=2) as steps:
        assert isinstance(steps, progress.Steps)
        steps("fast")
        clock.now = 1
        steps("slow")
        assert "left" not in terminal.drawn(steps)
        clock.now = 11
        steps("fast")
        assert "22 s left" in terminal.drawn(steps)


def test_nothing_to_do_draws_no_bar(terminal: Terminal) -> None:
    with progress.progress(0) as steps:
        assert isinstance(steps, progress.Steps)
        shown = terminal.drawn(steps)
    assert shown + terminal.file.getvalue() == ""
    with progress.progress(1) as steps:
        assert isinstance(steps, progress.Steps)
        steps("one")
        assert "0/1" in terminal.drawn(steps)


class Heard:
    """What is said of what is done: words, parts, and how many of them were done."""

    def __init__(self) -> None:
        self.said: list[tuple[str, int | None, int]] = []

    def doing(self, what: str, parts: int | None) -> None:
        self.said.append((what, parts, 0))

    def part_done(self) -> None:
        what, parts, done = self.said[-1]
        self.said[-1] = what, parts, done + 1


@pytest.mark.parametrize("count", [3, 5])
def test_whatever_takes_long_says_what_it_does(tmp_path: Path, count: int) -> None:
    frames = procedural_bracket(0, 192, 256, 2.0)
    light = frames.ldr[0] ** 2.2
    paths = [tmp_path / f"{k}.png" for k in range(count)]
    for k, path in enumerate(paths):
        values = np.clip(light * 2.0 ** (4 * k / (count - 1)), 0, 1) ** (1 / 2.2)
        Image.fromarray(np.round(values * 255).astype(np.uint8)).save(path)
    picture = Picture(tmp_path / "a.jpg")
    outputs = Outputs(tmp_path / "a.exr", picture, report=tmp_path / "a.html")
    method = load_method("apnt", Options(weights="fast", device="cpu"))
    heard = Heard()
    stops = [4 * k / (count - 1) for k in range(count)]
    with told(heard):
        fuse_into(paths, lambda: method, outputs, Preparation(), stops=stops)
    words = [what for what, _, _ in heard.said]
    wanted = [
        "Aligning them",
        "Moving them",
        "Looking for what moved",
        "Merging the frames",
        "Looking at what the result rests on",
    ]
    wanted += ["Making the picture", "Writing a.exr", "Writing a.jpg", "Drawing the frames"]
    wanted += [
        "Merging the frames",
        "Making the picture",
        "Packing the radiance",
        "Drawing what the network saw",
    ]
    left = iter(words)
    assert all(what in left for what in wanted), words  # in this order
    for what, parts, done in heard.said:
        assert parts is None or parts - 1 <= done <= parts, what
        assert parts is not None or not done, what
