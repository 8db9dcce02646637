"""What makes the command start fast, and changes no result."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource
from apnt.memory import keep_freed
{}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = faults()
for _ in range(10):
    pieces = [bytearray(30 << 20) for _ in range(4)]
    del pieces
print(faults() - before)
"""
AHEAD = """
import sys
import apnt
from apnt._with_torch import import_ahead
assert "torch" not in sys.modules
import_ahead()()
print("torch" in sys.modules and "apnt.ops" in sys.modules)
"""
SMALL = """
import os, sys
from typer.testing import CliRunner
from apnt.cli import app
assert "numpy" not in sys.modules
CliRunner().invoke(app, ["fuse", "nothing.jpg", "-o", "out.exr"])
print("numpy" in sys.modules and os.environ["OPENBLAS_NUM_THREADS"])
"""


def said(program: str) -> str:
    """What a Python program prints, in a process of its own."""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is glibc's")
def test_pages_that_are_freed_are_taken_again() -> None:
    usual, kept = (int(said(FAULTS.format(call))) for call in ("", "keep_freed()"))
    assert kept < usual / 4


def test_torch_is_imported_while_photographs_are_prepared() -> None:
    assert said(AHEAD) == "True"


def test_numpy_multiplies_small_matrices_in_one_thread() -> None:
    assert said(SMALL) == "1"
