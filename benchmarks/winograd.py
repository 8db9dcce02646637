"""Convolutions of the compiled library beside PyTorch's, channels last, without gradients.

    python benchmarks/winograd.py [--precision fp32] [--threads 1] [--markdown FILE]

Shapes are the network's at 1000x1500. Times are the best of some runs in turn. Errors are the largest and the
root mean square against float64, of results of deviation 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from apnt.benchmarks.convolutions import seconds
from apnt.benchmarks.measure import machine
from apnt.nn.convolution import Convolution, library_dtype

SHAPES = [
    # inputs, outputs, height, width, side
    (32, 32, 1000, 1500, 3),
    (64, 32, 1000, 1500, 3),
    (32, 9, 1000, 1500, 3),
    (48, 48, 500, 750, 3),
    (112, 48, 500, 750, 3),
    (64, 64, 250, 375, 3),
    (216, 32, 1000, 1500, 1),
]
_RUNS = 5


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@torch.inference_mode()
def row(dtype: torch.dtype, inputs: int, outputs: int, height: int, width: int, side: int) -> str:
    """A row of the table."""
    torch.manual_seed(0)
    layer = Convolution(inputs, outputs, side).to(memory_format=torch.channels_last)
    nn.init.normal_(layer.weight, std=1 / (side * inputs**0.5))
    x = torch.randn(1, inputs, height, width).to(dtype, memory_format=torch.channels_last)
    assert library_dtype([x]) == dtype, "the compiled library's convolutions do not run here"
    ours, theirs = [], []
    for _ in range(_RUNS):
        theirs.append(seconds(lambda: nn.Conv2d.forward(layer, x), x.device))
        ours.append(seconds(lambda: layer(x), x.device))
    part = x[:, :, :128]
    wanted = nn.functional.conv2d(
        part.double(), layer.weight.double(), layer.bias.double(), padding=side // 2
    )
    errors = [_error(found - wanted) for found in (nn.Conv2d.forward(layer, part), layer(part))]
    operations = 2e-9 * side**2 * inputs * outputs * height * width
    return (
        f"| {inputs} to {outputs}, {height} x {width}, {side}x{side} | {1e3 * min(theirs):.1f} "
        f"| {1e3 * min(ours):.1f} | {min(theirs) / min(ours):.2f} | {operations / min(ours):.0f} "
        f"| {errors[0]} | {errors[1]} |"
    )


def _error(difference: Tensor) -> str:
    return f"{difference.abs().max():.1e}, {difference.square().mean().sqrt():.1e}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--precision", choices=DTYPES, default="fp32", help="(default fp32)")
    parser.add_argument("--threads", type=int, default=1, help="that compute (default 1)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    dtype = DTYPES[arguments.precision]
    lines = [
        ", ".join(f"{name} {value}" for name, value in machine(torch.device("cpu")).items()),
        "",
        "| convolution | PyTorch, ms | ours, ms | ratio | useful GFLOP/s | error of PyTorch's | of ours |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for shape in SHAPES:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            lines.append(row(dtype, *shape))
        print(lines[-1], file=sys.stderr)
    print("\n".join(lines))
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
