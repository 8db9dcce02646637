"""Mistakes planted in the product's kernels: barriers taken away, indices off by one, tensor-core fragments
swapped.

Each is found, by a fault or by a wrong answer; without them the same questions pass (test_kernels.py).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from ptxsim import host, tensor
from ptxsim.counts import Report
from ptxsim.gpu import Gpu
from ptxsim.memory import Fault
from ptxsim.parse import BYTES, Instruction, Kernel
from ptxsim.questions import Match, Swap

MATCH = Match((1, 35, 23, 41), torch.bfloat16, 8)
QUADS = Match((1, 35, 13, 21), torch.bfloat16, center="blocks")
SPLIT = Match((1, 17, 9, 13), torch.float32, center="random")
TRANSFER = Swap((1, 9, 13, 37))
TRANSFER_LAST = Swap((1, 64, 13, 37), last=True)
SORTED = Swap((1, 3, 41, 61), backward=True, deterministic=True)
SCATTERED = Swap((1, 36, 13, 37), backward=True)
SCATTERED_LAST = Swap((1, 36, 13, 37), backward=True, last=True)
CROWDED = Swap((1, 2, 33, 97), field="one", backward=True, deterministic=True)
SPREAD = Match((1, 9, 9, 13), norm="cosine", backward=True)
LEFT = Match(
    (1, 11, 7, 11), radius=3, norm="cosine", center="random"
)  # all to the kernel that takes what is left
NOTHING = Instruction(("mov", "u32"), ("_", "0"), None, False, "mov.u32 _, 0")


def altered(kernel: Kernel, at: int, code: Instruction) -> Kernel:
    return dataclasses.replace(kernel, code=[*kernel.code[:at], code, *kernel.code[at + 1 :]])


@functools.cache
def report_of(question: Match | Swap) -> Report:
    """What the kernels do without a mistake."""
    return question.check(Gpu(races=False)).report


def assert_found(question: Match | Swap, change: Callable[[Kernel], Kernel]) -> None:
    with pytest.raises((Fault, AssertionError)):
        question.check(Gpu(change=change))


def without_barrier(name: str, kind: tuple[str, ...], number: int) -> Callable[[Kernel], Kernel]:
    """Takes away one of a kernel's barriers."""

    def change(kernel: Kernel) -> Kernel:
        if name not in kernel.name:
            return kernel
        places = [i for i, code in enumerate(kernel.code) if code.parts[: len(kind)] == kind]
        return altered(kernel, places[number], NOTHING)

    return change


def barriers(compiled: host.Compiled, name: str, kind: tuple[str, ...]) -> int:
    found = next(entry for module in compiled.modules for entry in module.entries if name in entry)
    return sum(code.parts[: len(kind)] == kind for code in compiled.kernel(found).code)


@pytest.mark.parametrize(
    ("question", "name", "kind", "spare"),
    [
        (MATCH, "shared_kernelI13__nv_bfloat16", ("bar", "sync"), 1),
        (QUADS, "quads_kernelINS1_8ProductsI13__nv_bfloat16Lb0ELi2E", ("bar", "warp"), 0),
        (QUADS, "pack_kernelI13__nv_bfloat16", ("bar", "sync"), 0),
        (SPLIT, "quads_kernelINS1_8ProductsIfLb1ELi2E", ("bar", "warp"), 0),
        (TRANSFER, "swap_plannedIfLi3ELb0", ("bar", "sync"), 1),
        (TRANSFER_LAST, "swap_lastIfLi3E", ("bar", "sync"), 1),
        (SORTED, "place_digits", ("bar", "sync"), 1),
        (SORTED, "scan_tiles", ("bar", "sync"), 1),
        (SORTED, "count_digits", ("bar", "sync"), 0),
        (dataclasses.replace(CROWDED, field="tile"), "find_longs", ("bar", "sync"), 1),
        (CROWDED, "gather_long", ("bar", "sync"), 1),
        (CROWDED, "add_pieces", ("bar", "sync"), 1),
        (SCATTERED, "swap_plannedIfLi3ELb1", ("bar", "sync"), 1),
        (SCATTERED_LAST, "scatter_lastIfLi3E", ("bar", "sync"), 1),
        (LEFT, "direct_kernelIf", ("bar", "warp"), 0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_barriers(
    compiled: host.Compiled, question: Match | Swap, name: str, kind: tuple[str, ...], spare: int
) -> None:
    """``spare``: barriers on ways that the question does not take, or of loops that it goes through once."""
    count = barriers(compiled, name, kind)
    missed = []
    for number in range(count):
        try:
            question.check(Gpu(change=without_barrier(name, kind, number)))
            missed.append(number)
        except (Fault, AssertionError):
            pass
    assert len(missed) == spare < count, f"not found: {missed} of {count}"


STAGED = [  # kernels that stage what they read in shared memory
    (MATCH, "shared_kernel"),
    (QUADS, "quads_kernel"),
    (SPLIT, "quads_kernel"),
    (TRANSFER, "swap_planned"),
    (TRANSFER_LAST, "swap_last"),
    (CROWDED, "gather_long"),
]
STRAIGHT = [
    (QUADS, "squares_last_kernel"),
    (QUADS, "norms_kernel"),
    (LEFT, "direct_kernel"),
    (SPREAD, "share_kernel"),
    (SPREAD, "factor_kernel"),
    (SPREAD, "spread_kernel"),
    (SORTED, "find_lists"),
    (SORTED, "gather_lists"),
]


@pytest.mark.parametrize(
    ("question", "of", "name"),
    [
        *((*one, f"{name}.shared") for one in STAGED for name in ("st", "ld")),
        *((*one, f"{name}.global") for one in (*STAGED, *STRAIGHT) for name in ("st", "ld")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_addresses_off_by_one(question: Match | Swap, of: str, name: str) -> None:
    """The instruction of that name that most warps take, one element further on."""
    report = report_of(question)
    taken = {
        (int(report.counts[kernel.name][i]), kernel.name, i)
        for kernel in report.kernels.values()
        if of in kernel.name
        for i, code in enumerate(kernel.code)
        if ".".join(code.parts[:2]) == name
    }
    _, changed, at = max(taken)

    def change(kernel: Kernel) -> Kernel:
        if kernel.name != changed:
            return kernel
        code = kernel.code[at]
        which = 0 if code.name == "st" else 1
        base, _, offset = code.arguments[which].strip("[]").partition("+")
        further = f"[{base}+{int(offset or 0) + code_bytes(code)}]"
        arguments = tuple(further if i == which else a for i, a in enumerate(code.arguments))
        return altered(kernel, at, dataclasses.replace(code, arguments=arguments))

    assert_found(question, change)


def code_bytes(code: Instruction) -> int:
    """Of all that one lane loads or stores."""
    return BYTES[code.parts[-1]] * next((int(part[1]) for part in code.parts if part in ("v2", "v4")), 1)


@pytest.mark.parametrize("operand", ["a", "b", "c"])
@pytest.mark.parametrize(
    "question",
    [MATCH, Match((1, 11, 13, 21), torch.float32, 8, tf32=True), QUADS],
    ids=["bf16", "tf32", "quads"],
)
def test_fragments_in_another_order(monkeypatch: pytest.MonkeyPatch, question: Match, operand: str) -> None:
    right = tensor.multiply

    def swapped(shape: str, kind: str, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        if operand == "c":
            return right(shape, kind, a, b, c)[:, :, [1, 0, 2, 3]]
        return (
            right(shape, kind, a[:, :, [0, 2, 1, 3]], b, c)
            if operand == "a"
            else right(shape, kind, a, b[:, :, ::-1], c)
        )

    monkeypatch.setattr(tensor, "multiply", swapped)
    with pytest.raises(AssertionError):
        question.check()


def test_a_missing_wait_for_copies() -> None:
    def change(kernel: Kernel) -> Kernel:
        for i, code in enumerate(kernel.code):
            if code.parts[:2] == ("cp", "async") and "wait_group" in code.parts:
                kernel = altered(kernel, i, dataclasses.replace(code, arguments=("3",)))
        return kernel

    assert_found(MATCH, change)


@pytest.mark.parametrize(
    ("question", "of", "compared"),
    [
        (TRANSFER, "swap_planned", "s64"),
        (TRANSFER_LAST, "swap_last", "s64"),
        (SCATTERED_LAST, "scatter_last", "s64"),
        (SORTED, "make_keys", "s64"),
        (SPREAD, "share_kernel", "s64"),
        (CROWDED, "gather_long", "s64"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bounds_off_by_one(question: Match | Swap, of: str, compared: str) -> None:
    """Comparisons with the end of a range that let one more in; those that change nothing are the fewer."""
    report = report_of(question)
    (kernel,) = [kernel for kernel in report.kernels.values() if of in kernel.name]
    further = {"lt": "le", "ge": "gt"}
    places = [
        i
        for i, code in enumerate(kernel.code)
        if code.name == "setp" and code.parts[1] in further and code.parts[-1] == compared
        # With 0 the signs of both coordinates are compared at once: one pixel of all differs.
        if report.counts[kernel.name][i] and code.arguments[-1] != "0"
    ][:4]
    assert places

    def found(at: int) -> bool:
        def change(other: Kernel) -> Kernel:
            if other.name != kernel.name:
                return other
            name, how, *kind = other.code[at].parts
            return altered(other, at, dataclasses.replace(other.code[at], parts=(name, further[how], *kind)))

        try:
            question.check(Gpu(change=change))
        except (Fault, AssertionError):
            return True
        return False

    missed = [at for at in places if not found(at)]
    assert 2 * len(missed) < len(places), [kernel.code[at].text for at in missed]


def test_a_tie_rule_that_prefers_the_later_candidate() -> None:
    def change(kernel: Kernel) -> Kernel:
        for i, code in enumerate(kernel.code):
            if code.parts == ("setp", "lt", "u32") and "shared_kernel" in kernel.name:
                kernel = altered(kernel, i, dataclasses.replace(code, parts=("setp", "gt", "u32")))
        return kernel

    assert_found(dataclasses.replace(MATCH, size=(1, 3, 13, 21), ties=True, norm="none"), change)
