"""The blind choice between pictures: the key says what the sheets show, and the counts follow it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip(
    "apnt.benchmarks", reason="the benchmarks are mapped into the package when it is installed"
)

from apnt.benchmarks import looks

LEVELS = {"local": 200, "enfuse": 50, "medium": 120}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for name in ("a", "b", "c", "d", "e", looks.MOVING[0]):
        (tmp_path / name).mkdir()
        for side, level in LEVELS.items():
            Image.new("RGB", (40, 30), (level,) * 3).save(tmp_path / name / f"{side}.png")
    return tmp_path


def test_sheets_key_and_counts_agree(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    looks.pairs(out, out, 1)
    folder = out / "round1"
    key = json.loads((out / "keys" / "round1.json").read_text())["key"]
    assert sorted(entry["bracket"] for entry in key) == ["a", "b", "c", "d", "e"]
    assert not any(
        word in path.name for path in folder.iterdir() for word in (*LEVELS, *"abcde", "key", "json")
    )
    answers = []
    for entry in key:
        sheet = np.asarray(Image.open(folder / f"{entry['sheet']:02}.png"))  # pictures are shown as 80 x 60
        for side, row in (("A", 58), ("B", 130)):  # the lower corners, away from the letters
            assert sheet[row, 70, 0] == LEVELS[entry[side]]
            assert (
                np.asarray(Image.open(folder / f"{entry['sheet']:02}_{side}.png"))[0, 0, 0]
                == sheet[row, 70, 0]
            )
        assert sheet[-1, 2, 0] == LEVELS["medium"]
        # A judge who likes it bright, and once does not care.
        bright = "A" if entry["A"] == "local" else "B"
        number = f"{entry['sheet']:02}" if entry["sheet"] % 2 else entry["sheet"]  # 01 or 2
        answers.append(f"{number} {'even' if entry['bracket'] == 'c' else bright}")
    (folder / "answers.txt").write_text("\n".join(answers) + "\n")
    looks.count(out)
    printed = capsys.readouterr().out
    assert "| c | even |" in printed
    assert "| d | local |" in printed
    assert "round 1: {'local': 4, 'even': 1}" in printed
    (folder / "answers.txt").write_text("\n".join(answers).replace("even", "both") + "\n")
    with pytest.raises(SystemExit, match="A, B or even, got 'both'"):
        looks.count(out)
    with pytest.raises(FileExistsError):  # a round is judged once
        looks.pairs(out, out, 1)
