"""Warp instructions of a launch, as slots of an instruction scheduler.

PTX is not what the hardware runs, but near it: an instruction takes one slot, with these exceptions. Copies
between registers and changes of address space vanish; 64-bit integers take an instruction for each half;
divisions and remainders are short programs. The lengths are those that ptxas 13.0 makes for sm_90 (`cuobjdump
-sass`), on their usual path.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .banks import Turns
from .parse import BYTES, Instruction, Kernel

_FREE = {"mov", "cvta"}
_PROGRAMS = {
    "div.f32": 8,
    "sqrt.f32": 8,
    "rcp.f32": 6,
    "div.32": 18,
    "rem.32": 17,
    "div.64": 100,
    "rem.64": 100,
}
_PAIRS = {"add", "sub", "and", "or", "xor", "not", "setp", "selp", "min", "max", "neg", "shl", "shr"}


def slots(code: Instruction) -> int:
    """How many slots one warp's instruction takes."""
    name, kind = code.name, code.parts[-1]
    if name in _FREE:
        return 0
    if name in ("div", "rem", "sqrt", "rcp"):
        if kind[0] == "f":
            return _PROGRAMS.get(f"{name}.f32", 1) if "approx" not in code.parts else 2
        return _PROGRAMS[f"{name}.{max(32, 8 * BYTES[kind])}"]
    if BYTES.get(kind) == 8 and kind[0] != "f":
        if name in _PAIRS:
            return 2
        if name in ("mul", "mad") and code.parts[1] == "lo":
            return 4
    return 1


def category(code: Instruction) -> str:
    """As tables name it: where the slots go."""
    if code.name in ("ld", "st", "cp"):
        space = next((part for part in code.parts if part in ("global", "shared", "local", "param")), "")
        return "cp.async" if code.name == "cp" else f"{code.name}.{space}"
    return code.name


@dataclass
class Report:
    """What launches did.

    Attributes:
        counts: of a kernel, how many warps took each instruction.
        longest: slots of the thread that took most.
        crowd: most atomics of one launch at one address of device memory.
        turns: of shared memory, if bank conflicts are counted.
    """

    kernels: dict[str, Kernel] = field(default_factory=dict)
    counts: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    blocks: Counter[str] = field(default_factory=Counter)
    longest: Counter[str] = field(default_factory=Counter)
    crowd: Counter[str] = field(default_factory=Counter)
    unwritten: set[str] = field(default_factory=set)
    turns: dict[str, Turns] = field(default_factory=dict)

    def of(self, kernel: Kernel) -> NDArray[np.int64]:
        self.kernels[kernel.name] = kernel
        return self.counts.setdefault(kernel.name, np.zeros(len(kernel.code), np.int64))

    def slots(self, name: str) -> int:
        """All blocks of a kernel together."""
        each = np.array([slots(code) for code in self.kernels[name].code])
        return int((each * self.counts[name]).sum())

    def categories(self, name: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for code, count in zip(self.kernels[name].code, self.counts[name].tolist(), strict=True):
            found[category(code)] += slots(code) * count
        return +found
