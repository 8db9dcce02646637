"""What preparing three photographs of 12 megapixels costs: seconds by stage, and memory.

    python benchmarks/prepare_cost.py --data DIR [--threads 2] [--markdown FILE]

Of ``brackets/phone_cat`` in the folder.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import cv2
import torch
from PIL import Image

from apnt import info
from apnt.benchmarks import measure
from apnt.io.files import check_output, write_text
from apnt.prepare import pipeline
from apnt.text import duration

FRAMES = (5, 7, 9)
"""Of phone_cat, the shortest is 0."""

TARGET = (12.0, 1024)
"""Seconds, and MiB beside the pixels, on two cores."""

_STAGES = {
    "read_photographs": "read",
    "assemble": "read",
    "find_exposures": "check",
    "find_pairs": "check",
    "check_brightness": "check",
    "linearise": "response",
    "evened": "response",
    "aligned": "alignment",
    "filled": "alignment",
}
"""Functions that :func:`apnt.prepare.pipeline.prepare` calls -> the stage their time counts for."""


def prepare_cost(folder: Path, threads: int = 2) -> dict[str, Any]:
    """Seconds by stage, their sum, and peak memory beside the pixels, each in a process of its own.

    Args:
        folder: of phone_cat.
        threads: of OpenCV, NumPy's BLAS and PyTorch.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)  # the processes get as many
    load = os.getloadavg()[0]
    try:
        seconds, processor = measure.apart(_seconds, str(folder), threads)
        memory = measure.extra_memory(_work, "cpu", str(folder), threads)
    finally:
        torch.set_num_threads(before)
    return {
        "seconds": seconds,
        "processor seconds": processor,
        "MiB beside the pixels": round(memory / 2**20),
        "threads": threads,
        "processors": os.cpu_count(),
        "load before": round(load, 1),
    }


def cost_markdown(cost: dict[str, Any]) -> str:
    """The page of results."""
    seconds = cost["seconds"]
    met = seconds["all"] <= TARGET[0] and cost["MiB beside the pixels"] <= TARGET[1]
    return "\n".join([
        "# Preparing 3 x 12 megapixels",
        "",
        f"Frames {', '.join(map(str, FRAMES))} of phone_cat, {cost['threads']} threads on "
        f"{cost['processors']} processors ({info.processor()}), load {cost['load before']} before. "
        f"Target: {duration(TARGET[0])} and {TARGET[1]} MiB beside the pixels: "
        f"{'met' if met else '**missed**'}.",
        "",
        "| " + " | ".join(seconds) + " | MiB beside the pixels |",
        "|" + " ---: |" * (len(seconds) + 1),
        "| " + " | ".join(f"{s:.1f} s" for s in seconds.values()) + f" | {cost['MiB beside the pixels']} |",
        "",
        f"Processor time of all threads: {cost['processor seconds']:.1f} s; other work changes it less.",
        "",
    ])  # fmt: skip


def _paths(folder: str) -> list[Path]:
    return [Path(folder) / f"{k + 1}.jpg" for k in FRAMES]


def _seconds(folder: str, threads: int) -> tuple[dict[str, float], float]:
    """By stage and of all, and the processor time of all threads."""
    cv2.setNumThreads(threads)
    spent = dict.fromkeys(_STAGES.values(), 0.0)
    for name, stage in _STAGES.items():
        setattr(pipeline, name, _timed(getattr(pipeline, name), spent, stage))
    start, processor = time.perf_counter(), time.process_time()
    pipeline.prepare(_paths(folder))
    return {**spent, "all": time.perf_counter() - start}, time.process_time() - processor


def _timed(function: Callable[..., Any], spent: dict[str, float], stage: str) -> Callable[..., Any]:
    @wraps(function)
    def timed(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            spent[stage] += time.perf_counter() - start

    return timed


def _work(device: str, folder: str, threads: int) -> tuple[measure.Work, int]:
    """The preparation, and the bytes of the prepared pixels."""
    cv2.setNumThreads(threads)
    kept: list[Any] = []
    with Image.open(_paths(folder)[0]) as image:
        pixels = image.width * image.height
    return lambda: kept.append(pipeline.prepare(_paths(folder))), len(FRAMES) * pixels * 3 * 4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with brackets/")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--markdown", type=Path, help="where the table is also written")
    options = parser.parse_args()
    if options.markdown:
        check_output(options.markdown, (".md",), name="markdown")
    text = cost_markdown(prepare_cost(options.data / "brackets" / "phone_cat", options.threads))
    print(text)
    if options.markdown:
        write_text(options.markdown, text)


if __name__ == "__main__":
    main()
