"""From an instruction to what it does with a group of lanes."""

from __future__ import annotations

from collections.abc import Callable

from . import arithmetic, exchange, movement, tensor
from .machine import Group, Machine, Step
from .memory import Fault
from .parse import Instruction

Compile = Callable[[Machine, Instruction], Step]

_TABLES: tuple[dict[str, Compile], ...] = (arithmetic.TABLE, movement.TABLE, exchange.TABLE, tensor.TABLE)
INSTRUCTIONS = {name: compile_one for table in _TABLES for name, compile_one in table.items()}


def compile_step(machine: Machine, instruction: Instruction) -> Step:
    """The instruction of this machine's registers and memory; lanes that its guard leaves out are left
    out."""
    if instruction.name not in INSTRUCTIONS:
        raise Fault(f"not understood: {instruction.text}")
    step = INSTRUCTIONS[instruction.name](machine, instruction)
    if instruction.guard is None:
        return step

    def guarded(group: Group) -> None:
        lanes = machine.guarded(instruction, group)
        if isinstance(lanes, slice) or lanes.size:
            step(lanes)

    return guarded
