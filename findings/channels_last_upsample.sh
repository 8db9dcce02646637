#!/usr/bin/env bash
# One expects: `F.interpolate(x, mode="bilinear")` of one large feature map runs on all threads of PyTorch on a CPU,
# whatever its memory format; channels_last is the format that is advised for convolutions there.
# What happens: in channels_last it is cut by images alone, so that a batch of one is enlarged by one thread while the
# others wait. Contiguous maps are cut by channels, and a batch of two in channels_last by its images.
# Why it matters: photographs are fused one at a time, and the convolutions around it are faster in channels_last; so
# the enlargement is a step that does not get faster with more cores, and nothing says so.
# Remedy: apnt doubles sizes in an operator of its own, cut by rows.
# Seen with torch 2.13.0 on x86-64, 2026-12-01. It needs a machine with two processors.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$work"
OMP_WAIT_POLICY=passive venv/bin/python - <<'PY'
import os

import torch
import torch.nn.functional as F


def seconds_of_threads() -> dict[str, float]:
    """Processor time of each thread of this process."""
    found = {}
    for thread in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{thread}/schedstat") as file:
            found[thread] = int(file.read().split()[0]) / 1e9
    return found


def threads_of(x: torch.Tensor) -> int:
    """How many threads did more than a tenth of the work."""
    size = (2 * x.shape[2], 2 * x.shape[3])
    F.interpolate(x, size=size, mode="bilinear")  # threads are made
    before = seconds_of_threads()
    for _ in range(8):
        F.interpolate(x, size=size, mode="bilinear")
    taken = [now - before.get(thread, 0) for thread, now in seconds_of_threads().items()]
    return sum(seconds > 0.1 * sum(taken) for seconds in taken)


print("torch", torch.__version__)
torch.set_num_threads(2)
found = {}
for images in (1, 2):
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.rand(images, 32, 512, 512).contiguous(memory_format=layout)
        with torch.inference_mode():
            found[images, layout] = threads_of(x)
        print(f"batch of {images}, {layout}: {found[images, layout]} of 2 threads work")
if found[1, torch.channels_last] != 1:
    raise SystemExit("changed: a single channels_last map is enlarged on several threads")
if any(found[key] != 2 for key in found if key != (1, torch.channels_last)):
    raise SystemExit("changed: other maps are no longer enlarged on both threads")
PY
