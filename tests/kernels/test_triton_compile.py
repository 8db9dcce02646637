"""The Triton kernels compile for GPUs that are not here: NVIDIA's from sm_80 on, and one of AMD's."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

triton = pytest.importorskip("triton")
language = pytest.importorskip("apnt.kernels.language")
if language.MISSING is not None:
    pytest.skip(language.MISSING, allow_module_level=True)
if language.INTERPRET:
    pytest.skip("the interpreter compiles nothing", allow_module_level=True)

import triton.language as tl  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from apnt.kernels import landings, norms, patch_swap, window_match, window_match_backward  # noqa: E402

TARGETS = {
    **{f"sm_{cc}": GPUTarget("cuda", cc, 32) for cc in (80, 90, 100, 120)},
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
SHARED_MEMORY = {**dict.fromkeys(TARGETS, 99 << 10), "sm_80": 163 << 10, "gfx942": 64 << 10}
"""Bytes that a program can have; sm_120 has least of NVIDIA's."""

STACK = {"collect": 16, "shares": 16}
"""Bytes of registers that may spill; none in the kernels of the forward pass."""

SUM = {"fp32": "fp32", "fp16": "fp32", "bf16": "fp32", "fp64": "fp64"}
MOVE = {
    "PATCH": 3,
    "WEIGHT": True,
    "NORM_TERM": True,
    "SHARE": True,
    "MEAN": False,
    "BLOCK_P": 128,
    "BLOCK_C": 8,
}
MATCH = {
    "PATCH": 3,
    "BY_SOURCE": True,
    "BY_TARGET": True,
    "RANK": tl.int32,
    "CAST": False,
    "PRECISION": "ieee",
}
SHARED = {**MATCH, "C": 256, "RY": 8, "RX": 8}
CENTERED = {**MATCH, "C": 64, "RY": 2, "RX": 2, "BLOCK": window_match.BLOCK}

KERNELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "move": (patch_swap.move_kernel, {**MOVE, "WEIGHT": False, "NORM_TERM": False, "MEAN": True}),
    "move weighted": (patch_swap.move_kernel, MOVE),
    "share": (patch_swap.share_kernel, MOVE),
    "scatter": (patch_swap.scatter_kernel, MOVE),
    "collect": (patch_swap.collect_kernel, {**MOVE, "CROWDS": True}),
    "piece": (landings.piece_kernel, MOVE),
    "crowd": (landings.crowd_kernel, MOVE),
    "squares": (norms.squares_kernel, {**MOVE, "C": 64}),
    "reciprocal norms": (norms.reciprocal_norms_kernel, {**MOVE, "FLOOR": norms.FLOOR}),
    "shares": (
        window_match_backward.shares_kernel,
        {**MOVE, **MATCH, "C": 64, "CEILING": 1 / norms.FLOOR},
    ),
    "shared": (window_match.shared_kernel, {**SHARED, **window_match.shared_sizes(3)[0]}),
    "centered": (window_match.centered_kernel, {**CENTERED, **window_match.centered_sizes(3)[0]}),
}
FEATURES = {"source", "target", "values", "own", "features", "out"}
INTEGERS = {
    **dict.fromkeys(("offset", "center", "start", "number"), "i32"),
    **dict.fromkeys(("order", "begin", "end"), "i64"),
}
MAPS_OUT = ("share_kernel", "scatter_kernel", "squares_kernel", "reciprocal_norms_kernel")


def compile_kernel(
    kernel: Any, constants: dict[str, Any], dtype: str, target: Any, tiny: bool = False
) -> Any:
    """Compile for features of ``dtype``; ``tiny`` is an image of one pixel, whose size is a constant to
    Triton."""
    options = {name: constants[name] for name in ("num_warps", "num_stages") if name in constants}
    constants = {**constants, "SUM": {"fp32": tl.float32, "fp64": tl.float64}[SUM[dtype]]}
    if tiny:
        constants.update(h=1, w=1)
    signature = {}
    for name in kernel.arg_names:
        features = name in FEATURES and not (name == "out" and kernel.__name__ in MAPS_OUT)
        if name in constants or re.fullmatch(r"\w+_x", name):
            signature[name] = "constexpr"
            constants.setdefault(name, 1)  # columns lie side by side
        elif name in ("c", "h", "w") or re.fullmatch(r"\w+_y", name):
            signature[name] = "i32"
        elif re.fullmatch(r"\w+_[nc]", name):
            signature[name] = "i64"
        else:
            signature[name] = "*" + INTEGERS.get(name, dtype if features else SUM[dtype])
    used = {(kernel.arg_names.index(name),): constants[name] for name in signature if name in constants}
    return triton.compile(ASTSource(kernel, signature, used), target=target, options=options)


def resources(compiled: Any, folder: Path) -> dict[str, int]:
    """Registers of a thread and bytes of its stack, by the compiler's own report."""
    file = folder / "kernel.cubin"
    file.write_bytes(compiled.asm["cubin"])
    tool = triton.knobs.nvidia.cuobjdump.path
    listing = subprocess.run(
        [tool, "-res-usage", file], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    return {name: int(re.findall(rf"{name}:(\d+)", listing)[0]) for name in ("REG", "STACK")}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes out of an earlier run."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))


def check(
    name: str, compiled: Any, target: str, tmp_path: Path, record: Callable[[str, object], None]
) -> None:
    """Fail if the kernel needs more shared memory or registers than there are; record what it needs."""
    shared = compiled.metadata.shared
    record(f"{name} {target} shared memory", shared)
    assert shared <= SHARED_MEMORY[target]
    if target == "gfx942":
        assert compiled.asm["hsaco"]
        return
    found = resources(compiled, tmp_path)
    for what, value in found.items():
        record(f"{name} {target} {what}", value)
    # What does not fit into registers goes to the stack.
    assert found["STACK"] <= STACK.get(name.split()[0], 0), found


@pytest.mark.parametrize("target", list(TARGETS))
@pytest.mark.parametrize("name", list(KERNELS))
def test_compiles(name: str, target: str, tmp_path: Path, record_testsuite_property: Any) -> None:
    kernel, constants = KERNELS[name]
    compiled = compile_kernel(kernel, constants, "fp32", TARGETS[target])
    check(name, compiled, target, tmp_path, record_testsuite_property)
    if name in ("shared", "centered") and target != "gfx942":
        assert "fma.rn.f32" in compiled.asm["ptx"]
        assert "mma" not in compiled.asm["ptx"]  # the tensor cores would round to tf32


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp64"])
@pytest.mark.parametrize("name", list(KERNELS))
def test_compiles_for_every_dtype(
    name: str, dtype: str, tmp_path: Path, record_testsuite_property: Any
) -> None:
    kernel, constants = KERNELS[name]
    compiled = compile_kernel(kernel, constants, dtype, TARGETS["sm_90"])
    if name in ("shared", "centered"):
        assert "mma.sync" in compiled.asm["ptx"]  # the tensor cores do the products
    if dtype != "fp64":
        check(f"{name} {dtype}", compiled, "sm_90", tmp_path, record_testsuite_property)


@pytest.mark.parametrize("name", list(KERNELS))
def test_compiles_for_one_pixel(name: str) -> None:
    kernel, constants = KERNELS[name]
    compile_kernel(kernel, {**constants, "C": 1, "RY": 0, "RX": 0}, "fp32", TARGETS["sm_90"], tiny=True)


TUNED = [
    *((window_match.shared_kernel, SHARED, sizes) for sizes in window_match.shared_sizes(3)[1:]),
    *((window_match.centered_kernel, CENTERED, sizes) for sizes in window_match.centered_sizes(3)[1:]),
]


@pytest.mark.parametrize(("kernel", "constants", "sizes"), TUNED, ids=[str(t[2]) for t in TUNED])
def test_sizes_to_choose_from_fit(
    kernel: Any, constants: dict[str, Any], sizes: dict[str, int], tmp_path: Path
) -> None:
    for precision in ("ieee", "tf32"):
        chosen = {**constants, **sizes, "PRECISION": precision}
        compiled = compile_kernel(kernel, chosen, "fp32", TARGETS["sm_90"])
        assert compiled.metadata.shared <= min(SHARED_MEMORY.values())


@pytest.mark.parametrize("target", [name for name in TARGETS if name.startswith("sm_")])
@pytest.mark.parametrize("name", ["shared", "centered"])
def test_tf32_runs_on_the_tensor_cores(
    name: str, target: str, tmp_path: Path, record_testsuite_property: Any
) -> None:
    kernel, constants = KERNELS[name]
    compiled = compile_kernel(kernel, {**constants, "PRECISION": "tf32"}, "fp32", TARGETS[target])
    assert "f32.tf32.tf32.f32" in compiled.asm["ptx"]
    check(f"{name} tf32", compiled, target, tmp_path, record_testsuite_property)


@pytest.mark.parametrize("kernel", [window_match.shared_kernel, window_match.centered_kernel])
def test_sizes_are_tried_once_for_all_images(kernel: Any) -> None:
    """Neither anew in each process nor for each size of an image, which is no constant of the code."""
    tuner = window_match.tuned(kernel, 3)
    assert tuner.cache_results
    constants = {parameter.name for parameter in kernel.params if parameter.is_constexpr}
    assert set(tuner.keys) <= constants
    assert constants.isdisjoint({"h", "w", "source_y", "target_y"})


@pytest.mark.parametrize("kernel", [window_match.shared_kernel, window_match.centered_kernel])
@pytest.mark.parametrize("patch_size", [1, 3, 5, 9])
def test_every_patch_fits_into_every_tile(kernel: Any, patch_size: int) -> None:
    for config in window_match.tuned(kernel, patch_size).configs:
        tile = config.kwargs
        border = patch_size - 1
        if kernel is window_match.shared_kernel:
            assert min(tile["TH"], tile["TW"]) > border
            assert tile["SW"] >= tile["TW"]
        else:
            assert tile["T"] >= window_match.BLOCK + border
            assert min(tile["SH"], tile["SW"]) >= window_match.BLOCK + border
