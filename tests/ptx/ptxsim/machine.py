"""Threads of some blocks in lockstep: of those that can run, the ones with the lowest program counter take a
step.

So threads that parted at a branch meet again where both ways join, as the compiler lays code out: forwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .banks import Turns
from .counts import slots
from .memory import Device, Fault, Shared
from .parse import BYTES, Instruction, Kernel
from .races import Clocks, Lanes

Group = slice | Lanes
"""The lanes that take a step: all of them as a slice, which NumPy is faster with, or their numbers."""
Step = Callable[[Group], None]
Read = Callable[[Group], Any]
Write = Callable[[Group, Any], None]

NUMPY: dict[str, Any] = {
    "pred": np.bool_, "f32": np.float32, "f64": np.float64, "f16": np.float16,
    **{f"{kind}{bits}": np.dtype(f"{'i' if kind == 's' else 'u'}{bits // 8}").type
       for kind in "usb" for bits in (8, 16, 32, 64)},
}  # fmt: skip
_STORED: dict[int, Any] = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_NEVER = np.iinfo(np.int64).max  # counter of a thread that waits or has ended
ALL = slice(None)


class Machine:
    """The threads of ``ids``, blocks of one launch.

    Args:
        parameters: the bytes of each of the kernel's parameters.
        grid, block: (x, y, z), blocks and threads.
        dynamic: bytes of the dynamic shared memory.
        first: number of the first thread among all of the launch, for the search for races.
        counts: warps that took each instruction, added to.
        unwritten: text of instructions that read shared memory before it was written, added to.
        turns: accesses of shared memory and their bank conflicts, added to; None: not counted.
    """

    def __init__(
        self, kernel: Kernel, device: Device, parameters: Sequence[bytes], grid: tuple[int, int, int],
        block: tuple[int, int, int], ids: Sequence[tuple[int, int, int]], dynamic: int, races: bool,
        first: int, start: int, counts: NDArray[np.int64], unwritten: set[str],
        turns: Turns | None = None,
    ) -> None:  # fmt: skip
        self.kernel, self.device, self.grid, self.block = kernel, device, grid, block
        self.threads = int(np.prod(block))
        if self.threads > kernel.most_threads:
            raise Fault(f"launch: {self.threads} threads, the kernel takes {kernel.most_threads}")
        if self.threads % 32:
            raise Fault("launch: the last warp is not whole")
        self.lanes = self.threads * len(ids)
        self.ids = np.array(ids, np.int64)
        self.parameters = b""
        for (offset, size), value in zip(kernel.parameters.values(), parameters, strict=True):
            if len(value) != size:
                raise Fault(f"launch: a parameter of {len(value)} bytes, the kernel takes {size}")
            self.parameters = self.parameters.ljust(offset, b"\0") + value
        self.all = np.arange(self.lanes)
        self.block_of = self.all // self.threads
        self.dynamic_at = -(-kernel.shared_bytes // 128) * 128
        self.shared = Shared(self.dynamic_at + dynamic, len(ids), races)
        self.stack = np.full((self.lanes, kernel.local[1] if kernel.local else 0), 0xFF, np.uint8)
        self.clocks = Clocks(first, self.lanes, self.threads)
        self.clocks.now = start
        self.counter = np.zeros(self.lanes, np.int64)  # of each thread: its next instruction
        self.resume = np.zeros(self.lanes, np.int64)
        self.waiting = np.zeros(self.lanes, bool)
        self.ended = np.zeros(self.lanes, bool)
        self.counts, self.unwritten, self.turns = counts, unwritten, turns
        self.slots = np.cumsum([0] + [slots(code) for code in kernel.code])
        self.taken = np.zeros(self.lanes, np.int64)  # slots that each thread took part in
        self.registers: dict[str, NDArray[Any]] = {}
        self.steps: list[Step | None] = [None] * len(kernel.code)
        jumps = {"bra", "ret", "exit", "bar", "barrier"}
        self.jumps = [code.name in jumps and code.parts[1:2] != ("warp",) for code in kernel.code]
        targets = set(kernel.labels.values())
        self.stops = [i in targets or (i > 0 and self.jumps[i - 1]) for i in range(len(kernel.code) + 1)]

    # ---- values

    def register(self, name: str) -> NDArray[Any]:
        if name not in self.registers:
            kind = self.kernel.registers[name]
            stored = np.bool_ if kind == "pred" else _STORED[BYTES[kind]]
            self.registers[name] = np.zeros(self.lanes, stored)
        return self.registers[name]

    def reader(self, operand: str, kind: str) -> Read:
        """The operand's values as numbers of that type."""
        dtype = NUMPY[kind]
        if operand.startswith("%") and operand not in self.kernel.registers:
            special = self.special(operand).astype(dtype)
            return lambda group: special[group]
        if operand.startswith("%"):
            values = self.register(operand)
            if kind == "pred":
                return lambda group: values[group]
            if values.itemsize == BYTES[kind]:
                values = values.view(dtype)
                return lambda group: values[group]
            if values.itemsize > BYTES[kind]:
                return lambda group: values[group].astype(_STORED[BYTES[kind]]).view(dtype)
            raise Fault(f"not understood: {operand} as {kind}")
        constant = self.constant(operand, kind)
        return lambda group: constant

    def constant(self, operand: str, kind: str) -> Any:
        dtype = NUMPY[kind]
        if operand.startswith("0f"):
            return np.array([int(operand[2:], 16)], np.uint32).view(np.float32)[0]
        if operand.startswith("0d"):
            return np.array([int(operand[2:], 16)], np.uint64).view(np.float64)[0]
        try:
            number = int(operand, 0)
        except ValueError:
            return dtype(self.symbol(operand))
        if kind[0] == "f" or kind == "pred":
            return dtype(number)
        bits = 8 * BYTES[kind]
        return np.array([number & ((1 << bits) - 1)], f"u{bits // 8}").view(dtype)[0]

    def symbol(self, name: str) -> int:
        if name in self.kernel.shared:
            return self.kernel.shared[name]
        if name in self.kernel.dynamic:
            return self.dynamic_at
        if self.kernel.local and name == self.kernel.local[0]:
            return 0
        if name in self.kernel.parameters:
            return self.kernel.parameters[name][0]
        raise Fault(f"not understood: the symbol {name}")

    def special(self, name: str) -> NDArray[np.int64]:
        thread = self.all % self.threads
        what, _, axis = name.partition(".")
        number = "xyz".find(axis)
        if what == "%tid":
            return thread // int(np.prod(self.block[:number], dtype=int)) % self.block[number]
        if what == "%ctaid":
            return self.ids[self.block_of, number]
        sizes = {"%ntid": self.block, "%nctaid": self.grid}
        if what in sizes:
            return np.full(self.lanes, sizes[what][number])
        if name == "%laneid":
            return thread % 32
        raise Fault(f"not understood: {name}")

    def writer(self, name: str, kind: str) -> Write:
        """Writes numbers of that type to a register, extended to its width by their sign or by zeros."""
        if name == "_":
            return lambda group, values: None
        register = self.register(name)
        if kind == "pred":
            return register.__setitem__
        if register.itemsize == BYTES[kind]:
            return register.view(NUMPY[kind]).__setitem__
        wide = register.view(f"{'i' if kind[0] == 's' else 'u'}{register.itemsize}")
        return wide.__setitem__

    def numbers(self, group: Group) -> Lanes:
        return self.all[group]

    def full_warps(self, group: Group, what: str) -> None:
        """Every warp of the group must be there with all 32 lanes."""
        if isinstance(group, slice):
            return
        if group.size % 32 or (np.diff(group.reshape(-1, 32)[:, [0, -1]], axis=1) != 31).any():
            raise Fault(f"divergence: {what} with a part of a warp")

    # ---- control

    def run(self) -> None:
        """Until every thread has ended.

        Raises:
            Fault: what :mod:`ptxsim` finds; it names the instruction.
        """
        from .dispatch import compile_step

        code, steps, counts = self.kernel.code, self.steps, self.counts
        at = -1
        try:
            while True:
                at = int(self.counter.min())
                if at == _NEVER:
                    if self.waiting.any():
                        raise Fault("deadlock: threads wait at a barrier that the others never reach")
                    return
                here = self.counter == at
                group: Group = ALL if here.all() else np.flatnonzero(here)
                warps = (
                    self.lanes // 32
                    if isinstance(group, slice)
                    else 1 + np.count_nonzero(np.diff(group // 32))
                )
                start = at
                while True:
                    self.clocks.now += 1
                    counts[at] += warps
                    if self.jumps[at]:
                        self.jump(code[at], at, group)
                        at += 1
                        break
                    step = steps[at]
                    if step is None:
                        step = steps[at] = compile_step(self, code[at])
                    step(group)
                    at += 1
                    if self.stops[at]:
                        self.counter[group] = at
                        break
                self.taken[group] += self.slots[at] - self.slots[start]
        except Fault as fault:
            raise Fault(f"{fault} [{self.kernel.name}, {at}: {code[at].text}]") from None

    def guarded(self, instruction: Instruction, group: Group) -> Group:
        """Those of the group whose guard lets them take the instruction."""
        if instruction.guard is None:
            return group
        allowed = self.register(instruction.guard)[group]
        if instruction.negated:
            allowed = ~allowed
        if allowed.all():
            return group
        return self.numbers(group)[allowed]

    def jump(self, instruction: Instruction, at: int, group: Group) -> None:
        self.counter[group] = at + 1
        taken = self.guarded(instruction, group)
        if instruction.name == "bra":
            self.counter[taken] = self.kernel.labels[instruction.arguments[0]]
        elif instruction.name in ("ret", "exit"):
            self.counter[taken] = _NEVER
            self.ended[taken] = True
            self.release()
        else:
            self.wait(at, self.numbers(taken))

    def wait(self, at: int, lanes: Lanes) -> None:
        """Threads arrive at a barrier of the block."""
        warps = np.unique(lanes // 32)
        alive = np.count_nonzero(~self.ended.reshape(-1, 32)[warps])
        if alive != lanes.size:
            raise Fault("divergence: a barrier of the block with a part of a warp")
        self.waiting[lanes] = True
        self.resume[lanes] = at
        self.counter[lanes] = _NEVER
        self.release()

    def release(self) -> None:
        """Lets the threads of a block go on once all that have not ended wait."""
        waiting, ended = (x.reshape(-1, self.threads) for x in (self.waiting, self.ended))
        for block in np.flatnonzero((waiting | ended).all(1) & waiting.any(1)):
            lanes = block * self.threads + np.flatnonzero(waiting[block])
            places = np.unique(self.resume[lanes])
            if places.size > 1:
                raise Fault("divergence: threads of a block wait at different barriers")
            instruction = self.kernel.code[int(places[0])]
            if instruction.parts[1] == "red":  # or barrier.cta.red
                self.vote(instruction, lanes)
            self.counter[lanes] = places[0] + 1
            self.waiting[lanes] = False
            self.clocks.block_barrier(lanes)

    def vote(self, instruction: Instruction, lanes: Lanes) -> None:
        operand = instruction.arguments[-1]
        votes = ~self.register(operand[1:])[lanes] if operand[0] == "!" else self.register(operand)[lanes]
        self.register(instruction.arguments[0])[lanes] = (
            votes.all() if "and" in instruction.parts else votes.any()
        )
