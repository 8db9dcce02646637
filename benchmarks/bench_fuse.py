"""Share of the three-level matches in a whole fuse at 1000x1500.

python benchmarks/bench_fuse.py [IMAGES] [--stops 0,3,6] [--device cuda] [--json FILE] [--markdown FILE]
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch

import apnt
from apnt import ops
from apnt.benchmarks import measure, scenes
from apnt.benchmarks.bench_window_match import HEIGHT, WIDTH
from apnt.benchmarks.measure import Row, Work
from apnt.data.procedural import procedural_bracket
from apnt.memory import ask_for_large_pages
from apnt.methods.network import load_network


def measure_fuse(images: Sequence[Path], stops: Sequence[float] | None, device: torch.device) -> list[Row]:
    """All rows, from a process of its own that asks for large pages as ``apnt fuse`` does."""
    with mock.patch.dict(os.environ):
        ask_for_large_pages()
        return measure.apart(rows, images, stops, device)


def rows(images: Sequence[Path], stops: Sequence[float] | None, device: torch.device) -> list[Row]:
    """Time and memory for each precision that ``apnt fuse`` offers."""
    bracket = scenes.photographs(images, stops, HEIGHT, WIDTH)
    found = []
    original = ops.window_match
    for precision in ("fp32", "bf16"):
        calls: list[float] = []

        def timed(*args: Any, calls: list[float] = calls, **options: Any) -> Any:
            measure.synchronize(device)
            begin = time.perf_counter()
            result = original(*args, **options)
            measure.synchronize(device)
            calls.append(time.perf_counter() - begin)
            return result

        def fuse(precision: str = precision) -> None:
            apnt.fuse(list(bracket.ldr), bracket.times, device=str(device), precision=precision)

        fuse()  # loads the weights
        ops.window_match = timed
        try:
            seconds = measure.time_once(fuse, device)
        finally:
            ops.window_match = original
        matches = len(calls) / 3
        one = sum(calls) / matches
        found.append(
            Row(
                f"fuse, {HEIGHT} x {WIDTH}, {precision}",
                seconds,
                {
                    "matches": matches,
                    "one match ms": 1e3 * one,
                    "all matches %": 100 * sum(calls) / seconds.median,
                },
            ).at_most("one three-level match, % of the fuse", 100 * one / seconds.median, 10)
        )
        extra = measure.extra_memory(fuse_alone, device.type, precision)
        found.append(
            Row(f"extra memory, fuse, {HEIGHT} x {WIDTH}, {precision}", None, {"GiB": extra / 2**30})
        )
    return found


def fuse_alone(device: str, precision: str) -> tuple[Work, int]:
    """Work of the memory's row, and the bytes of its output: a procedural scene, with loaded weights."""
    bracket = procedural_bracket(0, HEIGHT, WIDTH)
    model = load_network("default")

    def work() -> object:
        return apnt.fuse(list(bracket.ldr), bracket.times, model=model, device=device, precision=precision)

    return work, bracket.ldr[0].nbytes


if __name__ == "__main__":
    from apnt.benchmarks.command import main

    main("fuse")
