"""The reliability bench in short: a few tries of every part, and none of them a fault."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import apnt

PACKAGE = str(Path(apnt.__file__).resolve().parents[1])
# Shares of the whole bench.
PARTS = {
    "mutations": 0.003, "truncations": 0.04, "ops": 0.01, "kills": 0.01,
    "disks": 0.04, "growth": 0.01, "concurrency": 0.1,
}  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_no_fault(part: str) -> None:
    command = [sys.executable, "-W", "ignore", str(Path(__file__).parent)]
    command += ["--only", part, "--scale", str(PARTS[part])]
    # What is tested is the package that this process imports.
    environment = {**os.environ, "PYTHONPATH": PACKAGE, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout
    assert " 0 faults" in done.stdout
