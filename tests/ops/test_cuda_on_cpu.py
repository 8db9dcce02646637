"""The stand-in for the CUDA runtime, errors that it and the sanitizers find, and the operators' contracts.

That the kernels are right is tested with every other backend; here, that mistakes in them are found.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

import apnt
from apnt import testing
from apnt.ops import _backend
from apnt.reference.score import score_at

ROOT = Path(__file__).resolve().parents[2]
SCHEDULES = (0, 1, 2, 3)


@pytest.fixture
def stand_in(cuda_on_cpu: ModuleType) -> Iterator[ModuleType]:
    loaded: ModuleType = cuda_on_cpu.load()
    loaded.set_schedule(2)
    yield loaded
    loaded.set_schedule(0)


def vectors(reach: int, *shape: int) -> Tensor:
    return torch.randint(-reach, reach + 1, shape, dtype=torch.int32)


# ---- single instructions


def fragments(a: Tensor, b: Tensor, c: Tensor, each: int) -> tuple[Tensor, Tensor, Tensor]:
    """A (16, K), B (K, 8), C (16, 8) as the lanes of a warp hold them, from the tables of the PTX manual."""
    rows_a, rows_b, rows_c = [], [], []
    half = a.shape[1] // 2
    for lane in range(32):
        g, t = lane // 4, lane % 4
        columns = slice(t * each, (t + 1) * each)
        later = slice(half + t * each, half + (t + 1) * each)
        rows_a.append(torch.cat([a[g, columns], a[g + 8, columns], a[g, later], a[g + 8, later]]))
        rows_b.append(torch.cat([b[columns, g], b[later, g]]))
        rows_c.append(torch.stack([c[g, 2 * t], c[g, 2 * t + 1], c[g + 8, 2 * t], c[g + 8, 2 * t + 1]]))
    return torch.stack(rows_a), torch.stack(rows_b), torch.stack(rows_c)


@pytest.mark.parametrize(
    ("name", "dtype", "k"),
    [("f16", torch.float16, 16), ("bf16", torch.bfloat16, 16), ("tf32", torch.float32, 8)],
)
def test_tensor_cores(stand_in: ModuleType, name: str, dtype: torch.dtype, k: int) -> None:
    # Whole numbers: every order of additions gives the same sum.
    torch.manual_seed(0)
    a, b, c = torch.randint(-9, 9, (16, k)), torch.randint(-9, 9, (k, 8)), torch.randint(-9, 9, (16, 8))
    of_a, of_b, of_c = fragments(a, b, c, each=k // 8)
    of_a, of_b, of_c = of_a.to(dtype), of_b.to(dtype), of_c.float()
    getattr(stand_in, f"multiply_{name}")(of_a.data_ptr(), of_b.data_ptr(), of_c.data_ptr())
    expected = fragments(a, b, a @ b + c, each=k // 8)[2]
    assert torch.equal(of_c, expected.float())


def test_tf32_has_ten_bits(stand_in: ModuleType) -> None:
    step = 2.0**-10
    for x, expected in ((1 + 0.4 * step, 1.0), (1 + 0.5 * step, 1 + step), (-1 - 0.5 * step, -1 - step)):
        assert stand_in.to_tf32(x) == expected
    assert stand_in.to_tf32(float("inf")) == float("inf")


def test_ldmatrix_and_asynchronous_copies(stand_in: ModuleType) -> None:
    matrices = torch.arange(4 * 64, dtype=torch.int16).view(4, 8, 8)
    out = torch.zeros(32, 4, 2, dtype=torch.int16)
    stand_in.load_matrices(matrices.data_ptr(), out.data_ptr())
    for lane, i, e in itertools.product(range(32), range(4), range(2)):
        row, column = lane // 4, 2 * (lane % 4) + e
        assert out[lane, i, e] == matrices[i, row, column]


def test_warp_functions(stand_in: ModuleType) -> None:
    torch.manual_seed(0)
    x = torch.randint(0, 100, (32,), dtype=torch.int32)
    out = torch.zeros(4, 32, dtype=torch.int32)
    stand_in.warp_functions(x.data_ptr(), out.data_ptr())
    v = x.tolist()
    lanes = range(32)
    expected = [
        [v[i - 3] if i >= 3 else v[i] for i in lanes],
        [v[i ^ 9] for i in lanes],
        [sum(1 << j for j in lanes if v[j] % 4 == v[i] % 4) for i in lanes],
        [sum(1 << bit for bit in {x % 32 for x in v}) for _ in lanes],
    ]
    assert [[int(e) & 0xFFFFFFFF for e in row] for row in out.tolist()] == expected


# ---- mistakes


@pytest.fixture(scope="module")
def faults(cuda_on_cpu: ModuleType) -> Path:
    path: Path = cuda_on_cpu.build_faults()
    return path


@pytest.fixture(scope="module")
def sanitized_faults(cuda_on_cpu: ModuleType) -> Path:
    path: Path = cuda_on_cpu.build_faults(sanitize=True)
    return path


def run_fault(program: Path, name: str, schedule: int = 0) -> tuple[int, str]:
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    done = subprocess.run(
        [program, name, str(schedule)],
        capture_output=True, text=True, env=environment, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


REVERSED = [2.0 * (63 - i) for i in range(64)]
ROUNDS = [4.0 * ((i + 33) % 64) + 6 for i in range(64)]


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [("right", "missing_barrier", REVERSED), ("right_rounds", "missing_second_barrier", ROUNDS)],
)
def test_a_missing_barrier_changes_the_result(
    faults: Path, right: str, wrong: str, expected: list[float]
) -> None:
    def results(name: str) -> list[list[float]]:
        return [[float(x) for x in run_fault(faults, name, schedule)[1].split()] for schedule in SCHEDULES]

    assert results(right) == [expected] * len(SCHEDULES)
    # In every order, and not only in a lucky one: the stand-in runs threads as far as they get.
    assert all(found != expected for found in results(wrong))


@pytest.mark.parametrize("name", ["unwritten_shared", "copy_not_awaited"])
def test_what_was_not_written_is_nan(faults: Path, name: str) -> None:
    assert "nan" in run_fault(faults, name)[1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("divergent_barrier", "threads wait for others that never come"),
        ("different_functions", "threads of a warp call different functions"),
        ("too_much_shared", "166913 bytes of shared memory, a block has 166912"),
        ("too_many_threads", "a block has 1 to 1024 threads"),
    ],
)
def test_a_launch_that_cannot_work_is_an_error(faults: Path, name: str, message: str) -> None:
    for schedule in SCHEDULES:
        code, output = run_fault(faults, name, schedule)
        assert code == 3
        assert message in output
        assert "faults.cpp:" in output


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("shared_overflow", "runtime error: load of address .* with insufficient space"),
        ("dynamic_shared_overflow", "AddressSanitizer: heap-buffer-overflow"),
        ("global_overflow", "AddressSanitizer: heap-buffer-overflow"),
        ("misaligned", "runtime error: .* misaligned address"),
    ],
)
def test_the_sanitizers_report_errors_in_kernels(sanitized_faults: Path, name: str, message: str) -> None:
    code, output = run_fault(sanitized_faults, name)
    assert code not in (0, 3)
    assert re.search(message, output), output


def test_the_sanitizers_accept_right_kernels(sanitized_faults: Path) -> None:
    for name, schedule in itertools.product(("right", "right_rounds"), SCHEDULES):
        code, output = run_fault(sanitized_faults, name, schedule)
        assert code == 0, output


# What, where, and a test that has to fail with it.
PLANTED = {
    "index off by one": (
        "patch_swap_plan.cuh",
        "const int r = threadIdx.y + o / Patch, q = threadIdx.x + o % Patch;",
        "const int r = threadIdx.y + o / Patch, q = threadIdx.x + o % Patch - (o == 4);",
        "test_equals_loops",
    ),
    "missing barrier": (
        "patch_swap_plan.cuh",
        "    __syncthreads();\n\n    const int y",
        "\n    const int y",
        "test_equals_loops",
    ),
    "copy that is not waited for": (
        "window_match_shared.cu",
        "cp_async_wait<Products::kStages - 2>()",
        "cp_async_wait<Products::kStages - 1>()",
        "test_every_kind_of_tile",
    ),
    "norm of the next row": (
        "window_match_shared.cu",
        "scales + row * kScaleRow + col, best",
        "scales + (row + 1) * kScaleRow + col, best",
        "test_every_kind_of_tile",
    ),
    "missing barrier in the sort": (
        "read_lists.cu",
        "    __syncthreads();  // of_warp has been read\n",
        "",
        "test_deterministic_gradient",
    ),
}


def run_planted(folder: Path, name: str) -> tuple[int, str]:
    """Exit code and output of the suite on kernels with that mistake."""
    file, old, new, test = PLANTED[name]
    csrc = folder / name / "csrc"
    shutil.copytree(ROOT / "csrc", csrc)
    path = csrc / "cuda" / file
    text = path.read_text()
    assert text.count(old) == 1, f"{file} has changed: plant the {name} somewhere else"
    path.write_text(text.replace(old, new))
    files = [
        str(ROOT / "tests" / "ops" / f"test_{name}.py")
        for name in ("patch_swap", "window_match_tiles", "cuda_on_cpu")
    ]
    suite = [*files, "-k", f"{test} and cuda-on-cpu"]
    # Python searches the package in its working directory first: the folder that this process has it from.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *suite],
        capture_output=True, text=True, cwd=Path(apnt.__file__).parents[1], timeout=300, check=False,
        env={**os.environ, "APNT_CUDA_ON_CPU_SOURCES": str(csrc)},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def planted(cuda_on_cpu: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """:func:`run_planted` of every mistake, two at a time: most of it is the compiler."""
    folder = tmp_path_factory.mktemp("planted")
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(PLANTED, pool.map(lambda name: run_planted(folder, name), PLANTED), strict=True))


@pytest.mark.parametrize("name", list(PLANTED))
def test_a_planted_mistake_fails_the_suite(planted: dict[str, tuple[int, str]], name: str) -> None:
    code, output = planted[name]
    assert code == 1, output
    assert "AssertionError" in output
    assert "1 failed" in output


# ---- the operators


MATCH = [  # centered, radius, patch_size, normalize, dtype
    (False, 2, 3, "search", torch.float32),
    (True, 1, 3, "cosine", torch.bfloat16),
    (True, 0, 1, "paper", torch.float64),
    (False, 1, 5, "none", torch.float16),
]
WANTED = list(itertools.product([False, True], repeat=2))
"""Which gradients are asked for: two of them by each of MATCH, each of them by two."""
SWAP = [(3, torch.float32), (1, torch.float64), (5, torch.bfloat16), (3, torch.float16)]


def make_inputs(centered: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor | None]:
    torch.manual_seed(1)
    source, target = (torch.randn(2, 5, 9, 11).to(dtype).requires_grad_() for _ in range(2))
    return source, target, vectors(4, 2, 2, 9, 11) if centered else None


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("number", range(len(MATCH)), ids=[str(case) for case in MATCH])
def test_window_match_is_a_proper_operator(number: int) -> None:
    centered, radius, patch_size, normalize, dtype = MATCH[number]
    source, target, center = make_inputs(centered, dtype)
    operators = torch.ops.apnt_cuda_on_cpu
    torch.library.opcheck(operators.window_match, (source, target, center, radius, patch_size, normalize))
    with torch.no_grad():
        score, offset = operators.window_match(source, target, center, radius, patch_size, normalize)
    for wanted in (WANTED[number], WANTED[number - 1]):
        arguments = (torch.randn_like(score), source.detach(), target.detach(), offset, patch_size, normalize)
        torch.library.opcheck(operators.window_match_backward, (*arguments, *wanted, True))


@pytest.mark.usefixtures("stand_in")
def test_tf32_is_a_proper_argument() -> None:
    source, target, _ = make_inputs(False, torch.float32)
    torch.library.opcheck(
        torch.ops.apnt_cuda_on_cpu.window_match, (source, target, None, 2, 3, "search", True)
    )


def by_matmul(allowed: bool) -> None:
    torch.backends.cuda.matmul.fp32_precision = "tf32" if allowed else "ieee"


def by_precision(allowed: bool) -> None:
    torch.set_float32_matmul_precision("high" if allowed else "highest")


def by_allowing(allowed: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = allowed


def everywhere(allowed: bool) -> None:
    torch.backends.cuda.matmul.fp32_precision = "none"
    torch.backends.fp32_precision = "tf32" if allowed else "ieee"


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("switch", [by_matmul, by_precision, by_allowing, everywhere])
def test_the_switch_for_tf32_is_read_at_every_call(
    switch: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_backend, "namespace", lambda backend: "apnt_cuda_on_cpu")
    source, target, _ = make_inputs(False, torch.float32)

    def match(source: Tensor, target: Tensor) -> Tensor:
        return apnt.ops.window_match(source, target, radius=1, backend="cpp")[1]

    compiled = torch.compile(match, fullgraph=True, backend="aot_eager")
    before = torch.backends.fp32_precision
    found = []
    try:
        for allowed in (False, True, False, True):
            switch(allowed)
            call = torch.ops.apnt_cuda_on_cpu.window_match
            expected = call(source, target, None, 1, 3, "search", allowed)[0]
            assert torch.equal(match(source, target), expected)
            assert torch.equal(compiled(source, target), expected)
            found.append(expected)
    finally:
        switch(False)
        torch.backends.fp32_precision = before
        torch.backends.cuda.matmul.fp32_precision = "none"
    assert not torch.equal(found[0], found[1])


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(("patch_size", "dtype"), SWAP)
def test_patch_swap_is_a_proper_operator(patch_size: int, dtype: torch.dtype) -> None:
    source, grad, _ = make_inputs(False, dtype)
    offset = vectors(4, 2, 2, 9, 11)
    operators = torch.ops.apnt_cuda_on_cpu
    torch.library.opcheck(operators.patch_swap, (source, offset, patch_size))
    for deterministic in (False, True):
        torch.library.opcheck(operators.patch_swap_backward, (grad, offset, patch_size, deterministic))


def channels_last(x: Tensor, gap: int = 0) -> Tensor:
    """x (N, C, H, W), in memory (N, H, W, C), ``gap`` elements after a multiple of 16 bytes."""
    memory = torch.empty(x.numel() + gap, dtype=x.dtype)[gap:]
    last = x.permute(0, 2, 3, 1)
    return memory.view(last.shape).copy_(last).permute(0, 3, 1, 2)


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    ("channels", "patch_size", "dtype", "kept"),
    [
        (20, 3, torch.float32, True),
        (64, 1, torch.bfloat16, True),
        (8, 3, torch.float16, True),
        (6, 3, torch.float32, False),  # pixels of 24 bytes
        (8, 5, torch.float32, False),
        (8, 3, torch.float64, False),
    ],
)
def test_channels_last_features_stay_so(
    channels: int, patch_size: int, dtype: torch.dtype, kept: bool
) -> None:
    torch.manual_seed(3)
    plain = torch.randn(2, channels, 9, 35).to(dtype)
    offset = vectors(5, 2, 2, 9, 35)
    operators = torch.ops.apnt_cuda_on_cpu
    for gap in (0, 1):  # 1: not aligned
        x = channels_last(plain, gap)
        if gap == 0:  # of an operator's contract alignment is no part
            torch.library.opcheck(operators.patch_swap, (x, offset, patch_size))
        out = operators.patch_swap(x, offset, patch_size)
        assert out.is_contiguous(memory_format=torch.channels_last) is kept
        assert torch.equal(out, operators.patch_swap(plain, offset, patch_size))
        for deterministic in (False, True):
            if gap == 0:
                torch.library.opcheck(operators.patch_swap_backward, (x, offset, patch_size, deterministic))
            grad = operators.patch_swap_backward(x, offset, patch_size, deterministic)
            assert grad.stride() == out.stride()
            testing.check_patch_swap_gradient(grad, plain, plain, offset, patch_size=patch_size)
        assert torch.equal(grad, operators.patch_swap_backward(plain, offset, patch_size, True))


@pytest.mark.usefixtures("stand_in")
def test_direct_calls_are_checked() -> None:
    x, v = torch.zeros(1, 2, 4, 5), torch.zeros(1, 2, 4, 5, dtype=torch.int32)
    match, swap = torch.ops.apnt_cuda_on_cpu.window_match, torch.ops.apnt_cuda_on_cpu.patch_swap
    match_backward = torch.ops.apnt_cuda_on_cpu.window_match_backward
    swap_backward = torch.ops.apnt_cuda_on_cpu.patch_swap_backward
    calls: dict[str, Any] = {
        "source must have shape": lambda: match(x[0], x, None, 1, 3, "search"),
        "source must be float32": lambda: match(x.int(), x.int(), None, 1, 3, "search"),
        "target must have source's shape": lambda: match(x, x[:, :1], None, 1, 3, "search"),
        "target must have source's device": lambda: match(x, x.double(), None, 1, 3, "search"),
        "center must be an int32": lambda: match(x, x, v.long(), 1, 3, "search"),
        "radius must be": lambda: match(x, x, None, -1, 3, "search"),
        "patch_size must be odd, got 2": lambda: match(x, x, None, 1, 2, "search"),
        "normalize must be": lambda: match(x, x, None, 1, 3, "l2"),
        "grad_score must have": lambda: match_backward(x[0], x, x, v, 3, "search", True, True, True),
        "offset must be an int32": lambda: swap(x, v[..., :4], 3),
        "patch_size must be odd, got 4": lambda: swap(x, v, 4),
        "source must have channels": lambda: swap(x[..., :0], v[..., :0], 3),
        "offset must be": lambda: swap_backward(x[..., :4], v, 3, True),
        "grad_out must be float32": lambda: swap_backward(x.int(), v, 3, True),
    }
    for message, call in calls.items():
        with pytest.raises(RuntimeError, match=message):
            call()


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("namespace", ["apnt", "apnt_cuda_on_cpu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_windows_larger_than_the_image(dtype: torch.dtype, namespace: str) -> None:
    torch.manual_seed(2)
    source, target = torch.randn(2, 1, 3, 5, 7).to(dtype)
    operators = getattr(torch.ops, namespace)
    for center in (None, vectors(9, 1, 2, 5, 7)):
        far = operators.window_match(source, target, center, 2**40, 2**40 + 1, "cosine")
        near = operators.window_match(source, target, center, 6, 13, "cosine")
        assert all(torch.equal(x, y) for x, y in zip(far, near, strict=True))
        testing.check_window_match(
            far[1], far[0], source, target, center, radius=40, patch_size=13, normalize="cosine"
        )
    grad, offset = torch.ones_like(near[0]), near[1]
    for name, arguments, options in (
        ("window_match_backward", (grad, source, target, offset), ("cosine", True, True, True)),
        ("patch_swap", (source, offset), ()),
        ("patch_swap_backward", (source, offset), (True,)),
    ):
        far, near = (getattr(operators, name)(*arguments, size, *options) for size in (2**40 + 1, 13))
        for x, y in zip(*((x,) if isinstance(x, Tensor) else x for x in (far, near)), strict=True):
            assert torch.equal(x, y)


@pytest.mark.usefixtures("stand_in", "deterministic")  # new memory is NaN
@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("normalize", ["cosine", "none"])
def test_gradients_are_written_whole(normalize: str, wanted: tuple[bool, bool]) -> None:
    torch.manual_seed(4)
    source, target = torch.randn(2, 2, 5, 9, 11)
    grad, offset = torch.randn(2, 9, 11), torch.zeros(2, 2, 9, 11, dtype=torch.int32)
    offset[:, 1, :, :-1] = 1  # nobody chooses the first column
    options: dict[str, Any] = {"patch_size": 1, "normalize": normalize}
    exact = [x.double().requires_grad_() for x in (source, target)]
    expected = torch.autograd.grad(score_at(*exact, offset, **options), exact, grad.double())
    for deterministic in (False, True):
        found = torch.ops.apnt_cuda_on_cpu.window_match_backward(
            grad, source, target, offset, 1, normalize, *wanted, deterministic
        )
        for requested, x, y in zip(wanted, found, expected, strict=True):
            if requested:
                testing.assert_close("gradient", x, y, 1e-5)
            else:
                assert x.shape == (0,)


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("dtype", list(testing.SWAP_TOLERANCE), ids=str)
@pytest.mark.parametrize("patch_size", [1, 3, 5])
def test_deterministic_gradient_of_patch_swap(
    backend: testing.Backend, patch_size: int, dtype: torch.dtype
) -> None:
    """For every backend, "cuda-on-cpu" among them: random fields, and pixels that everybody reads."""
    torch.manual_seed(patch_size)
    h, w = 45, 61
    here = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"))
    few = (torch.randint(20, 22, (1, 2, h, w)) - here).int()
    source, grad = torch.randn(2, 1, 11, h, w).to(dtype).unbind()
    for offset in (vectors(70, 1, 2, h, w), vectors(2, 1, 2, h, w), few, torch.zeros_like(few)):
        x = source.clone().requires_grad_()
        out = backend.patch_swap(x, offset, patch_size=patch_size)
        (found,) = torch.autograd.grad(out, x, grad)
        testing.check_patch_swap_gradient(found, grad, source, offset, patch_size=patch_size)


@pytest.mark.usefixtures("stand_in")
def test_sort_of_more_numbers_than_a_round_of_the_scan_takes() -> None:
    """67 tiles of 256 digits each; a round takes 16384 numbers."""
    torch.manual_seed(5)
    h, w = 366, 370
    grad, offset = torch.randn(1, 1, h, w), vectors(9, 1, 2, h, w)
    found = torch.ops.apnt_cuda_on_cpu.patch_swap_backward(grad, offset, 1, True)
    testing.check_patch_swap_gradient(found, grad, torch.zeros_like(grad), offset, patch_size=1)


@pytest.mark.usefixtures("deterministic")
def test_deterministic_results_do_not_depend_on_the_order_of_threads(
    stand_in: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_backend, "namespace", lambda backend: "apnt_cuda_on_cpu")
    ops = testing.Backend("cpp")
    torch.manual_seed(3)
    source, target = torch.randn(2, 1, 12, 33, 37)
    offsets = [vectors(3, 1, 2, 33, 37), (vectors(1, 1, 2, 33, 37) // 2).clamp(-1, 0)]
    results = []
    for schedule in (0, 1, 5):
        stand_in.set_schedule(schedule)
        found: list[Tensor] = []
        for center in (None, offsets[0]):
            inputs = [x.clone().requires_grad_() for x in (source, target)]
            offset, score = ops.window_match(*inputs, center, radius=2)
            found += [offset, score.detach(), *torch.autograd.grad(score.square().sum(), inputs)]
        for offset in offsets:
            x = source.clone().requires_grad_()
            moved = ops.patch_swap(x, offset)
            found += [moved.detach(), *torch.autograd.grad(moved.square().sum(), x)]
        results.append(found)
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            assert torch.equal(one, other)


def test_the_kernels_run(stand_in: ModuleType) -> None:
    stand_in.counters()
    x, v = torch.zeros(1, 3, 40, 50), torch.zeros(1, 2, 40, 50, dtype=torch.int32)
    torch.ops.apnt_cuda_on_cpu.patch_swap(x, v, 3)
    counted = stand_in.counters()
    assert counted["launches"] == 1
    assert counted["blocks"] == 2 * 5  # tiles of 32 x 8 pixels
    assert counted["barriers"] == 2 * counted["blocks"]
