"""Time, memory and floors, all of one run: what differs between machines and hours cancels in the ratios."""

from __future__ import annotations

import gc
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import torch
from rich.table import Column, Table

from apnt import __version__, _ext
from apnt.info import processor

Work = Callable[[], object]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Timing:
    """Seconds of one piece of work: the median of ``runs``, and its quartiles."""

    median: float
    low: float
    high: float
    runs: int

    def __str__(self) -> str:
        seconds = self.median
        return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


@dataclass
class Row:
    """One line of a table.

    Attributes:
        name: what was measured.
        seconds: its time, None where only another figure is reported.
        figures: every other figure by name, with its unit in the name.
        target: what ``value`` has to be, for people; empty if there is no target.
        value: the figure that the target is about.
        met: whether it is; None without a target.
        note: how it was measured, where that is not obvious.
    """

    name: str
    seconds: Timing | None = None
    figures: dict[str, float] = field(default_factory=dict)
    target: str = ""
    value: float | None = None
    met: bool | None = None
    note: str = ""

    def at_least(self, what: str, value: float, least: float) -> Row:
        """Say that ``value`` has to be at least ``least``."""
        self.target, self.value, self.met = f"{what} >= {least:g}", value, value >= least
        return self

    def at_most(self, what: str, value: float, most: float) -> Row:
        """Say that ``value`` has to be at most ``most``."""
        self.target, self.value, self.met = f"{what} <= {most:g}", value, value <= most
        return self


def synchronize(device: torch.device) -> None:
    """Wait for the GPU, if that is where the work is."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def time_together(works: dict[str, Work], device: torch.device, budget: float = 4.0) -> dict[str, Timing]:
    """Time pieces of work in turn, round after round, so that all see the same machine.

    Args:
        works: what to time, by name; each runs once before the clock starts.
        device: where the work runs.
        budget: seconds for all rounds together; there are at least three rounds and at most thirty.

    Returns:
        A :class:`Timing` for each name.
    """
    for work in works.values():
        work()
    synchronize(device)
    seconds: dict[str, list[float]] = {name: [] for name in works}
    start = time.perf_counter()
    for round_ in range(30):
        if round_ >= 3 and time.perf_counter() - start > budget:
            break
        for name, work in works.items():
            begin = time.perf_counter()
            work()
            synchronize(device)
            seconds[name].append(time.perf_counter() - begin)
    return {name: summary(values) for name, values in seconds.items()}


def time_once(work: Work, device: torch.device) -> Timing:
    """Time work that takes so long that one run says enough."""
    synchronize(device)
    begin = time.perf_counter()
    work()
    synchronize(device)
    return summary([time.perf_counter() - begin])


def summary(values: list[float]) -> Timing:
    """Median and quartiles."""
    if len(values) == 1:
        return Timing(values[0], values[0], values[0], 1)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Timing(median, low, high, len(values))


def matrix_product(device: torch.device, dtype: torch.dtype, size: int = 2048) -> tuple[Work, float]:
    """A square matrix product, and its operations: the rate that arithmetic is held against."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return lambda: a @ b, 2.0 * size**3


def copy(device: torch.device, count: int) -> tuple[Work, float]:
    """A copy of ``count`` float32 numbers into memory that exists, and the bytes it moves, read and write."""
    a, b = torch.randn(count, device=device), torch.empty(count, device=device)
    b.zero_()
    return lambda: b.copy_(a), 8.0 * count


def extra_memory(build: Callable[..., tuple[Work, int]], *arguments: Any) -> int:
    """Peak bytes that work takes beyond its inputs and outputs, in a process of its own.

    Args:
        build: a function of a module (it is sent by name) that makes the inputs and returns the work and the
            bytes of its outputs.
        arguments: of ``build``; the first is the name of the device.
    """
    return apart(_extra_memory, build, *arguments)


def apart(function: Callable[..., Result], *arguments: Any) -> Result:
    """What a function of a module returns in a process of its own, with as many threads as this one."""
    context = multiprocessing.get_context("spawn")
    threads = torch.get_num_threads()
    with ProcessPoolExecutor(1, context, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        return pool.submit(function, *arguments).result()


def _extra_memory(build: Callable[..., tuple[Work, int]], *arguments: Any) -> int:
    work, outputs = build(*arguments)
    gc.collect()
    device = torch.device(arguments[0])
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        result = work()
        torch.cuda.synchronize(device)
        peak = torch.cuda.max_memory_allocated(device)
    else:
        torch.ones(64, 1 << 14).sum()  # the threads exist, with their stacks
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak starts from here
        before = _status("VmRSS")
        result = work()
        peak = _status("VmHWM")
    del result
    return max(0, peak - before - outputs)


def _status(name: str) -> int:
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures were measured on."""
    found: dict[str, Any] = {
        "apnt": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "instructions": _ext.instruction_set(),
    }
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
        found["cuda"] = torch.version.cuda
    return found


def as_table(title: str, rows: list[Row]) -> Table:
    """Rows for a terminal: figures and notes below the name."""
    table = Table(
        "what",
        Column("time", justify="right"),
        "target",
        Column("value", justify="right"),
        "met",
        title=title,
    )
    for row in rows:
        details = [f"{name} {value:.3g}" for name, value in row.figures.items()] + [row.note] * bool(row.note)
        table.add_row(
            row.name + (f"\n[dim]{', '.join(details)}[/dim]" if details else ""),
            "" if row.seconds is None else str(row.seconds),
            row.target,
            "" if row.value is None else f"{row.value:.3g}",
            "" if row.met is None else "yes" if row.met else "[bold red]no[/bold red]",
        )
    return table


def as_json(rows: list[Row], device: torch.device) -> dict[str, Any]:
    """Rows and machine, ready to be written."""
    return {"machine": machine(device), "rows": [asdict(row) for row in rows]}


def as_markdown(title: str, rows: list[Row], device: torch.device) -> str:
    """Rows as a table, the machine above it."""
    what = ", ".join(f"{name} {value}" for name, value in machine(device).items())
    lines = [
        f"## {title}",
        "",
        what,
        "",
        "| what | time | figures | target | value | met |",
        "|---|---:|---|---|---:|---|",
    ]
    for row in rows:
        cells = [
            row.name + (f" ({row.note})" if row.note else ""),
            "" if row.seconds is None else str(row.seconds),
            ", ".join(f"{name} {value:.3g}" for name, value in row.figures.items()),
            row.target,
            "" if row.value is None else f"{row.value:.3g}",
            "" if row.met is None else "yes" if row.met else "**no**",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
