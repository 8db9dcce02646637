"""What holds for every command: volume, examples, exit codes, completion."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.testing

from apnt import progress
from apnt.cli import app
from apnt.cli.examples import EXAMPLES

GROUP: Any = typer.main.get_command(app)


def commands(group: Any = GROUP, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, child in group.commands.items():
        if hasattr(child, "commands"):
            yield from commands(child, f"{path}{name} ")
        else:
            yield path + name, child


NAMES = dict(commands())


def run(*arguments: str | Path) -> Any:
    return typer.testing.CliRunner().invoke(app, [str(argument) for argument in arguments])


def options_of(name: str) -> set[str]:
    return {option for each in NAMES[name].params for option in (*each.opts, *each.secondary_opts)}


def test_every_command_has_examples() -> None:
    assert set(EXAMPLES) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_help_ends_with_examples_that_exist(name: str) -> None:
    result = run(*name.split(), "--help")
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.split())
    assert "Examples" in words
    own = [line for line in EXAMPLES[name] if line.startswith(f"apnt {name} ") or line == f"apnt {name}"]
    assert own
    for line in EXAMPLES[name]:
        assert " ".join(line.split()[:3]) in words
        used = shlex.split(line.partition(" > ")[0])[1:]
        called = next(n for n in (" ".join(used[:2]), used[0]) if n in NAMES)
        known = options_of(called)
        assert {word for word in used if re.fullmatch(r"--?[a-z][a-z-]*", word)} <= known


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_a_volume(name: str) -> None:
    assert {"--quiet", "-q", "--verbose", "-v"} <= options_of(name)


def test_quiet() -> None:
    assert "backend" in run("info").stdout
    quiet = run("info", "-q")
    assert (quiet.exit_code, quiet.stdout) == (0, "")
    assert run("info", "-q", "--json").stdout.startswith("{")  # what is asked for is no noise
    failed = run("fuse", "-q")
    assert failed.exit_code == 2
    assert failed.stderr.startswith("Error: fuse takes 2 to 15 photographs")
    assert progress.volume == "normal"


def test_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    failed = run("fuse", "-v")
    assert failed.exit_code == 2
    assert "Traceback" in failed.stderr
    assert failed.stderr.splitlines()[-1].startswith("Error: fuse takes")
    assert run("info", "-v", "-q").exit_code == 2


def test_verbose_progress_is_a_line_a_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "volume", "verbose")
    with progress.progress(2) as begin:
        begin("reading \x1b[2J")
        begin("fusing")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" s  ")[1] for line in lines] == ["reading \\x1b[2J", "fusing"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["fuse"], 2),
        (["fuse", "none1.jpg", "none2.jpg", "-o", "a.exr"], 2),
        (["batch"], 2),
        (["batch", "none/", "--dry-run"], 2),
        (["response"], 2),
        (["evaluate", "--set", "none"], 2),
        (["train", "--config", "none.toml", "--data", ".", "--out", "run"], 2),
        (["bench", "--only", "none"], 2),
        (["data", "validate", "none"], 2),
        (["experiment", "fig7", "--out", "a", "--set", "none"], 2),
        (["fuse", "--none"], 2),
        (["none"], 2),
        (["info"], 0),
    ],
)  # fmt: skip
def test_exit_codes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], code: int) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments).exit_code == code


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("apnt ba", {"batch"}),
        ("apnt batch --ray", {"--ray-address"}),
        ("apnt fuse --look ", {"local", "filmic", "display", "reinhard", "none"}),
        ("apnt batch --method med", {"medium"}),
        ("apnt fuse --weights ", {"default", "fast"}),
    ],
)
def test_completion(typed: str, offered: set[str]) -> None:
    assert "--install-completion" in run("--help").output
    words = {"_APNT_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    completed = typer.testing.CliRunner().invoke(app, [], prog_name="apnt", env=words)
    assert set(completed.stdout.split()) == offered, completed.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "No such command 'none': see apnt --help"),
        (["fuse", "--none"], "No such option: --none"),
        (["fuse", "--precision", "a\nb\x1b[31m"], "'--precision'"),
        (["evaluate", "--limit", "1e400"], "'--limit'"),
        (["ui", "--port", "0"], "'--port'"),
        (["experiment", "table2"], "'--config': see apnt experiment table2 --help"),
    ],
    ids=str,
)
def test_what_the_parser_refuses_is_one_line(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["fuse", "x" * 5000, "b.png", "-o", "a.exr"],
        ["fuse", "a.png", "b.png", "-o", "a.exr", "--weights", "x" * 5000],
        ["fuse", "a.png", "b.png", "-o", "a.exr", "--curve", "x" * 5000],
        ["response", "x" * 5000, "-o", "a.toml"],
        ["data", "validate", "x" * 5000],
    ],
    ids=lambda arguments: arguments[0],
)
def test_names_that_no_file_can_have(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("arguments", [["info"], ["fuse", "--help"], ["--version"]])
def test_a_full_disk_behind_stdout_is_one_line(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "apnt", *arguments], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr == "Error: [Errno 28] No space left on device: 'standard output'\n"


def test_a_reader_that_wants_no_more_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "apnt", "--version"], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
