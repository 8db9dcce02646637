"""A whole fuse at 1000x1500: the share of its matches, and the network beside its convolutions alone.

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
from apnt.benchmarks import measure, scenes
from apnt.benchmarks.bench_window_match import HEIGHT, WIDTH
from apnt.benchmarks.convolutions import floor
from apnt.benchmarks.measure import Row, Work
from apnt.data.procedural import procedural_bracket
from apnt.memory import keep_freed, keeping_all
from apnt.methods.network import load_network
from apnt.nn import APNTFusion

FLOORS = {"default": 1.3, "fast": 1.6}
"""The most that the network may take, in units of its convolutions alone, by weights."""
_WANTED = 4 << 30  # bytes, more than either takes


def measure_fuse(images: Sequence[Path], stops: Sequence[float] | None, device: torch.device) -> list[Row]:
    """All rows, from processes of their own that ask for memory as ``apnt fuse`` does."""
    found = measure.apart(rows, images, stops, device)
    for name, most in FLOORS.items():
        found += measure.apart(beside_floor, name, most, images, stops, device)
    return found


def beside_floor(
    name: str, most: float, images: Sequence[Path], stops: Sequence[float] | None, device: torch.device
) -> list[Row]:
    """Time of the network of some weights over that of its convolutions, for both precisions."""
    keep_freed()
    ldr, times = (x.to(device) for x in scenes.photographs(images, stops, HEIGHT, WIDTH).tensors())
    network = APNTFusion.from_pretrained(name).to(device)
    found = []
    for dtype in (torch.float32, torch.bfloat16):

        @torch.inference_mode()
        def run(dtype: torch.dtype = dtype) -> None:
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                network(ldr, times)

        with keeping_all(True, _WANTED):
            seconds = measure.time_together({"network": run}, device)["network"]
            least = floor(network, run, dtype, device)
        row = Row(f"network of {name}, {HEIGHT} x {WIDTH}, {dtype}", seconds, {"its convolutions s": least})
        found.append(row.at_most("time over its convolutions", seconds.median / least, most))
    return found


def rows(images: Sequence[Path], stops: Sequence[float] | None, device: torch.device) -> list[Row]:
    """Time and memory for each precision that ``apnt fuse`` offers."""
    keep_freed()
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
