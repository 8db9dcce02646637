"""Launches on the interpreter, a few blocks side by side, and a report of what they did."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from .banks import Turns
from .counts import Report
from .host import Launch
from .machine import Machine
from .memory import Device
from .parse import Kernel

_LANES = 16384
"""Threads that run side by side: as many whole blocks as this holds."""


@dataclass
class Interpreter:
    """Runs kernels on one device memory.

    Attributes:
        races: whether to look for accesses that no barrier orders.
        order: shuffles the blocks of a launch; None: as they are numbered.
        banks: whether to count bank conflicts of shared memory.
        sample: the numbers of the blocks of a launch that run; None: all. Results are then incomplete.
        change: alters a kernel before it runs, for planted mistakes.
        size: of the device memory in bytes.
    """

    races: bool = True
    banks: bool = False
    order: np.random.Generator | None = None
    sample: Callable[[Launch], Iterable[int]] | None = None
    change: Callable[[Kernel], Kernel] = lambda kernel: kernel
    size: int = 16 << 20
    device: Device = field(init=False)
    report: Report = field(default_factory=Report)
    launches: list[Launch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.device = Device(self.size)

    def launch(self, kernel: Kernel, launch: Launch) -> None:
        """Interprets a launch.

        Raises:
            Fault: what is wrong in it.
        """
        self.launches.append(launch)
        kernel = self.change(kernel)
        x, y, z = launch.grid
        numbers = list(range(x * y * z)) if self.sample is None else sorted(set(self.sample(launch)))
        if self.order is not None:
            self.order.shuffle(numbers)
        threads = int(np.prod(launch.block))
        side_by_side = max(1, _LANES // threads)
        self.device.begin_launch(self.races)
        self.report.blocks[kernel.name] += len(numbers)
        now = 0
        for start in range(0, len(numbers), side_by_side):
            some = numbers[start : start + side_by_side]
            machine = Machine(
                kernel, self.device, launch.parameters, launch.grid, launch.block,
                [(i % x, i // x % y, i // (x * y)) for i in some], launch.dynamic, self.races,
                start * threads, now, self.report.of(kernel), self.report.unwritten,
                self.report.turns.setdefault(kernel.name, Turns()) if self.banks else None,
            )  # fmt: skip
            machine.run()
            now = machine.clocks.now
            self.report.longest[kernel.name] = max(self.report.longest[kernel.name], int(machine.taken.max()))
        self.report.crowd[kernel.name] = max(self.report.crowd[kernel.name], self.device.most_additions())
