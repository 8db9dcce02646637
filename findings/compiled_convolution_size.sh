#!/usr/bin/env bash
# One expects: a convolution compiled with torch.compile(dynamic=True) is compiled once, whatever the height and width.
# What happens: on a CPU it is compiled anew when the input passes 20480 numbers (channels times height times width), up
# or down: the tracer asks which kernel would be chosen, and that question leaves a guard on the size. Each number of
# channels, at each scale, has a limit of its own, so a network of ten widths, shown growing pictures, passes the eight
# compilations that are allowed, and then runs uncompiled, or fails with fullgraph=True. What torch.export makes of
# the same layer has no such condition.
# Why it matters: a count of compilations at two sizes of one kind tells nothing of a third, and thumbnails, which are
# what one tests with, lie on the other side of the limit than photographs. apnt counts them at sizes beyond it, and
# docs/export.md says below which sizes there are more.
# Seen with torch 2.13.0 on x86-64, 2026-11-30.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$work"
venv/bin/python - 2>/dev/null <<'PY'
import torch
from torch import nn

print("torch", torch.__version__)
compilations = 0


def counting(graph, inputs):
    global compilations
    compilations += 1
    return graph


def compiled(network, channels, sides):
    """How often it has been compiled after each of these sides of a square picture."""
    global compilations
    torch._dynamo.reset()
    compilations, counts = 0, []
    run = torch.compile(network, dynamic=True, fullgraph=True, backend=counting)
    with torch.no_grad():
        for side in sides:
            run(torch.rand(1, channels, side, side))
            counts.append(compilations)
    return counts


one = nn.Conv2d(8, 8, 3, padding=1)
limit = [40, 50, 51, 64, 200]
found = compiled(one, 8, limit)
print("8 channels, sides", limit, "- numbers", [8 * side**2 for side in limit], "- compilations", found)

widths = [2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]
many = nn.Sequential(*(nn.Conv2d(a, b, 1) for a, b in zip(widths, widths[1:])))
sides = [19, 21, 24, 28, 34, 40, 48, 56, 68, 80, 96]
try:
    compiled(many, 2, sides)
    refused = "no error"
except Exception as error:
    refused = type(error).__name__
print("10 widths, sides", sides, "- compilations", compilations, "-", refused)

side = torch.export.Dim("side", min=8, max=1024)
with torch.no_grad():
    program = torch.export.export(one, (torch.rand(1, 8, 40, 40),), dynamic_shapes=({2: side, 3: side},))
    shapes = [tuple(program.module()(torch.rand(1, 8, n, n)).shape) for n in (16, 200)]
print("exported at 40, run at 16 and 200:", shapes)
if found != [1, 1, 2, 2, 2]:
    raise SystemExit("changed: a convolution is no longer compiled anew beyond 20480 numbers")
if (compilations, refused) != (8, "FailOnRecompileLimitHit"):
    raise SystemExit("changed: a network of ten widths is compiled otherwise")
PY
