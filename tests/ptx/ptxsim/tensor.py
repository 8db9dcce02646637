"""Tensor cores: ``ldmatrix`` and ``mma.sync``, by the tables of the PTX manual; all 32 lanes of a warp.

Products are exact and sums are rounded once, to float32; the hardware adds in an order of its own and cuts
bits off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .machine import Group, Machine, Step
from .memory import Fault
from .movement import Access
from .parse import Instruction, registers_of

_LANE = np.arange(32)
_G, _T = _LANE // 4, _LANE % 4
# Row and column of element i of each lane.
_C = np.array([(_G + 8 * (i // 2), 2 * _T + i % 2) for i in range(4)])
_A16 = np.array([(_G + 8 * (i // 2 % 2), 2 * _T + i % 2 + 8 * (i // 4)) for i in range(8)])
_B16 = np.array([(2 * _T + i % 2 + 8 * (i // 2), _G) for i in range(4)])
_A8 = np.array([(_G + 8 * (i % 2), _T + 4 * (i // 2)) for i in range(4)])
_B8 = np.array([(_T + 4 * i, _G) for i in range(2)])


def multiply(shape: str, kind: str, a: NDArray[Any], b: NDArray[Any], c: NDArray[Any]) -> NDArray[np.float32]:
    """D of fragments (warps, 32, registers); ``a`` and ``b`` as bits, ``c`` as float32."""
    if (shape, kind) == ("m16n8k8", "tf32"):
        cut = np.uint32(0xFFFFE000)  # what the hardware does not look at
        left, right = (
            _matrix((a & cut).view(np.float32), _A8, (16, 8)),
            _matrix((b & cut).view(np.float32), _B8, (8, 8)),
        )
    elif shape == "m16n8k16" and kind in ("f16", "bf16"):
        left, right = _matrix(_halves(a, kind), _A16, (16, 16)), _matrix(_halves(b, kind), _B16, (16, 8))
    else:
        raise Fault(f"not understood: mma.{shape} of {kind}")
    with np.errstate(all="ignore"):
        # Row by column, so that NaN in a column that is not used stays in it.
        sums = left.astype(np.float64) @ right.astype(np.float64) + _matrix(c, _C, (16, 8))
        found: NDArray[np.float32] = sums.astype(np.float32)[:, _C[:, 0], _C[:, 1]].transpose(0, 2, 1)
    return found


def _matrix(elements: NDArray[Any], places: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[Any]:
    """Fragments (warps, 32, elements) as matrices (warps, rows, columns)."""
    found = np.empty((elements.shape[0], *shape), elements.dtype)
    found[:, places[:, 0], places[:, 1]] = elements.transpose(0, 2, 1)
    return found


def _halves(bits: NDArray[Any], kind: str) -> NDArray[Any]:
    each = np.ascontiguousarray(bits).view(np.uint16)
    return (
        each.view(np.float16) if kind == "f16" else (each.astype(np.uint32) << np.uint32(16)).view(np.float32)
    )


def _mma(machine: Machine, code: Instruction) -> Step:
    shape, kind = code.parts[3], code.parts[-2]
    names = [registers_of(argument) for argument in code.arguments]
    reads = [
        [machine.reader(name, "f32" if i == 2 else "b32") for name in part]
        for i, part in enumerate(names[1:])
    ]
    writes = [machine.writer(name, "f32") for name in names[0]]

    def step(group: Group) -> None:
        machine.full_warps(group, "mma")
        a, b, c = (np.stack([read(group) for read in part], 1).reshape(-1, 32, len(part)) for part in reads)
        d = multiply(shape, kind, a, b, c).reshape(-1, 4)
        for i, write in enumerate(writes):
            write(group, d[:, i])

    return step


def _ldmatrix(machine: Machine, code: Instruction) -> Step:
    writes = [machine.writer(name, "b32") for name in registers_of(code.arguments[0])]
    if len(writes) != 4 or "m8n8" not in code.parts:
        raise Fault(f"not understood: {code.text}")
    access = Access(machine, code.arguments[1], "shared", code.text)
    transposed = "trans" in code.parts

    def step(group: Group) -> None:
        machine.full_warps(group, "ldmatrix")
        words = np.stack(access.load(group, 4, 4), 1)  # a row of 16 bytes of each lane
        rows = words.view(np.uint16).reshape(-1, 4, 8, 8)  # warp, matrix, row, element
        if transposed:
            rows = rows.transpose(0, 1, 3, 2)
        pairs = np.ascontiguousarray(rows).view(np.uint32).reshape(-1, 4, 32)
        for i, write in enumerate(writes):
            write(group, pairs[:, i].ravel())

    return step


TABLE: dict[str, Callable[[Machine, Instruction], Step]] = {"mma": _mma, "ldmatrix": _ldmatrix}
