"""``apnt batch`` as a whole, with a method that needs no network."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.testing
from PIL import Image

from apnt.batch import pace
from apnt.batch.journal import JOURNAL, opened
from apnt.benchmarks import batch as bench
from apnt.benchmarks.batch_folder import Truth, make_folder
from apnt.cli import app
from apnt.data.procedural import procedural_bracket
from apnt.errors import InputError
from apnt.report import page

FAST = ("--method", "weighted")


@pytest.fixture(autouse=True)
def small_trial(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The brackets by which a batch in this process tells its time are small, but in ``test_a_day``."""
    if request.function is not test_a_day:
        monkeypatch.setattr(pace, "_SIDES", ((64, 96), (64, 96)))


def run(*arguments: str | Path) -> Any:
    return typer.testing.CliRunner().invoke(app, ["batch", *map(str, arguments)])


def lines(result: Any) -> list[dict[str, Any]]:
    """All but the plan, which comes first."""
    plan, *rest = map(json.loads, result.stdout.splitlines())
    assert set(plan) == {"plan"}
    return rest


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    folder = tmp_path_factory.mktemp("card")
    return folder, make_folder(folder, brackets=4, files=21, seed=5)


@pytest.fixture
def card(day: tuple[Path, Truth], tmp_path: Path) -> Path:
    """A folder that a test may change."""
    return Path(shutil.copytree(day[0], tmp_path / "card"))


def test_killed_twice_and_resumed() -> None:
    result = bench.resume(9, 40, "local", FAST, seed=2)
    assert result.faults == []
    assert (result.brackets, result.done_once, result.kills) == (9, 9, 2)


def test_a_folder_of_strangers_names_several(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("text")
    (tmp_path / "c.jpg").touch()
    said = run(tmp_path, "--dry-run").stderr
    assert f"{tmp_path} holds none: {tmp_path / 'a.txt'} is no photograph, or damaged at its start; " in said
    assert said.endswith(f"{tmp_path / 'c.jpg'} is empty\n")
    (tmp_path / "d.txt").write_text("text")
    (tmp_path / "e.txt").write_text("text")
    result = run(tmp_path, "--dry-run")
    assert result.exit_code == 2
    assert result.stderr.endswith("c.jpg is empty and 2 more\n")


def test_a_day(day: tuple[Path, Truth], tmp_path: Path) -> None:
    folder, truth = day
    out = tmp_path / "out"
    result = run(folder, "-o", out, *FAST)
    assert result.exit_code == 0, result.output
    for frames in truth.brackets:
        assert (out / frames[0]).with_suffix(".exr").is_file()
        assert (out / f"{Path(frames[0]).stem}_preview.jpg").is_file()
    words = " ".join(result.stdout.split())
    assert f"4 done, 0 done before, 0 failed, {len(truth.others)} files left out" in words
    assert "is empty" in words
    again = lines(run(folder, "-o", out, *FAST, "--json"))
    assert [line["status"] for line in again if "bracket" in line] == ["skipped"] * 4
    assert {Path(line["left_out"]).name for line in again if "left_out" in line} == set(truth.others)
    assert again[-1]["summary"]["skipped"] == 4


def test_a_dry_run_writes_nothing_and_can_be_given_back(card: Path, tmp_path: Path) -> None:
    before = sorted(card.rglob("*"))
    assert "Plan     4 brackets of" in run(card, "--dry-run", *FAST).stdout
    shown = run(card, "--dry-run", *FAST, "--json")
    assert sorted(card.rglob("*")) == before
    groups = tmp_path / "groups.jsonl"
    found = lines(shown)
    first = max(range(len(found)), key=lambda n: len(found[n].get("files", ())))
    mine = {"bracket": "mine/first", "files": found[first]["files"][:2], "stops": [0, 2]}
    groups.write_text("\n".join(json.dumps(line) for line in [mine, *found[:first], *found[first + 1 :]]))
    result = run(card, "--dry-run", *FAST, "--json", "--groups", groups)
    assert result.exit_code == 0, result.output
    again = lines(result)
    assert again[0] == mine
    assert [x for x in again if "bracket" in x][1:] == [
        x for x in found if "bracket" in x and x is not found[first]
    ]


def test_the_plan_is_said_before_the_work(card: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    printed = run(card, "-o", out, *FAST, "--json").stdout.splitlines()
    plan = json.loads(printed[0])["plan"]
    records = [line for line in map(json.loads, printed) if "bracket" in line]
    assert (plan["brackets"], plan["done_before"], plan["workers"], plan["in_files"]) == (4, 0, 1, 0)
    assert plan["frames"] == sum(len(record["files"]) for record in records)
    assert plan["largest"]["frames"] == max(len(record["files"]) for record in records)
    assert plan["largest"]["size"] == [144, 96]
    assert 0 < plan["memory"] <= plan["memory_there"]
    assert plan["seconds"] == pytest.approx(4 * plan["seconds_a_bracket"], abs=0.1)
    (out / records[0]["bracket"]).with_suffix(".exr").unlink()
    again = run(card, "-o", out, *FAST, "--dry-run")
    assert "Plan     1 bracket of" in again.stdout
    assert "3 done before, 1 again for files that are missing; the largest is" in again.stdout
    assert not (out / records[0]["bracket"]).with_suffix(".exr").exists()
    last = run(card, "-o", out, *FAST)
    assert last.stderr.startswith("Plan     1 bracket of")
    done = json.loads(run(card, "-o", out, *FAST, "--json").stdout.splitlines()[0])["plan"]
    assert (done["brackets"], done["done_before"]) == (0, 4)


def test_too_little_memory_is_found_before_the_work(card: Path, tmp_path: Path) -> None:
    for where in (("--dry-run",), ("-o", tmp_path / "out")):
        result = run(card, *where, *FAST, "--memory", "300MB")
        assert result.exit_code == 2, result.output
        assert "memory must be at least " in result.stderr
        assert "and 300 MB may be taken" in result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {JOURNAL}
    assert (tmp_path / "out" / JOURNAL).read_text() == ""


def test_exposures_that_no_file_says_are_asked_for_in_groups(card: Path, tmp_path: Path) -> None:
    for path in card.glob("*.JPG"):
        with contextlib.suppress(OSError), Image.open(path) as image:
            pixels = np.asarray(image)
            Image.fromarray(pixels).save(path, "JPEG", quality=95)  # without EXIF
    assert "? EV" not in run(card, "--dry-run", *FAST).stdout
    found = lines(run(card, "-o", tmp_path / "out", *FAST, "--json"))
    said = [line["warnings"] for line in found if line.get("exposures") == "pixels"]
    assert said
    assert all("give the exposures in a file of --groups, in stops" in warnings[0] for warnings in said)


def test_lines_of_json_come_as_brackets_end(card: Path, tmp_path: Path) -> None:
    process = bench._start(["batch", str(card), "-o", str(tmp_path / "out"), *FAST, "--json"])
    assert process.stdout is not None
    assert "plan" in json.loads(process.stdout.readline())
    assert json.loads(process.stdout.readline())["status"] == "done"
    running = process.poll() is None
    process.communicate(timeout=60)
    assert running


def test_groups_in_toml(card: Path, day: tuple[Path, Truth], tmp_path: Path) -> None:
    (one, two, *_), others = day[1].brackets, day[1].others
    alone = next(name for name, why in others.items() if why.startswith("alone"))
    groups = tmp_path / "groups.toml"
    groups.write_text(f"""\
leave_out = ["{one[0]}"]
[[bracket]]
name = "both"
files = ["{alone}", "{two[0]}"]
stops = [0, "?"]
""")
    found = lines(run(card, "--dry-run", *FAST, "--json", "--groups", groups))
    assert found[0] == {
        "bracket": "both", "files": [str(card / alone), str(card / two[0])], "stops": [0.0, None]
    }  # fmt: skip
    reasons = {line["left_out"]: line["reason"] for line in found if "left_out" in line}
    assert reasons[str(card / one[0])] == f"is left out by {groups}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[bracket]]\nfiles = ['none.jpg', 'b.jpg']", "names none.jpg"),
        ("[[bracket]]\nfiles = ['IMG_0001.JPG']", "must be at least 2 photographs, got 1"),
        ("[[bracket]]\nfiles = ['IMG_0001.JPG', 'IMG_0001.JPG']", "twice"),
        ("[[bracket]]\nfiles = ['IMG_0001.JPG', 'IMG_0002.JPG']\nstops = [0]", "one a photograph, 2"),
        (
            "[[bracket]]\nname = '../x'\nfiles = ['IMG_0001.JPG', 'IMG_0002.JPG']",
            "below the folder of outputs",
        ),
        ("[[brackets]]\nfiles = []", "got ['brackets']"),
        ("bracket = 1", "must hold [[bracket]] tables"),
        ("[[bracket", "must be valid TOML"),
        ('[[bracket]]\nfiles = ["a\\u0000b.jpg", "b.jpg"]', r"groups.toml has 'a\x00b.jpg'"),
    ],
)
def test_groups_that_cannot_be_used(card: Path, tmp_path: Path, text: str, message: str) -> None:
    groups = tmp_path / "groups.toml"
    groups.write_text(text)
    result = run(card, "--dry-run", *FAST, "--groups", groups)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_failure_holds_up_no_other(card: Path, day: tuple[Path, Truth], tmp_path: Path) -> None:
    (first, *_), out = day[1].brackets, tmp_path / "out"
    groups = tmp_path / "groups.toml"
    names = ", ".join(f'"{name}"' for name in first[:2])
    groups.write_text(f"[[bracket]]\nname = 'odd'\nfiles = [{names}]\nstops = [0, 11.5]\n")
    result = run(card, "-o", out, *FAST, "--groups", groups, "--json")
    assert result.exit_code == 1, result.output
    found = {line["bracket"]: line for line in lines(result) if "bracket" in line}
    assert found.pop("odd")["status"] == "failed"
    assert {line["status"] for line in found.values()} == {"done"}
    assert "pixels" in next(line["error"] for line in lines(result) if line.get("status") == "failed")
    assert [path.name for path in out.rglob(".apnt-*")] == []
    assert "Failed   odd: " in run(card, "-o", out, *FAST, "--groups", groups).stderr


def test_a_log_has_a_line_for_each_bracket(card: Path, tmp_path: Path) -> None:
    """Where no bar can be shown; none with --quiet."""
    told = [line for line in run(card, "-o", tmp_path / "out", *FAST).stderr.splitlines() if "Done" in line]
    assert [line.split(", ")[1].split(";")[0] for line in told] == [
        f"{k} of {len(told)}" for k in range(1, len(told) + 1)
    ]
    assert len(told) == sum(1 for _ in (tmp_path / "out").rglob("*.exr")) > 1
    assert "Done" not in run(card, "-o", tmp_path / "out", *FAST).stderr
    assert run(card, "-o", tmp_path / "out", *FAST, "--force", "--quiet").stderr == ""


def test_exposures_that_the_pixels_contradict_are_taken_where_they_are_trusted(tmp_path: Path) -> None:
    """Else they would be refused: the second frame is darker than the third."""
    for k, frame in enumerate(procedural_bracket(3, 96, 128, 2.0).ldr):
        Image.fromarray(np.round(frame * 255).astype(np.uint8)).save(tmp_path / f"{k}.png")
    groups = tmp_path / "groups.toml"
    groups.write_text("[[bracket]]\nname = 'a'\nfiles = ['0.png', '1.png', '2.png']\nstops = [0, 6, 4.5]\n")
    result = run(tmp_path, "-o", tmp_path / "out", *FAST, "--json", "--groups", groups, "--trust-exposures")
    assert result.exit_code == 0, result.output
    (line,) = (line for line in lines(result) if "bracket" in line)
    assert line["stops"] == pytest.approx([0, 6, 4.5])


def test_content_and_options_decide_what_is_done(card: Path, day: tuple[Path, Truth], tmp_path: Path) -> None:
    out, frames = tmp_path / "out", day[1].brackets[0]
    assert run(card, "-o", out, *FAST).exit_code == 0
    refused = run(card, "-o", out, *FAST, "--look", "filmic")
    assert refused.exit_code == 2
    assert "exist, made with other options (--look was local and is filmic): choose" in refused.stderr
    assert run(card, "-o", out, *FAST, "--look", "filmic", "--force").exit_code == 0
    for path in card.iterdir():
        os.utime(path, (1, 1))  # a time is no content
    summary = lines(run(card, "-o", out, *FAST, "--look", "filmic", "--json"))[-1]["summary"]
    assert (summary["done"], summary["skipped"]) == (0, 4)
    (out / frames[0]).with_suffix(".exr").unlink()
    summary = lines(run(card, "-o", out, *FAST, "--look", "filmic", "--json"))[-1]["summary"]
    assert (summary["done"], summary["skipped"]) == (1, 3)


def pages(out: Path) -> set[str]:
    return {path.name for path in out.rglob("*.html")}


def names(truth: Truth, ending: str) -> set[str]:
    return {f"{Path(frames[0]).stem}{ending}" for frames in truth.brackets}


def test_every_bracket_has_its_page(card: Path, day: tuple[Path, Truth], tmp_path: Path) -> None:
    """The same one that ``apnt fuse --report`` writes, in the same place."""
    out, wanted = tmp_path / "out", names(day[1], ".html")
    plan = run(card, "-o", out, *FAST, "--report", "--dry-run").stdout
    assert "Plan     each becomes NAME.exr, NAME_preview.jpg and NAME.html" in plan
    assert not out.exists()
    records = [line for line in lines(run(card, "-o", out, *FAST, "--report", "--json")) if "bracket" in line]
    assert pages(out) == wanted
    for record in records:
        assert record["outputs"] == {
            f"{record['bracket']}{ending}": (out / f"{record['bracket']}{ending}").stat().st_size
            for ending in (".exr", "_preview.jpg", ".html")
        }
    summary = lines(run(card, "-o", out, *FAST, "--report", "--json"))[-1]["summary"]
    assert (summary["done"], summary["skipped"]) == (0, 4)
    # What apnt fuse writes of the same frames differs by what it took alone.
    one = records[0]
    alone = tmp_path / f"{one['bracket']}.exr"
    page = alone.with_suffix(".html")
    fused = typer.testing.CliRunner().invoke(
        app, ["fuse", *one["files"], "-o", str(alone), *FAST, "--report", str(page)]
    )
    assert fused.exit_code == 0, fused.output
    timeless = [re.sub(r"[\d.]+ s\b", "", path.read_text()) for path in (page, out / page.name)]
    assert timeless[0] == timeless[1]


def test_pages_are_added_to_what_is_done(card: Path, day: tuple[Path, Truth], tmp_path: Path) -> None:
    """Without one, what has a page is done; with one, what lacks it is not."""
    out, wanted = tmp_path / "out", names(day[1], ".html")
    assert run(card, "-o", out, *FAST).exit_code == 0
    again = run(card, "-o", out, *FAST, "--report", "--dry-run")
    assert "4 again for files that are missing" in again.stdout
    assert pages(out) == set()
    added = run(card, "-o", out, *FAST, "--report")
    assert added.exit_code == 0, added.output
    assert pages(out) == wanted
    (out / min(wanted)).unlink()
    plan = json.loads(run(card, "-o", out, *FAST, "--json").stdout.splitlines()[0])["plan"]
    assert (plan["brackets"], plan["done_before"], plan["writes"]) == (0, 4, ["NAME.exr", "NAME_preview.jpg"])
    plan = json.loads(run(card, "-o", out, *FAST, "--report", "--json").stdout.splitlines()[0])["plan"]
    assert (plan["brackets"], plan["done_before"], plan["again"]) == (1, 3, 1)
    assert pages(out) == wanted


def test_pages_of_others_are_not_replaced(card: Path, day: tuple[Path, Truth], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    own = out / min(names(day[1], ".html"))
    own.write_text("mine")
    refused = run(card, "-o", out, *FAST, "--report")
    assert refused.exit_code == 2
    assert f"{own} exist, made otherwise or of other frames" in refused.stderr
    assert own.read_text() == "mine"
    assert run(card, "-o", out, *FAST, "--report", "--force").exit_code == 0
    assert own.stat().st_size > 10_000


def test_pages_beside_the_photographs_are_known(card: Path, day: tuple[Path, Truth]) -> None:
    assert run(card, "-o", card, *FAST, "--report").exit_code == 0
    again = lines(run(card, "-o", card, *FAST, "--report", "--json", "--force"))
    assert again[-1]["summary"]["done"] == 4
    reasons = {Path(line["left_out"]).name: line["reason"] for line in again if "left_out" in line}
    assert {reasons[name] for name in names(day[1], ".html")} == {"was written by apnt"}


def test_a_page_that_cannot_be_written_leaves_nothing(
    card: Path, day: tuple[Path, Truth], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, whole = tmp_path / "out", page.render_report
    first = Path(day[1].brackets[0][0]).stem

    def fails(made: Any, *rest: Any) -> str:
        if made.name == f"{first}.exr":
            raise OSError("no")
        return whole(made, *rest)

    monkeypatch.setattr(page, "render_report", fails)
    result = run(card, "-o", out, *FAST, "--report", "--json")
    assert result.exit_code == 1
    (failed,) = (line for line in lines(result) if line.get("status") == "failed")
    assert failed["bracket"] == first
    left = {path.name for path in out.iterdir()}
    assert left == {JOURNAL} | set.union(
        *(names(day[1], ending) - {f"{first}{ending}"} for ending in (".exr", "_preview.jpg", ".html"))
    )
    monkeypatch.undo()
    monkeypatch.setattr(pace, "_SIDES", ((64, 96), (64, 96)))
    summary = lines(run(card, "-o", out, *FAST, "--report", "--json"))[-1]["summary"]
    assert (summary["done"], summary["skipped"]) == (1, 3)
    assert pages(out) == names(day[1], ".html")


def test_a_refusal_says_what_differs(card: Path, day: tuple[Path, Truth], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(card, "-o", out, *FAST, "--look", "filmic", "--exposure", "0.5").exit_code == 0
    refused = run(card, "-o", out, *FAST, "--gain-map", "--align", "off")
    assert refused.exit_code == 2
    said = refused.stderr
    assert re.search(
        r"and [^,]+\.exr, [^,]+_preview\.jpg, [^,]+\.exr and \d more exist, made with other options \(", said
    )
    for difference in (
        "--look was filmic and is local",
        "--exposure was 0.5 and is 0",
        "--gain-map was off and is on",
        "--align was auto and is off",
    ):
        assert difference in said
    assert "--method" not in said
    other = run(card, "-o", out, "--method", "mertens", "--preview", ".png")
    assert "--method was weighted and is mertens" in other.stderr
    assert "--preview was .jpg and is .png" in other.stderr
    dry = run(card, "-o", out, *FAST, "--look", "reinhard", "--exposure", "0.5", "--dry-run")
    assert dry.exit_code == 0
    assert "Warning  without --dry-run this is refused: outputs must be new files" in dry.stderr
    assert "(--look was filmic and is reinhard)" in dry.stderr
    assert "Plan     4 brackets of" in dry.stdout
    none = run(card, "-o", out, *FAST, "--no-preview")
    assert "--preview was .jpg and is none" in none.stderr


def test_a_refusal_says_that_frames_differ(card: Path, day: tuple[Path, Truth], tmp_path: Path) -> None:
    out, frames = tmp_path / "out", max(day[1].brackets, key=len)
    groups = tmp_path / "groups.toml"
    groups.write_text(f"[[bracket]]\nname = 'a'\nfiles = {json.dumps(frames[:2])}\nstops = [0, 2]\n")
    run(card, "-o", out, *FAST, "--groups", groups, "--trust-exposures")
    groups.write_text(groups.read_text().replace("[0, 2]", "[0, 3]"))
    refused = run(card, "-o", out, *FAST, "--groups", groups, "--trust-exposures")
    assert (
        f"{out / 'a.exr'}, {out / 'a_preview.jpg'} exist, made of other frames, or exposures: "
        in refused.stderr
    )
    groups.write_text(groups.read_text().replace("[0, 3]", "[0, 2]"))
    (out / "a.exr").write_bytes(b"mine")
    refused = run(card, "-o", out, *FAST, "--groups", groups, "--trust-exposures")
    assert f"{out / 'a.exr'} exist, changed since they were written: " in refused.stderr
    # An older journal did not keep the options.
    journal = out / JOURNAL
    kept = [
        {k: v for k, v in json.loads(line).items() if k not in ("options", "said", "frames")}
        for line in journal.read_text().splitlines()
    ]
    journal.write_text("".join(json.dumps(line) + "\n" for line in kept))
    refused = run(card, "-o", out, *FAST, "--groups", groups, "--trust-exposures", "--look", "filmic")
    assert "exist, made otherwise or of other frames: " in refused.stderr


def test_weights_and_curves_of_one_name_may_differ(tmp_path: Path) -> None:
    from apnt.batch.differences import differences
    from apnt.batch.settings import Settings

    curve = tmp_path / "camera.toml"
    curve.write_text("one")
    before = Settings(curve=str(curve))
    then = {"options": before.identity, "said": before.said}
    assert differences(then, Settings(curve=str(curve), device="cpu", memory=1, report=True)) == []
    curve.write_text("two")
    after = Settings(curve=str(curve), weights="fast")
    assert differences(then, after) == [
        "--weights was default and is fast",
        f"--curve {curve} was another file",
    ]


def test_files_of_others_are_not_replaced(card: Path, day: tuple[Path, Truth], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    own = (out / day[1].brackets[0][0]).with_suffix(".exr")
    own.write_bytes(b"mine")
    result = run(card, "-o", out, *FAST)
    assert result.exit_code == 2
    assert str(own) in result.stderr
    assert own.read_bytes() == b"mine"
    assert {path.name for path in out.iterdir()} == {own.name, JOURNAL}


def test_results_beside_the_photographs(card: Path, day: tuple[Path, Truth]) -> None:
    before = {path: path.read_bytes() for path in card.iterdir()}
    assert run(card, "-o", card, *FAST).exit_code == 0
    assert {path: path.read_bytes() for path in before} == before
    summary = lines(run(card, "-o", card, *FAST, "--json"))[-1]["summary"]
    assert (summary["done"], summary["skipped"]) == (0, 4)


def test_photographs_are_not_overwritten(card: Path, day: tuple[Path, Truth]) -> None:
    frames = day[1].brackets[0]
    groups = card / "groups.toml"
    groups.write_text(f"[[bracket]]\nname = '{frames[1][:-4]}'\nfiles = {json.dumps(frames[:2])}\n")
    shutil.move(card / frames[1], card / f"{frames[1][:-4]}.tif")  # content decides, not the suffix
    groups.write_text(groups.read_text().replace(frames[1], f"{frames[1][:-4]}.tif"))
    content = (card / f"{frames[1][:-4]}.tif").read_bytes()
    result = run(card, "-o", card, *FAST, "--format", ".tif", "--groups", groups, "--force")
    assert result.exit_code == 2, result.output
    assert "must not overwrite photographs" in result.stderr
    assert (card / f"{frames[1][:-4]}.tif").read_bytes() == content


def test_one_batch_a_folder(card: Path, tmp_path: Path) -> None:
    with opened(tmp_path):
        result = run(card, "-o", tmp_path, *FAST)
    assert result.exit_code == 2
    assert "another works on" in result.stderr


def test_a_journal_with_half_a_line(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.write("begun", "a", "k", outputs=["a.exr"])
    with (tmp_path / JOURNAL).open("a") as file:
        file.write('{"event": "done", "brac')
    with opened(tmp_path) as journal:
        assert journal.may_replace("k", tmp_path / "a.exr")
        (tmp_path / "a.exr").write_bytes(b"12")
        journal.write("done", "a", "k", outputs=journal.sizes([tmp_path / "a.exr"]))
    with opened(tmp_path) as journal:
        assert journal.is_done("k", [tmp_path / "a.exr"])
        assert not journal.is_done("k", [tmp_path / "a.exr", tmp_path / "a.html"])
        (tmp_path / "a.exr").write_bytes(b"123")
        assert not journal.is_done("k", [tmp_path / "a.exr"])
        assert not journal.may_replace("k", tmp_path / "a.exr")


def test_signals_end_it_and_nothing_is_left(card: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = bench._start(["batch", str(card), "-o", str(out), *FAST])
    bench._wait_for(out / JOURNAL, 1, process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (0, 128 + signal.SIGTERM)
    assert "Traceback" not in errors
    assert list(out.rglob(".apnt-*")) == []


def test_a_folder_with_its_own_list(card: Path, day: tuple[Path, Truth]) -> None:
    frames = max(day[1].brackets, key=len)
    place = card / "listed"
    place.mkdir()
    for name in frames[:2]:
        (card / name).rename(place / name)
    (place / "bracket.json").write_text(json.dumps({"files_short_to_long": frames[:2], "ev_stops": [0, 2]}))
    (place / "notes.txt").write_text("")
    found = lines(run(card, "--dry-run", *FAST, "--json"))
    assert {"bracket": "listed", "files": [str(place / n) for n in frames[:2]], "stops": [0.0, 2.0]} in found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "batch must know where results go"),
        (("-o", "out", "--jobs", "2"), "--ray-address and --jobs are for --engine ray"),
        (("-o", "out", "--format", ".jpg"), "format must be one of"),
        (("-o", "out", "--look", "none such"), "look must be"),
        (("-o", "out", "--weights", "none such"), "weights must be one of"),
        (("-o", "out", "--gain-map", "--preview", ".png"), "gain"),
    ],
)
def test_options_are_checked_before_the_work(
    card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(card, *options)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_without_ray_the_way_to_it_is_said(
    monkeypatch: pytest.MonkeyPatch, card: Path, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = run(card, "-o", tmp_path / "out", "--engine", "ray")
    assert result.exit_code == 2
    assert "pip install 'apnt[ray]'" in result.stderr


def test_a_worker_gets_files_that_are_read_only(day: tuple[Path, Truth], tmp_path: Path) -> None:
    from apnt.batch.on_ray import Worker, _files
    from apnt.batch.settings import Settings

    frames = [_files(day[0] / name) for name in day[1].brackets[0]]
    for frame in frames:
        for content in frame.values():
            content.flags.writeable = False
    settings = Settings(method="weighted", curve=str(tmp_path / "curve.toml"))
    with pytest.raises(InputError):
        settings.check()
    worker = Worker(Settings(method="weighted"), {}, threads=1)
    report, written, words = worker.fuse("a", [frames[0], {"b.jpg": np.zeros(9, np.uint8)}], None)
    assert (report, written) == (None, [])
    assert words.startswith("b.jpg is no image")


def test_weights_and_curves_travel(tmp_path: Path) -> None:
    from apnt.batch.on_ray import Worker, _attached
    from apnt.batch.settings import Settings
    from apnt.packaged import packaged

    assert _attached(Settings()) == {}
    shutil.copy(packaged()["fast"], tmp_path / "model.safetensors")
    named = _attached(Settings(weights=str(tmp_path)))
    assert named == {"weights.safetensors": tmp_path / "model.safetensors"}
    contents = {name: np.fromfile(path, np.uint8) for name, path in named.items()}
    worker = Worker(Settings(weights="/on/another/machine"), contents, threads=1)
    assert Path(worker._settings.weights).read_bytes() == packaged()["fast"].read_bytes()


def test_work_folders_of_killed_workers_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from apnt.batch.on_ray import _work_folder

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder, lock = _work_folder()
    Path(folder.name, "weights.safetensors").write_bytes(b"1")
    other, _ = _work_folder()
    assert Path(folder.name).is_dir()
    os.close(lock)  # as the system does where a process is killed
    _work_folder()
    assert not Path(folder.name).exists()
    assert Path(other.name).is_dir()


def test_on_ray_every_bracket_has_its_page(card: Path, day: tuple[Path, Truth], tmp_path: Path) -> None:
    """On one node of this machine; the page is named as it is here, and not as on the worker."""
    pytest.importorskip("ray")
    out = tmp_path / "out"
    command = ["batch", str(card), "-o", str(out), *FAST, "--report", "--engine", "ray", "--json"]
    process = bench._start(command)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-2000:]
    records = [line for line in map(json.loads, output.splitlines()) if line.get("status") == "done"]
    assert len(records) == 4
    for record in records:
        stem = record["bracket"]
        assert set(record["outputs"]) == {f"{stem}.exr", f"{stem}_preview.jpg", f"{stem}.html"}
        assert f"<title>{stem}.exr</title>" in (out / f"{stem}.html").read_text()
        assert "node" in record
    assert {path.name for path in out.iterdir()} == {JOURNAL}.union(
        *(names(day[1], ending) for ending in (".exr", "_preview.jpg", ".html"))
    )


def test_on_ray_a_worker_dies(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    command = [sys.executable, "-m", "apnt.benchmarks.batch", "resume", "--engine", "ray"]
    command += [
        "--brackets",
        "9",
        "--files",
        "30",
        "--seed",
        "4",
        "--kills",
        "0",
        "--option=--method=weighted",
    ]
    environment = {**os.environ, "PYTHONPATH": bench._PACKAGE}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["done_once"], result["kills"], result["faults"]) == (9, 1, [])
