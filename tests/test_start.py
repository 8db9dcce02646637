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
LARGE = """
import resource
from apnt.memory import give_back, keep_freed, keeping_all
{}
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        piece = bytearray(100 << 20)  # more than keep_freed keeps
        del piece
        give_back()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
with keeping_all({}):
    within = faults()
print(within, faults())
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


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is glibc's")
@pytest.mark.parametrize(
    ("asked", "plentiful", "kept"),
    [("keep_freed()", True, True), ("keep_freed()", False, False), ("", True, False)],
)
def test_large_pieces_are_kept_where_memory_is_plentiful(asked: str, plentiful: bool, kept: bool) -> None:
    """And where the program has asked for it; afterwards they are handed back as before."""
    within, after = map(int, said(LARGE.format(asked, plentiful)).split())
    assert (within < after / 4) == kept


def test_torch_is_imported_while_photographs_are_prepared() -> None:
    assert said(AHEAD) == "True"


def test_numpy_multiplies_small_matrices_in_one_thread() -> None:
    assert said(SMALL) == "1"
