"""Share of the three-level matches in a whole fuse at 1000x1500.

python benchmarks/bench_fuse.py [IMAGES] [--stops 0,3,6] [--device cuda] [--json FILE] [--markdown FILE]
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import apnt
from apnt import ops
from apnt._fuse import load_network
from apnt.benchmarks import measure, scenes
from apnt.benchmarks.bench_window_match import HEIGHT, WIDTH
from apnt.benchmarks.measure import Row, Work
from apnt.data.procedural import procedural_bracket


def run(images: Sequence[Path], stops: Sequence[float] | None, device: torch.device) -> list[Row]:
    """One row for each precision that ``apnt fuse`` offers."""
    ldr, times = scenes.photographs(images, stops, HEIGHT, WIDTH)
    rows = []
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
            apnt.fuse(list(ldr), times, device=str(device), precision=precision)

        fuse()  # loads the weights
        ops.window_match = timed
        try:
            seconds = measure.time_once(fuse, device)
        finally:
            ops.window_match = original
        matches = len(calls) / 3
        one = sum(calls) / matches
        rows.append(
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
        rows.append(Row(f"extra memory, fuse, {HEIGHT} x {WIDTH}, {precision}", None, {"GiB": extra / 2**30}))
    return rows


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
