"""A large fuse that ends early: one sentence, no output, nothing left behind."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from apnt import budget

pytestmark = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of other processes: Linux")

END_TILES = 120.0  # seconds: more than it takes, on a machine that is busy


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three exposures of 288 x 432 pixels."""
    folder = tmp_path_factory.mktemp("photographs")
    y, x = np.mgrid[:288, :432].astype(np.float32)
    light = 0.12 + 0.1 * np.stack([np.sin(x / 37) * np.cos(y / 51 + colour) for colour in range(3)], axis=-1)
    light = light + np.random.default_rng(0).random((288, 432, 1), np.float32) * 0.02
    paths = []
    for k, time in enumerate((0.5, 2, 8)):
        paths.append(str(folder / f"{k}.png"))
        cv2.imwrite(paths[-1], np.uint8(np.round(255 * np.minimum(light * time, 1) ** (1 / 2.2))))
    return paths


@pytest.fixture
def started(photographs: list[str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a fuse in tiles, whose arrays all lie in files."""
    (tmp_path / "files").mkdir()
    (tmp_path / "out").mkdir()
    processes = []

    def start(*lines: str) -> subprocess.Popen[str]:
        code = [
            "from apnt import scratch",
            "scratch._SMALLEST = 1",
            "from apnt.nn import means, tiles",
            "means.WHOLE, tiles.WHOLE, tiles.LARGEST = 1 << 16, 1 << 16, 128",  # more than one tile
            *lines,
            "from apnt.cli import app",
            "app()",
        ]
        command = [sys.executable, "-c", "\n".join(code), "fuse", *photographs, "--stops", "0,2,4"]
        command += ["-o", str(tmp_path / "out" / "a.exr"), "--weights", "fast", "--memory", "1500MB"]
        process = subprocess.Popen(
            command,
            env={**os.environ, "TMPDIR": str(tmp_path / "files"), "NO_COLOR": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def said_after_plan(process: subprocess.Popen[str]) -> str:
    """The one line behind the plan."""
    lines = [line for line in process.communicate(timeout=END_TILES)[1].splitlines() if line.strip()]
    assert len(lines) == 1, lines
    return lines[0]


def wait_for_plan(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    assert process.stderr.readline().startswith("Plan     ")


def nothing_left(folder: Path) -> bool:
    return not any(os.listdir(folder / name) for name in ("files", "out"))


def test_ctrl_c(started: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    # Jobs in the background of a script ignore it.
    process = started("import signal; signal.signal(signal.SIGINT, signal.default_int_handler)")
    wait_for_plan(process)
    process.send_signal(signal.SIGINT)
    assert said_after_plan(process) == "Interrupted: unfinished files are removed."
    assert process.returncode == 130
    assert nothing_left(tmp_path)


def test_a_limit_of_memory(started: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    process = started()
    wait_for_plan(process)
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + 1_000_000
    resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))
    said = said_after_plan(process)
    assert said.startswith("Error: ")
    assert "needs more memory than there is" in said
    assert process.returncode == 1
    assert nothing_left(tmp_path)


def test_a_full_disk(started: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    full = "scratch.reserve = lambda *_: (_ for _ in ()).throw(OSError(28, 'No space left on device'))"
    process = started(full)
    said = said_after_plan(process)
    assert said.startswith("Error: ")
    assert "of room for frames that do not fit into memory (No space left on device)" in said
    assert process.returncode == 1
    assert nothing_left(tmp_path)


def test_a_disk_that_fills_while_the_result_is_written(
    started: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = started()
    wait_for_plan(process)
    # No file of more than a megabyte from here on: what is written fails in the middle.
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    assert said_after_plan(process).startswith("Error: ")
    assert process.returncode == 1
    assert nothing_left(tmp_path)


def test_amounts_of_this_process_are_told() -> None:
    mapped = budget.mapped()
    assert mapped is not None
    assert 0 < mapped < budget.resident()
