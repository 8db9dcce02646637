"""What makes the command start fast, and changes no result."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from apnt import memory
from apnt.methods.registry import comes_with_package

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
PAGES = """
import resource
from apnt.memory import keep_freed, keeping_all
keep_freed()
with keeping_all(True, {}):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pieces = [bytearray(50 << 20) for _ in range(4)]
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
AHEAD = """
import sys
import apnt
from apnt._with_torch import import_ahead
assert "torch" not in sys.modules
def needs_torch():
    return "torch" in sys.modules and "apnt.ops" in sys.modules
print(import_ahead()(needs_torch)())
"""
NEEDLESS = {
    *("torch._dynamo", "torch._inductor", "sympy", "triton"),  # compilers
    *("tifffile", "imagecodecs", "rawpy", "pillow_heif"),  # of other formats than those of this bracket
    *("scipy", "skimage", "matplotlib", "jinja2", "gradio", "ray", "tensorboard", "torchvision"),
    *("huggingface_hub", "requests", "httpx", "onnx", "onnxscript", "onnxruntime"),
    *("apnt.train", "apnt.evaluate", "apnt.export", "apnt.report", "apnt.ui", "apnt.experiments"),
}
"""What ``apnt fuse`` of a bracket of PNGs has no use for."""
FUSE = """
import sys
from typer.testing import CliRunner
from apnt.cli import app
done = CliRunner().invoke(app, ["fuse", *sys.argv[1:]])
assert done.exit_code == 0, done.output
print(*sys.modules)
"""
SMALL = """
import os, sys
from typer.testing import CliRunner
from apnt.cli import app
assert "numpy" not in sys.modules
CliRunner().invoke(app, ["fuse", "nothing.jpg", "-o", "out.exr"])
print("numpy" in sys.modules and os.environ["OPENBLAS_NUM_THREADS"])
"""


def said(program: str, *arguments: str) -> str:
    """What a Python program prints, in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
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


def test_what_cannot_be_reserved_leaves_the_allocator_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: list[tuple[int, int]] = []

    def refuse(size: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(memory, "_keeps", True)
    monkeypatch.setattr(memory, "_set", lambda option, value: set_to.append((option, value)))
    monkeypatch.setattr(memory, "_reserve_large_pages", refuse)
    with pytest.raises(KeyboardInterrupt), memory.keeping_all(True, 1 << 30):
        pass
    assert not memory._keeps_all
    assert dict(set_to)[memory._MMAP_MAX] == 1 << 16


_LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(
    not _LARGE_PAGES.exists() or "[never]" in _LARGE_PAGES.read_text(),
    reason="this system has no large pages",
)
def test_what_is_wanted_comes_in_large_pages() -> None:
    small, large = (int(said(PAGES.format(wanted))) for wanted in (0, 300 << 20))
    assert large < 5000
    if "[always]" not in _LARGE_PAGES.read_text():
        assert small > 50_000


def test_torch_is_imported_while_photographs_are_prepared() -> None:
    assert said(AHEAD) == "True"


def test_numpy_multiplies_small_matrices_in_one_thread() -> None:
    assert said(SMALL) == "1"


def test_fuse_imports_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    for k in range(3):
        frame = np.full((64, 80, 3), 40 << k, np.uint8)
        frame[20:40, 30:50] += 30
        Image.fromarray(frame).save(tmp_path / f"{k}.png")
    names = [str(tmp_path / f"{k}.png") for k in range(3)]
    arguments = ["--stops", "0,2,4", "--weights", "fast", "--trust-exposures", "-o", str(tmp_path / "a.exr")]
    imported = set(said(FUSE, *names, *arguments).split())
    assert {"torch", "cv2", "apnt.nn.apnt"} <= imported
    assert NEEDLESS & imported == set()


@pytest.mark.parametrize(
    ("method", "weights", "comes"),
    [
        ("apnt", "default", True),
        ("apnt", "fast", True),
        ("weighted", "no/such", True),  # it has none
        ("apnt", "some/network", False),
        ("apnt", "./fast", False),
        ("apnt", "", False),
        ("apnt", "slow", False),
        ("wu18", "fast", False),
    ],
)
def test_what_may_be_loaded_beside_the_photographs(method: str, weights: str, comes: bool) -> None:
    """Weights that nothing can be wrong with; others are loaded first, so that a mistake shows at once."""
    assert comes_with_package(method, weights) == comes
