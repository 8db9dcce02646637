"""gpu_check.sh and gpu_steps.py where there is no GPU: their order, and what stays when steps fail or time
runs out."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from apnt.ops import _backend

ROOT = Path(__file__).resolve().parents[2]

# Stands for an interpreter on a machine with a GPU: does nothing, slowly or with a failure where it is told
# so.
PYTHON = """#!/bin/sh
case "$*" in
  *get_device_capability*) echo 9.0 ;;
  "- "*) exec {python} "$@" ;;
  *"{slow}"*) sleep 60 ;;
  *"{wrong}"*) echo "it is wrong"; exit 1 ;;
esac
"""


def check(
    tmp_path: Path, slow: str = "nothing", wrong: str = "nothing", seconds: int = 60
) -> tuple[int, list[str]]:
    """Exit code, and the names of the steps of summary.txt with their results."""
    python, site, out = tmp_path / "python", tmp_path / "site", tmp_path / "out"
    python.write_text(PYTHON.format(python=sys.executable, slow=slow, wrong=wrong))
    (tmp_path / "compute-sanitizer").write_text("#!/bin/sh\nexit 1\n")
    for program in (python, tmp_path / "compute-sanitizer"):
        program.chmod(0o755)
    (site / "apnt" / "lib").mkdir(parents=True)
    (site / "apnt" / "lib" / "libapnt_cuda.so").touch()
    environment = {
        **os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHON": str(python),
        "GPU_CHECK_SITE": str(site), "GPU_CHECK_SECONDS": str(seconds),
    }  # fmt: skip
    command = [ROOT / "benchmarks" / "gpu_check.sh", out]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    lines = (out / "summary.txt").read_text().splitlines()
    assert "" not in lines, done.stderr
    return done.returncode, lines


@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("-h", 0), ("--out", 2)])
def test_help(argument: str, code: int, tmp_path: Path) -> None:
    command = [ROOT / "benchmarks" / "gpu_check.sh", argument]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == code
    assert done.stdout.startswith("Everything that needs an NVIDIA GPU")
    assert "GPU_CHECK_STEPS " in done.stdout
    assert not done.stderr


def test_what_tells_most_comes_first(tmp_path: Path) -> None:
    code, lines = check(tmp_path)
    names = [line.split()[0] for line in lines]
    assert names[:9] == [
        "loads",
        "facts",
        "once",
        "parity-small",
        "parity-cuda",
        "profile",
        "bench",
        "gpu",
        "sanitizer",
    ]
    assert names[9] == "bench-triton"  # no memcheck: its probe failed
    assert set(names[10:]) == {"parity-triton", "fuzz-triton"}
    assert code == 1  # the probe is a step, too
    steps = json.loads((tmp_path / "out" / "summary.json").read_text())["steps"]
    assert [step["result"] for step in steps if step["step"] != "sanitizer"] == ["passed"] * 11


def test_a_wrong_triton_kernel_does_not_stop_the_benchmarks_of_cuda(tmp_path: Path) -> None:
    _, lines = check(tmp_path, wrong="-k triton")
    results = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}
    assert results["bench"].startswith("passed")
    assert results["parity-triton"].startswith("failed with exit code 1")
    assert "it is wrong" in (tmp_path / "out" / "log.txt").read_text()


def test_what_was_done_stays_when_time_runs_out(tmp_path: Path) -> None:
    _, lines = check(tmp_path, slow="gpu_steps.py profile", seconds=8)
    results = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}
    assert results["once"].startswith("passed")
    assert results["profile"].startswith("timed out")
    assert results["bench"].startswith("no time left")
    assert "==== once: passed" in (tmp_path / "out" / "log.txt").read_text()


@pytest.fixture
def steps() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_steps", ROOT / "benchmarks" / "gpu_steps.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_steps"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


needs_library = pytest.mark.skipif(
    _backend.unavailable("cpp") is not None, reason=str(_backend.unavailable("cpp"))
)


@needs_library
@pytest.mark.parametrize("step", ["bench", "profile"])
def test_lines_are_written_as_they_are_measured(
    steps: ModuleType, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "lines.jsonl"
    seen: list[int] = []
    whole = steps.work

    def work(place: object) -> object:
        for number, item in enumerate(whole(place)):
            seen.append(len(out.read_text().splitlines()))
            yield item
            if number == 3:
                return

    monkeypatch.setattr(steps, "work", work)
    arguments = [step, "--out", str(out), "--device", "cpu", "--backend", "cpp", "--scale", "0.02"]
    monkeypatch.setattr(sys, "argv", ["gpu_steps.py", *arguments])
    assert steps.main() == 0
    assert seen == [0, 1, 2, 3]
    assert all(step in json.loads(line) for line in out.read_text().splitlines())


def test_the_device_sleeps_until_a_call_is_launched(
    steps: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the time of a call that is shorter than its launches would be that of the host."""
    did: list[str] = []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            did.append("event")

        def synchronize(self) -> None:
            did.append("waits")

        def elapsed_time(self, end: Event) -> float:
            return 0.5

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "_sleep", lambda clocks: did.append("sleeps"), raising=False)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: did.clear())
    found = steps.seconds(lambda: did.append("call"), steps.Place("cuda", "cuda", 1.0), rounds=2)
    assert found == {"median": 5e-4, "least": 5e-4, "most": 5e-4}
    assert did == ["sleeps", "event", "call", "event", "waits"] * 2


@needs_library
@pytest.mark.parametrize(
    "case",
    ["match-bfloat16-centres", "match-direct", "swap-float32", "match-gradient", "swap-gradient-fixed-last"],
)
def test_the_small_questions_are_answered(steps: ModuleType, case: str) -> None:
    steps.ask(case, steps.Place("cpu", "cpp", 1.0))
