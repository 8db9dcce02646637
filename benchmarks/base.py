"""``apnt bench --base COMMIT``: this build beside that of another commit, in turn, on the same inputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

import apnt
from apnt.benchmarks import base_worker, scenes
from apnt.benchmarks.measure import Row, summary
from apnt.errors import InputError

SIZE = (512, 768)
ROUNDS = 9


def compare(commit: str, repository: Path, rounds: int = ROUNDS) -> list[Row]:
    """Time the ops and a fuse with this build and with that of a commit.

    Both builds run in processes of their own that take turns, so that both see the same machine.

    Args:
        commit: anything that git takes for one.
        repository: a clone of apnt's repository.
        rounds: how often each piece of work runs in each build, after one run that is not counted.

    Returns:
        A row for each piece of work: the time of this build, and its share of the other's.

    Raises:
        InputError: no repository, no such commit, or one that does not build.
    """
    own = Path(apnt.__file__).parents[1]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        other = build(commit, repository, folder)
        inputs = folder / "inputs.pt"
        write_inputs(inputs)
        builds = {"own": own, "base": other}
        workers = {side: stack.enter_context(worker(path, inputs)) for side, path in builds.items()}
        names, _ = [json.loads(read_line(process)) for process in workers.values()]
        seconds: dict[tuple[str, str], list[float]] = {}
        for number in range(rounds + 1):
            for name in names:
                for side, process in workers.items():
                    assert process.stdin is not None
                    process.stdin.write(name + "\n")
                    process.stdin.flush()
                    taken = float(read_line(process))
                    if number:  # the first warms up
                        seconds.setdefault((side, name), []).append(taken)
    rows = []
    for name in names:
        ours, base = (summary(seconds[side, name]) for side in ("own", "base"))
        figures = {f"ms at {commit}": 1e3 * base.median, "ratio": ours.median / base.median}
        rows.append(Row(name, ours, figures))
    return rows


def build(commit: str, repository: Path, folder: Path) -> Path:
    """Install a commit into a folder of its own; returns what goes on the path of Python."""
    source, target = folder / "source", folder / "installed"
    git = ["git", "-C", str(repository)]
    run([*git, "rev-parse", "--show-toplevel"], f"{repository} must be a clone of apnt's repository")
    found = run(
        [*git, "rev-parse", f"{commit}^{{commit}}"], f"base {commit!r} must be a commit of {repository}"
    )
    run(["git", "clone", "-q", "--no-checkout", str(repository), str(source)], f"{repository} must be whole")
    run(["git", "-C", str(source), "checkout", "-q", found.strip()], f"base {commit!r} must be whole")
    # The same torch as here, in place of one that pip would fetch for the build.
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    run([*pip, "--target", str(target), str(source)], f"base {commit!r} must build")
    return target


def run(command: list[str], must: str) -> str:
    """What a command prints; its last words are the reason if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise InputError(f"{must}, and that fails: {words[-1] if words else done.returncode}")
    return done.stdout


def write_inputs(path: Path) -> None:
    """Features, offsets and frames of a made scene."""
    bracket = scenes.photographs([], None, *SIZE)
    found = scenes.pyramids(bracket)
    ldr, times = bracket.tensors()
    frames = ldr[0].permute(0, 2, 3, 1).contiguous()
    torch.save({**found._asdict(), "ldr": list(frames), "times": times[0]}, path)


@contextmanager
def worker(package: Path, inputs: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has the apnt in ``package`` and does what it is told."""
    environment = {**os.environ, "PYTHONPATH": str(package), "THP_MEM_ALLOC_ENABLE": "1"}
    command = [sys.executable, base_worker.__file__, str(inputs), str(torch.get_num_threads())]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def read_line(process: subprocess.Popen[str]) -> str:
    """The next answer of a worker."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("a build ended while it was timed; what it said stands above")
    return line
