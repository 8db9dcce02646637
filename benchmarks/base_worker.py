"""Run in a process of its own, with the apnt of one build on the path: does named work when it is told to.

Imports nothing of apnt but its public names, so that any commit can be timed. Takes the inputs' file and the
number of threads from the command line, then a name of work from each line of stdin; answers with seconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import torch

import apnt


def works(path: str) -> dict[str, Callable[[], object]]:
    """What can be timed, on the inputs that ``base.py`` has written."""
    data = torch.load(path, weights_only=True)
    source, target, offsets = data["source"], data["target"], data["offsets"]
    grad = torch.ones_like(source[0])
    moved = source[0].clone().requires_grad_()
    frames, times = [frame.numpy() for frame in data["ldr"]], data["times"].numpy()
    model = apnt.APNTFusion.from_pretrained("default")
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    match, swap = apnt.ops.window_match, apnt.ops.patch_swap
    return {
        "window_match, quarter size, radius 8": lambda: match(source[2], target[2], radius=8),
        "window_match, full size, with centres": lambda: match(source[0], target[0], offsets[0], radius=2),
        "patch_swap": lambda: swap(source[0], offsets[0]),
        "patch_swap, backward": lambda: torch.autograd.grad(swap(moved, offsets[0]), moved, grad),
        "fuse, fp32": lambda: apnt.fuse(frames, times, model=model, precision="fp32"),
        "fuse, bf16": lambda: apnt.fuse(frames, times, model=model, precision="bf16"),
    }


def main() -> None:
    torch.set_num_threads(int(sys.argv[2]))
    known = works(sys.argv[1])
    print(json.dumps(list(known)), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        known[line.strip()]()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
