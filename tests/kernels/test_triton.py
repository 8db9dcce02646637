"""The Triton kernels, in a process of their own that interprets them; and what a machine says that cannot
run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from apnt.errors import InputError
from apnt.ops import _backend, patch_swap, window_match

kernels = pytest.importorskip("apnt.kernels.operators")
language = pytest.importorskip("apnt.kernels.language")

TESTS = Path(__file__).resolve().parents[1]
SUITE = {  # Of about the same length.
    "match": ("ops/test_window_match.py",),
    "others": (
        "ops/test_patch_swap.py",
        "ops/test_fuzz.py",
        "ops/test_derivatives.py::test_half_precision_has_them_too",
        "ops/test_derivatives.py::test_one_input_may_have_no_derivative",
        "kernels/test_triton_kernels.py",
    ),
}
CASES = (  # of test_equals_loops
    (1, 2, 1, 1, 2, 3), (2, 3, 2, 3, 1, 5), (1, 1, 5, 4, 0, 3), (1, 4, 7, 5, 1, 1), (2, 3, 6, 7, 2, 3),
    (1, 2, 9, 8, 3, 3), (1, 5, 8, 9, 2, 5), (1, 3, 7, 9, 4, 1), (1, 2, 3, 11, 4, 3),
)  # fmt: skip
# `make triton` runs these too.
SLOW = (
    # Finite differences start a kernel hundreds of times: one case of one op. The fuzz compares the gradients
    # of both ops with those of float64.
    "ops/test_window_match.py::test_gradients",
    "ops/test_patch_swap.py::test_gradient[triton-3]",
    # Every size with and without centres, and both dtypes with each of these, but not each with each.
    *(
        f"ops/test_window_match.py::test_equals_loops[triton-{case}-{centered}-dtype{(k + centered) % 2}]"
        for k, case in enumerate(CASES)
        for centered in (False, True)
    ),
    # 1 and 17 channels, of one block and of two, are left.
    *(
        f"ops/test_window_match.py::test_equal_scores_take_the_center[triton-{case}]"
        for case in ("1-3", "1-17", "1-64", "3-1", "3-3", "3-64")
    ),
    # A window larger than the image is one of the sizes above.
    "ops/test_window_match.py::test_window_as_large_as_the_image_finds_a_shift[triton]",
    # A product of float32 has one way here, whatever the radius.
    "ops/test_window_match.py::test_float32_of_every_mantissa[triton-3]",
    # bfloat16 is left, which is multiplied as float32.
    "ops/test_derivatives.py::test_half_precision_has_them_too[triton-dtype0]",
    # Large for tiles and windows in shared memory, which these kernels have not; "wide noise" takes many
    # programs.
    "ops/test_patch_swap.py::test_large_images_and_gradients[triton-far apart]",
    "ops/test_patch_swap.py::test_large_images_and_gradients[triton-tiles]",
    # Large, and about PyTorch's threads, of which the interpreter has none.
    "ops/test_patch_swap.py::test_results_do_not_depend_on_the_number_of_threads[triton",
)


def interpreted(names: Sequence[str], folder: Path) -> int:
    """How many tests of these files pass in a process that interprets the kernels."""
    # The variable is read when a kernel is declared: too late for this process. From another folder, so that
    # the package that this process imports is the one that is tested.
    command = [sys.executable, "-m", "pytest", "-q", "-k", "triton", "-p", "no:cacheprovider", "-W", "ignore"]
    command += ["--rootdir", str(TESTS.parent), "-c", str(TESTS.parent / "pyproject.toml")]
    command += [f"--deselect=tests/{name}" for name in SLOW]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, *(str(TESTS / name) for name in names)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    summary = done.stdout.splitlines()[-1]
    assert "skipped" not in summary, done.stdout[-8000:]
    (passed,) = re.findall(r"(\d+) passed", summary)
    return int(passed)


@pytest.mark.skipif(language.MISSING is not None, reason=str(language.MISSING))
@pytest.mark.skipif(language.INTERPRET, reason="this process interprets the kernels itself")
@pytest.mark.parametrize(("part", "fewest"), [("match", 95), ("others", 95)])
def test_the_suite_passes_in_the_interpreter(part: str, fewest: int, tmp_path: Path) -> None:
    assert interpreted(SUITE[part], tmp_path) >= fewest


X = torch.ones(1, 2, 4, 5)
V = torch.ones(1, 2, 4, 5, dtype=torch.int32)


def refuse() -> str:
    """The reason that both ops give for refusing Triton."""
    messages = set()
    for call in (
        lambda: patch_swap(X, V, backend="triton"),
        lambda: window_match(X, X, V, radius=1, backend="triton"),
    ):
        with pytest.raises(InputError, match="backend 'triton' cannot run here: ") as caught:
            call()
        messages.add(str(caught.value))
    (message,) = messages
    return message


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is registered, nor will be."""
    monkeypatch.setattr(kernels, "register", kernels.register.__wrapped__)


@pytest.mark.usefixtures("forgotten")
def test_says_that_triton_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "MISSING", "Triton is not installed")
    assert "Triton is not installed" in refuse()
    assert _backend.unavailable("triton") == "Triton is not installed"


@pytest.mark.usefixtures("forgotten")
def test_says_that_the_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "MISSING", None)
    monkeypatch.setattr(kernels._ext, "MISSING", "it was never built")
    assert "declared in the compiled library: it was never built" in refuse()


@pytest.mark.usefixtures("forgotten")
def test_says_that_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "MISSING", None)
    monkeypatch.setattr(language, "INTERPRET", False)
    monkeypatch.setattr(kernels._ext, "MISSING", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "it needs a GPU, and PyTorch finds none; set TRITON_INTERPRET=1" in refuse()


def test_says_that_the_tensors_are_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "register", lambda: None)
    monkeypatch.setattr(language, "INTERPRET", False)
    assert "it needs tensors on a GPU, source is on the CPU" in refuse()
    assert "source is on meta" in str(_backend.refusal("triton", X.to("meta")))
    many = torch.empty(1, 1, 1, 1).expand(2**12, 1, 2**10, 2**9)
    monkeypatch.setattr(language, "INTERPRET", True)
    assert "it needs fewer than 2**31 pixels" in str(_backend.refusal("triton", many))
    assert _backend.refusal("triton", X) is None


def test_says_that_the_source_tree_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name="apnt.kernels")

    monkeypatch.setattr(_backend.importlib, "import_module", fail)
    assert "a source tree has no package apnt.kernels before it is installed" in refuse()
