"""Loads, stores, asynchronous copies and atomics."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .machine import NUMPY, Group, Machine, Step
from .memory import Device, Fault, Memory, Shared
from .parse import BYTES, Instruction, registers_of
from .races import Lanes


class Access:
    """An address of an instruction, ``[%rd1+8]``, in device (``global``) or ``shared`` memory or on the
    stack."""

    def __init__(self, machine: Machine, operand: str, space: str, text: str) -> None:
        match = re.fullmatch(r"\[\s*([^\]+]+?)\s*(?:\+\s*(-?\d+))?\s*\]", operand)
        if match is None or space not in ("global", "shared", "local"):
            raise Fault(f"not understood: {text}")
        self.machine, self.space, self.text = machine, space, text
        self.offset = int(match[2] or 0)
        base = match[1]
        if base.startswith("%"):
            kind = f"u{8 * machine.register(base).itemsize}"
            self.base = machine.reader(base, kind)
        else:
            self.base = machine.reader(base, "s64")
        self.memory: Memory = machine.device if space == "global" else machine.shared

    def addresses(self, group: Group, size: int = 0) -> Lanes:
        """Of each lane; of ``size`` bytes, if they are accessed at once."""
        lanes = self.machine.numbers(group)
        base = np.broadcast_to(np.asarray(self.base(group)).astype(np.int64), lanes.shape) + self.offset
        if isinstance(self.memory, Shared) and self.space == "shared":
            # In 32 bits: compilers leave a base below the array where the offset leads back into it.
            base = self.memory.locate(base & 0xFFFFFFFF, self.machine.block_of[lanes])
            if self.machine.turns is not None and size:
                self.machine.turns.add(base, lanes, size)
        return base

    def load(self, group: Group, width: int, parts: int, atomic: bool = False) -> list[NDArray[Any]]:
        """``parts`` words of ``width`` bytes that lie side by side, of each lane."""
        if self.space == "local":
            return self.load_stack(group, width, parts)
        index = self.memory.check(self.addresses(group, width * parts), width, parts)
        if not self.memory.written(index, width, parts):
            # Rows of matrices may hold what is not used: NaN, which must not get into a result.
            if self.space == "global":
                raise Fault("unwritten: read device memory that was never written")
            self.machine.unwritten.add(self.text)
        races = self.memory.races
        if races is not None:
            check = races.atomic if atomic else races.read
            what = "added to what another thread accesses" if atomic else "read what another thread writes"
            for places in self.memory.places(index, width, parts):
                if check(places, self.machine.numbers(group), self.machine.clocks):
                    raise Fault(f"race: {what} in {self.space} memory")
        return [self.memory.read(index, width, part) for part in range(parts)]

    def store(self, group: Group, width: int, values: list[Any]) -> None:
        if self.space == "local":
            return self.store_stack(group, width, values)
        index = self.memory.check(self.addresses(group, width * len(values)), width, len(values))
        self.claim(index, width, len(values), self.machine.numbers(group))
        for part, value in enumerate(values):
            self.memory.write(index, width, part, value)
        return None

    def claim(self, index: Lanes, width: int, parts: int, lanes: Lanes) -> None:
        races = self.memory.races
        if races is None:
            return
        for places in self.memory.places(index, width, parts):
            if races.write(places, lanes, self.machine.clocks):
                raise Fault(f"race: wrote what another thread accesses in {self.space} memory")

    def load_stack(self, group: Group, width: int, parts: int) -> list[NDArray[Any]]:
        lanes, at = self.machine.numbers(group), self.addresses(group)
        found = []
        for part in range(parts):
            places = at[:, None] + part * width + np.arange(width)
            raw = np.ascontiguousarray(self.machine.stack[lanes[:, None], places])
            found.append(raw.view(f"u{width}").ravel())
        return found

    def store_stack(self, group: Group, width: int, values: list[Any]) -> None:
        lanes, at = self.machine.numbers(group), self.addresses(group)
        for part, value in enumerate(values):
            raw = np.ascontiguousarray(np.broadcast_to(value, lanes.shape)).view(np.uint8).reshape(-1, width)
            self.machine.stack[lanes[:, None], at[:, None] + part * width + np.arange(width)] = raw


def _space(code: Instruction) -> str:
    return next((part for part in code.parts if part in ("global", "shared", "local", "param")), "generic")


def _load(machine: Machine, code: Instruction) -> Step:
    kind, names = code.parts[-1], registers_of(code.arguments[0])
    if _space(code) == "param":
        return _load_parameter(machine, code, kind, names)
    width, dtype = BYTES[kind], NUMPY[kind]
    access = Access(machine, code.arguments[1], _space(code), code.text)
    writes = [machine.writer(name, kind) for name in names]

    def step(group: Group) -> None:
        for write, words in zip(writes, access.load(group, width, len(writes)), strict=True):
            write(group, words.view(dtype))

    return step


def _load_parameter(machine: Machine, code: Instruction, kind: str, names: list[str]) -> Step:
    """From ``[name+8]``, or from an address that was computed from a parameter's; the same for all lanes."""
    match = re.fullmatch(r"\[([%\w]+)(?:\+(-?\d+))?\]", code.arguments[1])
    if match is None:
        raise Fault(f"not understood: {code.text}")
    base, offset, width = match[1], int(match[2] or 0), BYTES[kind] * len(names)
    writes = [machine.writer(name, kind) for name in names]
    address = machine.reader(base, "u64")

    def step(group: Group) -> None:
        places = np.unique(address(group))
        at = int(places[0]) + offset
        if places.size > 1:
            raise Fault("not understood: lanes that load different parameters")
        if at % width or at < 0 or at + width > len(machine.parameters):
            raise Fault("out of bounds: a parameter that is not there")
        values = np.frombuffer(machine.parameters, NUMPY[kind], len(names), at)
        for write, value in zip(writes, values, strict=True):
            write(group, value)

    return step


def _store(machine: Machine, code: Instruction) -> Step:
    kind = code.parts[-1]
    width = BYTES[kind]
    reads = [machine.reader(name, f"b{8 * width}") for name in registers_of(code.arguments[1])]
    access = Access(machine, code.arguments[0], _space(code), code.text)
    return lambda group: access.store(group, width, [read(group) for read in reads])


def _move(machine: Machine, code: Instruction) -> Step:
    kind, (to, of) = code.parts[-1], code.arguments
    if to.startswith("{"):  # takes a register apart, the lowest bits first
        parts = registers_of(to)
        bits = 8 * BYTES[kind] // len(parts)
        read, whole, dtype = machine.reader(of, kind), NUMPY[kind], NUMPY[f"u{bits}"]
        writes = [machine.writer(name, f"b{bits}") for name in parts]

        def apart(group: Group) -> None:
            value = read(group)
            for i, write in enumerate(writes):
                write(group, (value >> whole(i * bits)).astype(dtype))

        return apart
    write = machine.writer(to, kind)
    if of.startswith("{"):
        pieces = registers_of(of)
        bits, dtype = 8 * BYTES[kind] // len(pieces), NUMPY[kind]
        reads = [machine.reader(name, f"b{bits}") for name in pieces]

        def together(group: Group) -> None:
            value = dtype(0)
            for i, read in enumerate(reads):
                value = value | dtype(read(group)) << dtype(i * bits)
            write(group, value)

        return together
    read = machine.reader(of, kind)
    return lambda group: write(group, read(group))


def _address(machine: Machine, code: Instruction) -> Step:
    """``cvta``: generic addresses are those of device memory, or those of the block's shared memory."""
    kind = code.parts[-1]
    read, write = machine.reader(code.arguments[1], kind), machine.writer(code.arguments[0], kind)
    return lambda group: write(group, read(group))


# ---- asynchronous copies


@dataclass
class _Copy:
    lanes: Lanes
    index: Lanes  # in shared memory, in words of 4 bytes
    values: list[NDArray[np.uint32]]
    group: Lanes  # number of the copy's group, of each lane


class _Copies:
    """What the threads of a machine have under way: it arrives when it is waited for, not before."""

    def __init__(self, machine: Machine) -> None:
        self.open: list[_Copy] = []
        self.groups = np.zeros(machine.lanes, np.int64)  # that each thread has ended


def _copies(machine: Machine) -> _Copies:
    found = machine.__dict__.setdefault("copies", None)
    if found is None:
        found = machine.__dict__["copies"] = _Copies(machine)
    assert isinstance(found, _Copies)
    return found


def _copy(machine: Machine, code: Instruction) -> Step:
    copies = _copies(machine)
    if code.parts[2] == "commit_group":

        def commit(group: Group) -> None:
            copies.groups[group] += 1

        return commit
    to = Access(machine, "[0]", "shared", code.text)
    if code.parts[2] == "wait_group":
        left = int(code.arguments[0])
        return lambda group: _arrive(machine, copies, to, group, left)
    if code.parts[2] == "wait_all":
        return lambda group: _arrive(machine, copies, to, group, -1)
    to = Access(machine, code.arguments[0], "shared", code.text)
    of = Access(machine, code.arguments[1], "global", code.text)
    size = int(code.arguments[2])
    wanted = machine.reader(code.arguments[3] if len(code.arguments) > 3 else str(size), "u32")
    parts = size // 4

    def start(group: Group) -> None:
        lanes = machine.numbers(group)
        index = machine.shared.check(to.addresses(group), 4, parts)
        if (of.addresses(group) & (size - 1)).any():
            raise Fault(f"misaligned: a copy of {size} bytes of device memory")
        to.claim(index, 4, parts, lanes)
        values = [np.zeros(lanes.size, np.uint32) for _ in range(parts)]
        given = np.broadcast_to(wanted(group), lanes.shape)
        if ((given != 0) & (given != size)).any():
            raise Fault("not understood: a copy of a part, the rest zero")
        reads = given != 0
        if reads.any():
            for value, words in zip(values, of.load(lanes[reads], 4, parts), strict=True):
                value[reads] = words
        copies.open.append(_Copy(lanes, index, values, copies.groups[lanes].copy()))

    return start


def _arrive(machine: Machine, copies: _Copies, to: Access, group: Group, left: int) -> None:
    """The copies of all but the last ``left`` groups of each thread; -1: also those of no group yet."""
    waits = np.zeros(machine.lanes, bool)
    waits[group] = True
    still = []
    for copy in copies.open:
        done = waits[copy.lanes] & (copy.group < copies.groups[copy.lanes] - left)
        if done.any():
            to.claim(copy.index[done], 4, len(copy.values), copy.lanes[done])
            for part, value in enumerate(copy.values):
                machine.shared.write(copy.index[done], 4, part, value[done])
        if not done.all():
            rest = ~done
            kept = [value[rest] for value in copy.values]
            still.append(_Copy(copy.lanes[rest], copy.index[rest], kept, copy.group[rest]))
    copies.open = still


# ---- atomics

_ATOMIC: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add, "min": np.minimum, "max": np.maximum, "and": np.bitwise_and, "or": np.bitwise_or,
    "exch": lambda old, new: new,
}  # fmt: skip


def _atomic(machine: Machine, code: Instruction) -> Step:
    kind, returns = code.parts[-1], code.name == "atom"
    names = [part for part in code.parts[2:-1] if part in _ATOMIC]
    if len(names) != 1:
        raise Fault(f"not understood: {code.text}")
    function, width, dtype = _ATOMIC[names[0]], BYTES[kind], NUMPY[kind]
    address, operand = code.arguments[-2:]
    access = Access(machine, address, _space(code), code.text)
    read = machine.reader(operand, kind)
    write = machine.writer(code.arguments[0], kind) if returns else None

    def step(group: Group) -> None:
        lanes = machine.numbers(group)
        index = access.memory.check(access.addresses(group), width, 1)
        values = np.broadcast_to(read(group), lanes.shape)
        if isinstance(access.memory, Device):
            access.memory.count_additions(index, width)
        (old,) = access.load(group, width, 1, atomic=True)
        old = old.view(dtype).copy()
        # One lane after the other where several have one address.
        order = np.argsort(index, kind="stable")
        rank = np.arange(lanes.size) - np.searchsorted(index[order], index[order])
        for turn in range(int(rank.max(initial=-1)) + 1):
            turns = order[rank == turn]
            before = access.memory.read(index[turns], width, 0).view(dtype)
            old[turns] = before
            with np.errstate(all="ignore"):
                after = function(before, values[turns]).astype(dtype).view(f"u{width}")
            access.memory.write(index[turns], width, 0, after)
        if write:
            write(group, old)

    return step


TABLE: dict[str, Callable[[Machine, Instruction], Step]] = {
    "ld": _load, "ldu": _load, "st": _store, "mov": _move, "cvta": _address, "cp": _copy,
    "atom": _atomic, "red": _atomic,
}  # fmt: skip
