"""The command beside a hostile system: signals, variables, names, and libraries that print."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rich.console
from PIL import Image

import apnt
from apnt.cli.common import only_result_on_stdout
from apnt.evaluate.tables import as_markdown, as_rich
from apnt.text import printable

PACKAGE = str(Path(apnt.__file__).resolve().parents[1])


@pytest.fixture
def frames(tmp_path: Path) -> list[str]:
    """Three exposures of noise, 64 x 80."""
    light = np.random.default_rng(0).random((64, 80, 3)) * 0.06
    paths = []
    for stop in (0, 2, 4):
        path = tmp_path / f"{stop}.png"
        Image.fromarray(np.round(255 * np.clip(light * 2.0**stop, 0, 1) ** (1 / 2.2)).astype(np.uint8)).save(
            path
        )
        paths.append(str(path))
    return paths


def apnt_command(*arguments: str, code: str = "", **environment: str) -> subprocess.Popen[str]:
    """The command in a process of its own, after some ``code``."""
    program = (
        f"import sys; sys.path.insert(0, {PACKAGE!r})\n{code}\nfrom apnt.cli import app\napp(sys.argv[1:])"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip


def wait_until(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """For 100 seconds at most, while the process runs."""
    end = time.monotonic() + 100
    while time.monotonic() < end and not happened():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_leave_nothing(tmp_path: Path, frames: list[str], number: signal.Signals) -> None:
    # Where the radiance map is written, the process waits for the signal.
    # Who starts the tests may ignore the signal, as nohup does.
    code = (
        f"import signal; signal.signal({int(number)}, signal.SIG_DFL)\n"
        "import apnt.io.radiance as r, time\n"
        "r.write_exr = lambda path, *_: (path.write_bytes(b'half'), time.sleep(60))"
    )
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.exr").write_bytes(b"old")
    fuse = ("fuse", *frames, "--stops", "0,2,4", "--method", "weighted", "--force", "-o", str(out / "a.exr"))
    process = apnt_command(*fuse, code=code)
    wait_until(lambda: any(p.stat().st_size == 4 for p in out.glob(".apnt-*")), process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "Traceback" not in errors
    assert os.listdir(out) == ["a.exr"]
    assert (out / "a.exr").read_bytes() == b"old"


@pytest.mark.parametrize(
    "swallow",
    [
        # An import makes RuntimeError of what is raised while a class is made; a library may drop it.
        "try:\n  time.sleep(60)\n except BaseException as e:\n  raise RuntimeError('of an import') from e",
        "class D:\n  def __del__(self): time.sleep(60)\n D()",
    ],
    ids=["converted", "dropped"],
)
def test_what_becomes_of_a_signals_exception_changes_nothing(
    tmp_path: Path, frames: list[str], swallow: str
) -> None:
    write = f"def write(path, *_):\n path.write_bytes(b'half')\n {swallow}\n"
    code = f"import apnt.io.radiance as r, time\n{write}r.write_exr = write"
    fuse = ("fuse", *frames, "--stops", "0,2,4", "--method", "weighted", "-o", str(tmp_path / "a.exr"))
    process = apnt_command(*fuse, code=code)
    wait_until(lambda: any(p.stat().st_size == 4 for p in tmp_path.glob(".apnt-*")), process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in errors
    assert "Error" not in errors
    assert not [*tmp_path.glob(".apnt-*"), *tmp_path.glob("a*")]


@pytest.mark.parametrize(
    ("module", "before", "number", "code"),
    [
        # Before and after a command, the system ends the process.
        ("typer", False, signal.SIGINT, -signal.SIGINT),
        ("torch", True, signal.SIGINT, -signal.SIGINT),
        ("torch", True, signal.SIGTERM, -signal.SIGTERM),
        # Amid the imports of a command, those of what removes files among them.
        ("OpenEXR", False, signal.SIGINT, 128 + signal.SIGINT),
        ("OpenEXR", False, signal.SIGTERM, 128 + signal.SIGTERM),
        ("OpenEXR", False, signal.SIGHUP, 128 + signal.SIGHUP),
    ],
    ids=str,
)
def test_signals_amid_an_import(
    tmp_path: Path, frames: list[str], module: str, before: bool, number: signal.Signals, code: int
) -> None:
    """A slow module stands in for the real one; ``before``: it is waited for when an error has been said."""
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / f"{module}.py").write_text(
        f"import pathlib, time; pathlib.Path({str(slow / 'begun')!r}).touch(); time.sleep(60)"
    )
    # Who starts the tests may ignore the signal, as nohup does.
    (slow / "sitecustomize.py").write_text(
        f"import signal; signal.signal({int(number)}, signal.SIG_DFL)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)"
    )
    if before:
        Path(frames[0]).write_bytes(Path(frames[0]).read_bytes()[:5000])
    out = str(tmp_path / "a.exr")
    process = subprocess.Popen(
        [sys.executable, "-m", "apnt", "fuse", *frames, "--stops", "0,2,4", "-o", out],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": f"{slow}{os.pathsep}{PACKAGE}"},
    )  # fmt: skip
    assert process.stderr is not None
    said = process.stderr.readline() if before else ""
    wait_until((slow / "begun").exists, process)
    time.sleep(0.3)  # until it waits
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    assert said.startswith("Error: ") == before
    assert "Traceback" not in errors
    assert not tmp_path.joinpath("a.exr").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_slow_download_of_weights(
    tmp_path: Path, frames: list[str], number: signal.Signals
) -> None:
    begun = tmp_path / "begun"
    code = (
        f"import signal; signal.signal({int(number)}, signal.SIG_DFL)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import pathlib, time, apnt.nn.checkpoint as c\n"
        f"c.download = lambda *_: (pathlib.Path({str(begun)!r}).touch(), time.sleep(60))"
    )
    fuse = ("fuse", *frames, "--stops", "0,2,4", "--weights", "some/network", "-o", str(tmp_path / "a.exr"))
    process = apnt_command(*fuse, code=code)
    wait_until(begun.exists, process)
    time.sleep(0.3)  # until it waits
    sent = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - sent < 10  # 0.1 s where nothing else runs
    assert process.returncode == 128 + number, errors
    assert "Traceback" not in errors
    assert not tmp_path.joinpath("a.exr").exists()


def test_an_ignored_signal_stays_ignored() -> None:
    code = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "import atexit; atexit.register(lambda: print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN))"
    )
    assert apnt_command("info", "--json", code=code).communicate(timeout=100)[0].endswith("True\n")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("APNT_CPU_ISA", "x", "APNT_CPU_ISA must be portable, avx2"),
        ("APNT_BACKEND", "x", "APNT_BACKEND must be one of cpp"),
    ],
)
def test_variables(tmp_path: Path, frames: list[str], variable: str, value: str, message: str) -> None:
    fuse = ("fuse", *frames, "--stops", "0,2,4", "--weights", "fast", "-o", str(tmp_path / "a.exr"))
    process = apnt_command(*fuse, **{variable: value})
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 2, errors
    assert errors.startswith(f"Error: {message}")
    assert errors.count("\n") == 1


def test_a_device_of_others(tmp_path: Path, frames: list[str]) -> None:
    options = ("--stops", "0,2,4", "--device", "privateuseone", "-o", str(tmp_path / "a.exr"))
    process = apnt_command("fuse", *frames, *options)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 2, errors
    assert "device must be usable here, and privateuseone is not" in errors


def test_libraries_that_print_do_not_break_json(tmp_path: Path, frames: list[str]) -> None:
    code = (
        "import os, apnt.prepare.pipeline as p\n"
        "whole = p.prepare\n"
        "def noisy(*a, **k):\n"
        "    print('from Python'); os.write(1, b'from C'); return whole(*a, **k)\n"
        "p.prepare = noisy"
    )
    options = ("--stops", "0,2,4", "--method", "weighted", "--json", "-o", str(tmp_path / "a.exr"))
    process = apnt_command("fuse", *frames, *options, code=code)
    out, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert json.loads(out)["size"] == [80, 64]
    assert "from Python" in errors
    assert "from C" in errors


def test_stdout_comes_back(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        os.write(1, b"noise")
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"), only_result_on_stdout():
        fail()
    os.write(1, b"result")
    assert capfd.readouterr() == ("result", "noise")


def test_names_cannot_steer_the_terminal(tmp_path: Path, frames: list[str]) -> None:
    name = "a\x1b]0;title\x07\u202egnp.png"
    (tmp_path / "0.png").rename(tmp_path / name)
    given = (str(tmp_path / name), *frames[1:], str(tmp_path / "none\x1b[2J.png"))
    process = apnt_command("fuse", *given, "--stops", "0,2,4,6", "-o", str(tmp_path / "a.exr"))
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 2
    assert "\x1b" not in errors
    assert r"none\x1b[2J.png" in errors
    options = ("--stops", "0,2,4", "--method", "weighted", "-o", str(tmp_path / "a.exr"))
    process = apnt_command("fuse", *given[:3], *options)
    out, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert not {"\x1b", "\x07", "\u202e"} & set(out + errors)
    assert r"a\x1b]0;title\x07\u202egnp.png" in out


def test_printable() -> None:
    assert printable("straße 図\n\tx") == "straße 図\n\tx"
    assert printable("\x00\x1b\x9b\r\u2028\udcff\U000e0041") == r"\x00\x1b\x9b\x0d\u2028\udcff\U000e0041"


def test_names_are_no_markup_in_tables() -> None:
    rows = [["scene", "PSNR"], ["[red]a[/red] [/b]", "1"], ["a|b<img src=x>\x1b[2J", "2"]]
    console = rich.console.Console(width=80)
    with console.capture() as capture:
        console.print(as_rich(rows))
    assert "[red]a[/red] [/b]" in capture.get()
    assert "\x1b[2J" not in capture.get()
    page = as_markdown(rows)
    assert r"| a\|b&lt;img src=x>\x1b[2J | 2 |" in page


def test_torch_that_cannot_be_imported(tmp_path: Path, frames: list[str]) -> None:
    """It is imported once: the error of a second import would not be the reason."""
    (tmp_path / "torch.py").write_text(
        "import sys\n"
        "if hasattr(sys, 'before'): raise RuntimeError('already defined')\n"
        "sys.before = True\n"
        "raise ImportError('libtorch_cpu.so: failed to map segment from shared object')"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "apnt", "fuse", *frames, "--stops", "0,2,4", "-o", str(tmp_path / "a.exr")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{PACKAGE}"},
    )  # fmt: skip
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 1, errors
    assert errors.startswith("Error: torch must be importable, and is not (libtorch_cpu.so: failed to map")
    assert errors.count("\n") == 1


def test_where_a_run_lies_is_written_out(tmp_path: Path) -> None:
    out = tmp_path / "\x1b[31m[bold]"
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[model]\ntransfer = false\n[network]\nsteps = 1\n")
    process = apnt_command("train", "--config", str(recipe), "--data", str(tmp_path), "--out", str(out))
    told, errors = process.communicate(timeout=100)
    assert process.returncode == 2
    assert "\x1b" not in told + errors
