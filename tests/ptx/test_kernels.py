"""Every kernel of both operators, from its PTX, against the reference on small maps.

Accesses out of bounds, misaligned, unordered or of what was never written fail here too, and barriers that a
part of a warp reaches.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import sys

import pytest
import torch
from ptxsim import host
from ptxsim.gpu import Gpu
from ptxsim.questions import Match, Swap

F32, BF16, F16 = torch.float32, torch.bfloat16, torch.float16

MATCHES = {
    "shared, float32, radius 3": Match((1, 11, 17, 19), F32, 3),
    "shared, float32, radius 8": Match((1, 9, 9, 21), F32, 8, norm="none", ties=True),
    "shared, float32, patches of 5": Match((1, 9, 9, 21), F32, 2, 5, "cosine"),
    "shared, float32, an incomplete triple of rows": Match((1, 33, 8, 11), F32, 0, 5),
    "shared, bf16, an incomplete triple of rows": Match((1, 33, 14, 9), BF16, 2, 5, "cosine"),
    "shared, bf16": Match((1, 19, 13, 21), BF16, 8),
    "shared, bf16, channels-last": Match((1, 48, 13, 21), BF16, 8, last=True),
    "shared, f16, centres, channels-last": Match((2, 64, 5, 9), F16, 3, center="same", last=True),
    "shared, bf16, little shared memory": Match(
        (1, 19, 13, 21), BF16, 8, norm="none", ties=True, shared=99 * 1024
    ),
    "shared, f16, odd address": Match((2, 5, 11, 17), F16, 3, 5, shift=2),
    "shared, tf32": Match((1, 11, 13, 21), F32, 8, tf32=True),
    "centres, float32, one": Match((1, 11, 17, 19), F32, center="same"),
    "centres, float32, blocks": Match((1, 17, 17, 19), F32, center="blocks"),
    "centres, float32, random": Match((1, 11, 9, 19), F32, norm="cosine", center="random"),
    "centres, tf32": Match((1, 37, 13, 21), F32, center="blocks", tf32=True),
    "centres, bf16, blocks": Match((1, 19, 13, 21), BF16, center="blocks"),
    "centres, bf16, channels-last, 16 of them": Match(
        (2, 16, 13, 21), BF16, norm="cosine", center="blocks", last=True
    ),
    "centres, bf16, channels-last, 32 of them": Match((1, 32, 9, 37), BF16, center="blocks", last=True),
    "centres, bf16, channels-last, not aligned": Match((1, 64, 9, 21), BF16, shift=2, last=True),
    "centres, bf16, channels in chunks": Match((1, 190, 9, 21), BF16, center="random"),
    "centres, f16, patches of 1": Match((1, 64, 7, 21), F16, 1, 1, "none", "random", ties=True, last=True),
    "centres, tf32, channels-last": Match((1, 32, 9, 21), F32, center="blocks", tf32=True, last=True),
    "centres, f16, wild": Match((1, 19, 9, 21), F16, norm="paper", center="wild", ties=True),
    "direct": Match((1, 3, 5, 9), F32, 1, 7),
    "gradient, float32": Match((1, 9, 9, 13), F32, norm="cosine", backward=True),
    "gradient, float32, fixed order": Match(
        (1, 9, 9, 13), F32, norm="cosine", backward=True, deterministic=True
    ),
    "gradient, float32, fixed order, one pixel": Match(
        (1, 3, 33, 97), F32, backward=True, deterministic=True, field="one"
    ),
    "gradient, float32, fixed order, one tile": Match(
        (2, 10, 23, 40), F32, norm="cosine", backward=True, deterministic=True, field="tile"
    ),
    "gradient, bf16": Match((2, 3, 7, 9), BF16, backward=True),
    "gradient, f16, fixed order": Match((1, 3, 7, 9), F16, norm="search", backward=True, deterministic=True),
}
SWAPS = {
    "float32": Swap((2, 19, 13, 37)),
    "float32, wild": Swap((1, 9, 9, 33), field="wild"),
    "float32, patches of 1": Swap((1, 8, 9, 33), patch=1),
    "float32, patches of 5": Swap((1, 6, 9, 33), patch=5),
    "bf16": Swap((1, 9, 13, 37), BF16),
    "f16, smooth": Swap((1, 9, 13, 37), F16, field="smooth"),
    "channels-last, float32": Swap((2, 20, 13, 37), last=True),
    "channels-last, float32, wild": Swap((1, 64, 9, 33), field="wild", last=True),
    "channels-last, float32, patches of 1": Swap((1, 4, 9, 33), patch=1, last=True),
    "channels-last, bf16": Swap((2, 24, 13, 37), BF16, last=True),
    "channels-last, f16, smooth": Swap((1, 64, 11, 65), F16, field="smooth", last=True),
    "channels-last, f16, patches of 1": Swap((1, 8, 9, 33), F16, patch=1, last=True),
    "gradient, channels-last, float32": Swap((2, 36, 13, 37), backward=True, last=True),
    "gradient, channels-last, float32, patches of 1": Swap((1, 4, 9, 33), patch=1, backward=True, last=True),
    "gradient, channels-last, bf16, wild": Swap((1, 72, 9, 33), BF16, field="wild", backward=True, last=True),
    "gradient, channels-last, f16": Swap((1, 8, 9, 33), F16, backward=True, last=True),
    "gradient, channels-last, bf16, patches of 1": Swap(
        (1, 8, 9, 33), BF16, patch=1, backward=True, last=True
    ),
    "gradient, channels-last, f16, patches of 1": Swap((1, 8, 9, 33), F16, patch=1, backward=True, last=True),
    "gradient, channels-last, fixed order": Swap(
        (2, 20, 21, 61), backward=True, deterministic=True, last=True
    ),
    "gradient, channels-last, fixed order, bf16, one pixel": Swap(
        (1, 16, 33, 97), BF16, field="one", backward=True, deterministic=True, last=True
    ),
    "gradient, channels-last, fixed order, f16, one tile": Swap(
        (1, 8, 33, 40), F16, patch=1, field="tile", backward=True, deterministic=True, last=True
    ),
    "gradient, float32": Swap((1, 9, 13, 37), backward=True),
    "gradient, float32, patches of 5": Swap((1, 3, 9, 33), patch=5, backward=True),
    "gradient, bf16": Swap((1, 9, 9, 33), BF16, backward=True),
    "gradient, f16, patches of 1": Swap((1, 9, 9, 33), F16, patch=1, backward=True),
    "gradient, fixed order": Swap((1, 9, 41, 61), backward=True, deterministic=True),
    "gradient, fixed order, one pixel": Swap((2, 2, 33, 97), field="one", backward=True, deterministic=True),
    "gradient, fixed order, one tile": Swap((2, 10, 33, 40), field="tile", backward=True, deterministic=True),
    "gradient, fixed order, bf16": Swap((1, 3, 9, 33), BF16, patch=5, backward=True, deterministic=True),
    "gradient, fixed order, f16": Swap((1, 3, 9, 33), F16, backward=True, deterministic=True),
}


@functools.cache
def kernels(name: str) -> frozenset[str]:
    """Which kernels answer a question, rightly."""
    return frozenset((MATCHES.get(name) or SWAPS[name]).check().report.kernels)


@pytest.mark.parametrize("name", MATCHES)
def test_window_match(name: str) -> None:
    assert kernels(name)


@pytest.mark.parametrize("name", SWAPS)
def test_patch_swap(name: str) -> None:
    assert kernels(name)


def family(name: str) -> str:
    """A kernel's name without its types."""
    found = re.search(r"_cu_[0-9a-f]{8}_?\d+([a-z_]+)(?=[IE])", name)
    assert found is not None, name
    return found[1]


def every(compiled: host.Compiled) -> set[str]:
    """All but the one that nothing launches."""
    return {family(name) for module in compiled.modules for name in module.entries} - {"probe_kernel"}


def test_every_kernel_ran(compiled: host.Compiled) -> None:
    ran = {family(each) for name in (*MATCHES, *SWAPS) for each in kernels(name)}
    assert ran == every(compiled)


def test_a_gpu_is_asked_for_every_kernel_once(
    compiled: host.Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """benchmarks/gpu_steps.py; here its questions are launched, and nothing runs."""
    path = host.ROOT / "benchmarks" / "gpu_steps.py"
    spec = importlib.util.spec_from_file_location("gpu_steps", path)
    assert spec is not None
    assert spec.loader is not None
    steps = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu_steps", steps)  # dataclasses look there
    spec.loader.exec_module(steps)
    launched = set()
    for question in steps.ONCE.values():
        gpu = Gpu()
        gpu.sample = lambda launch: ()
        source, target, moved = question.inputs()
        options = {"patch_size": question.patch}
        if question.match:
            gpu.window_match(source, target, moved, radius=question.radius, tf32=question.tf32, **options)
        else:
            gpu.patch_swap(source, moved, **options)
        if question.fixed is not None:
            options["deterministic"] = question.fixed
            if question.match:
                score, offset = (
                    torch.zeros(source[:, 0].shape),
                    torch.zeros_like(source[:, :2], dtype=torch.int32),
                )
                gpu.window_match_backward(score, source, target, offset, **options)
            else:
                gpu.patch_swap_backward(source, moved, **options)
        launched |= {family(launch.kernel) for launch in gpu.launches}
    assert launched == every(compiled)
