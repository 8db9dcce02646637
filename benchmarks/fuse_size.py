"""Time and peak memory of fusing one bracket of a given size, each precision in a process of its own.

    python benchmarks/fuse_size.py [--size 1000x1500] [--threads N]

The bracket is the demo's procedural scene. Memory is the peak resident size of the process, with torch.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import torch

import apnt
from apnt.data.procedural import procedural_bracket


def measure(height: int, width: int, precision: str) -> None:
    bracket = procedural_bracket(0, height, width)
    start = time.perf_counter()
    apnt.fuse(list(bracket.ldr), bracket.times, precision=precision)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    threads = torch.get_num_threads()
    print(f"{precision}  {height}x{width}  {seconds:.1f} s  peak {peak:.2f} GiB  {threads} threads")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="1000x1500", help="height x width")
    parser.add_argument("--threads", type=int, help="threads of torch; default: its own choice")
    parser.add_argument("--precision", choices=("fp32", "bf16"), help="measure this one, in this process")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.precision:
        height, width = (int(part) for part in options.size.split("x"))
        measure(height, width, options.precision)
        return
    for precision in ("fp32", "bf16"):
        # A fresh process each: peak memory only ever grows.
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--precision", precision], check=True)


if __name__ == "__main__":
    main()
