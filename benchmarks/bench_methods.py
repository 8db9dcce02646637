"""Time and memory of every method at 1000x1500, in one run.

python benchmarks/bench_methods.py [--device cuda] [--json FILE] [--markdown FILE]
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from apnt._fuse import fuse_bracket
from apnt.benchmarks import measure, scenes
from apnt.benchmarks.bench_window_match import HEIGHT, WIDTH
from apnt.benchmarks.measure import Row, Work
from apnt.data.procedural import procedural_bracket
from apnt.device import has_bf16
from apnt.memory import keep_freed
from apnt.methods import METHODS, Method, Options, load_method
from apnt.nn import checkpoint
from apnt.nn.compared.registry import NETWORKS

SECONDS = {"sen12": 60}
"""The most that a method may take; the others :data:`MOST`."""
MOST = 20


def measure_methods(images: Sequence[Path], stops: Sequence[float] | None, device: torch.device) -> list[Row]:
    """A row for each method, from a process of its own that asks for memory as ``apnt fuse`` does."""
    return [measure.apart(row, name, images, stops, device) for name in METHODS]


def row(name: str, images: Sequence[Path], stops: Sequence[float] | None, device: torch.device) -> Row:
    """Time of a fuse and its extra memory; networks in bf16 where the hardware computes in it."""
    keep_freed()
    bracket = scenes.photographs(images, stops, HEIGHT, WIDTH)
    method = ready(name, device)
    seconds = measure.time_once(lambda: fuse_bracket(bracket, method), device)
    extra = measure.extra_memory(fuse_alone, device.type, name)
    precision = method.details.get("precision", "")
    note = f"{precision}, {_weights(name)}" if METHODS[name].has_weights else ""
    result = Row(f"{name}, {HEIGHT} x {WIDTH}", seconds, {"extra GiB": extra / 2**30}, note=note)
    return result.at_most("seconds", seconds.median, SECONDS.get(name, MOST))


def ready(name: str, device: torch.device) -> Method:
    """A method; a network without packaged weights as its paper has it, untrained: that takes as long."""
    precision = "bf16" if has_bf16(device) else "fp32"
    model = None
    if name in NETWORKS and checkpoint.packaged_for(name) is None:
        torch.manual_seed(0)
        model = NETWORKS[name]().eval()
    return load_method(name, Options(device=device, precision=precision, model=model))


def _weights(name: str) -> str:
    return "untrained, at its paper's width" if checkpoint.packaged_for(name) is None else "packaged weights"


def fuse_alone(device: str, name: str) -> tuple[Work, int]:
    """Work of the memory, and the bytes of its output: a procedural scene, the method loaded."""
    bracket = procedural_bracket(0, HEIGHT, WIDTH)
    method = ready(name, torch.device(device))
    return lambda: fuse_bracket(bracket, method), bracket.ldr[0].nbytes


if __name__ == "__main__":
    from apnt.benchmarks.command import main

    main("methods")
