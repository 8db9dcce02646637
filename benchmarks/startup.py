"""Seconds of ``apnt fuse`` of 0.2 megapixels, from the start of its process to its end, and its imports.

python benchmarks/startup.py [--runs 7] [--threads 2] [--weights default]
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from apnt.data.procedural import procedural_bracket

HEIGHT, WIDTH = 368, 544

TARGET = 2.5
"""Seconds on two cores that nothing else uses."""

_SHOWN = 6  # packages whose imports are listed


def bracket(folder: Path) -> list[str]:
    """Write three exposures of a made scene as PNG; arguments of ``apnt fuse``."""
    made = procedural_bracket(0, HEIGHT, WIDTH)
    names = [str(folder / f"{k}.png") for k in range(3)]
    for name, frame in zip(names, made.ldr, strict=True):
        Image.fromarray(np.round(frame * 255).astype(np.uint8)).save(name)
    return [
        *names,
        "--times",
        ",".join(f"{t:g}" for t in made.times),
        "-o",
        str(folder / "out.exr"),
        "--force",
    ]


def environment(folder: Path, threads: int) -> dict[str, str]:
    """Variables of the processes: bytecode is written and read, as it is where apnt is installed."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "OMP_NUM_THREADS": str(threads)}


def once(arguments: Sequence[str], variables: dict[str, str], *python: str) -> tuple[float, float, str]:
    """Seconds on the clock and of the processors of one process, and what it wrote on stderr."""
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *python, "-m", "apnt", "fuse", *arguments],
        env=variables, capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds, after = time.perf_counter() - start, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, used, done.stderr


def imports(listing: str) -> dict[str, float]:
    """Seconds of each top package of ``-X importtime``'s listing, most first."""
    seconds: dict[str, float] = defaultdict(float)
    for own, name in re.findall(r"import time:\s*(\d+) \|\s*\d+ \|\s*([\w.]+)", listing):
        seconds[name.partition(".")[0]] += int(own) / 1e6
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--weights", default="default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        arguments = [*bracket(Path(name)), "--weights", options.weights]
        variables = environment(Path(name), options.threads)
        once(arguments, variables)  # writes the bytecode
        runs = [once(arguments, variables) for _ in range(options.runs)]
        packages = imports(once(arguments, variables, "-X", "importtime")[2])
    table = Table(title=f"apnt fuse, {HEIGHT} x {WIDTH}, {options.threads} threads, {options.runs} processes")
    for column in ("", "best", "median"):
        table.add_column(column, justify="left" if not column else "right")
    for label, index in (("seconds", 0), ("processor seconds", 1)):
        values = [run[index] for run in runs]
        table.add_row(label, f"{min(values):.2f}", f"{statistics.median(values):.2f}")
    table.add_row("target, seconds", f"{TARGET:.2f}", "")
    for package in list(packages)[:_SHOWN]:
        table.add_row(f"imports of {package}", f"{packages[package]:.2f}", "")
    Console().print(table)


if __name__ == "__main__":
    main()
