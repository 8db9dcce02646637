"""Instructions within a warp: barriers of it, shuffles, reductions and matches. All 32 lanes must take
part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .machine import Group, Machine, Step
from .memory import Fault
from .parse import Instruction


def _whole(machine: Machine, group: Group, mask: Any, code: Instruction) -> None:
    if not np.all(mask == np.uint32(0xFFFFFFFF)):
        raise Fault("not understood: a mask of a part of a warp")
    machine.full_warps(group, code.name)


def _warp_barrier(machine: Machine, code: Instruction) -> Step:
    if code.parts[1] != "warp":
        raise Fault(f"not understood: {code.text}")
    mask = machine.reader(code.arguments[0], "u32")

    def step(group: Group) -> None:
        _whole(machine, group, mask(group), code)
        machine.clocks.warp_barrier(machine.numbers(group))

    return step


def _shuffle(machine: Machine, code: Instruction) -> Step:
    kind = code.parts[2]
    to, _, there = code.arguments[0].partition("|")
    value, by, clamp, mask = (
        machine.reader(operand, "b32" if i == 0 else "u32") for i, operand in enumerate(code.arguments[1:])
    )
    write = machine.writer(to, "b32")
    write_there = machine.writer(there, "pred") if there else None

    def step(group: Group) -> None:
        _whole(machine, group, mask(group), code)
        values = value(group).reshape(-1, 32)
        lane = np.arange(values.size).reshape(values.shape) % 32
        distance = np.broadcast_to(by(group), (values.size,)).reshape(values.shape).astype(np.int64)
        edge = np.broadcast_to(clamp(group), (values.size,)).reshape(values.shape).astype(np.int64)
        if (edge != (0 if kind == "up" else 31)).any():
            raise Fault("not understood: a shuffle within parts of a warp")
        source = {"bfly": lane ^ distance, "up": lane - distance, "down": lane + distance, "idx": distance}[
            kind
        ]
        inside = (source >= 0) & (source < 32)
        write(group, np.take_along_axis(values, np.where(inside, source, lane), 1).ravel())
        if write_there:
            write_there(group, inside.ravel())

    return step


def _reduce(machine: Machine, code: Instruction) -> Step:
    function: np.ufunc = {"or": np.bitwise_or, "and": np.bitwise_and, "xor": np.bitwise_xor, "add": np.add,
                          "min": np.minimum, "max": np.maximum}[code.parts[2]]  # fmt: skip
    kind = code.parts[-1]
    value, mask = machine.reader(code.arguments[1], kind), machine.reader(code.arguments[2], "u32")
    write = machine.writer(code.arguments[0], kind)

    def step(group: Group) -> None:
        _whole(machine, group, mask(group), code)
        values = value(group).reshape(-1, 32)
        write(group, np.repeat(function.reduce(values, axis=1).astype(values.dtype), 32))

    return step


def _vote(machine: Machine, code: Instruction) -> Step:
    operand = code.arguments[1]
    value, mask = machine.reader(operand.lstrip("!"), "pred"), machine.reader(code.arguments[2], "u32")
    kind = code.parts[2]
    write = machine.writer(code.arguments[0], "b32" if kind == "ballot" else "pred")
    powers = np.uint32(1) << np.arange(32, dtype=np.uint32)

    def step(group: Group) -> None:
        _whole(machine, group, mask(group), code)
        votes = (value(group) ^ (operand[0] == "!")).reshape(-1, 32)
        if kind == "ballot":
            found = (votes * powers).sum(1, dtype=np.uint32)
        else:
            found = votes.all(1) if kind == "all" else votes.any(1)
        write(group, np.repeat(found, 32))

    return step


def _match(machine: Machine, code: Instruction) -> Step:
    if code.parts[1] != "any":
        raise Fault(f"not understood: {code.text}")
    value, mask = machine.reader(code.arguments[1], code.parts[-1]), machine.reader(code.arguments[2], "u32")
    write = machine.writer(code.arguments[0], "b32")
    powers = np.uint32(1) << np.arange(32, dtype=np.uint32)

    def step(group: Group) -> None:
        _whole(machine, group, mask(group), code)
        values = value(group).reshape(-1, 32)
        write(group, ((values[:, :, None] == values[:, None, :]) * powers).sum(2, dtype=np.uint32).ravel())

    return step


TABLE: dict[str, Callable[[Machine, Instruction], Step]] = {
    "bar": _warp_barrier, "shfl": _shuffle, "redux": _reduce, "vote": _vote, "match": _match,
}  # fmt: skip
