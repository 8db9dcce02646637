"""What the GPU kernels of a three-level match, or of its transfers, cost by count.

    python benchmarks/gpu_cost.py [--transfers] [--markdown]

Takes no GPU, but nvcc: the kernels' PTX is interpreted for some blocks, and warp instructions and bytes are
counted (tests/ptx/ptxsim/cost.py, which has the model). Figures are of 1000 x 1500 pixels, channels-last
features as the network makes them, and offsets that differ from one 2 x 2 pixels to the next.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

VGG, PACKAGED = (64, 128, 256), (16, 32, 64)
MATCHES = {
    "bfloat16, C = 64, 128, 256": (VGG, torch.bfloat16, False),
    "float32, C = 64, 128, 256": (VGG, torch.float32, False),
    "tf32, C = 64, 128, 256": (VGG, torch.float32, True),
    "bfloat16, C = 16, 32, 64": (PACKAGED, torch.bfloat16, False),
}
FIELDS = {"smooth": "equal", "quads": "2 x 2 pixels"}
TRANSFERS = [
    (dtype, backward, last, field)
    for dtype, backward, field in (
        (torch.float32, False, "smooth"),
        (torch.float32, False, "quads"),
        (torch.bfloat16, False, "quads"),
        (torch.float32, True, "quads"),
        (torch.bfloat16, True, "quads"),
    )
    for last in (False, True)
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markdown", action="store_true", help="as the tables of docs/gpu_window_match.md")
    parser.add_argument("--transfers", action="store_true", help="patch_swap, forward and backward")
    options = parser.parse_args()
    # Tests are not part of the package: this runs from the repository alone.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "ptx"))
    if options.transfers:
        return print_transfers(options.markdown)
    from ptxsim.cost import costs, levels

    start, middle, end = ("| ", " | ", " |") if options.markdown else ("", "  ", "")
    head = ["match", "level", "kernel", "blocks", "slots a block", "issue ms", "tensor ms", "bytes ms", "ms"]
    print(start + middle.join(head) + end)
    if options.markdown:
        print("|" + "---|" * len(head))
    for name, (channels, dtype, tf32) in MATCHES.items():
        total = 0.0
        for level in levels(channels, dtype, tf32=tf32):
            for cost in costs(level):
                total += cost.seconds
                figures = [
                    f"{cost.blocks}",
                    f"{cost.slots:.0f}",
                    f"{1e3 * cost.issue:.3f}",
                    f"{1e3 * cost.tensor:.3f}",
                    f"{1e3 * cost.memory:.3f}",
                ]
                row = [name, level.name, cost.kernel, *figures, f"{1e3 * cost.seconds:.3f}"]
                print(start + middle.join(row) + end, flush=True)
        row = [name, "all", "", "", "", "", "", "", f"{1e3 * total:.2f}"]
        print(start + middle.join(row) + end, flush=True)


def print_transfers(markdown: bool) -> None:
    """Beside the transpositions of features and result that kernels for planes need, read and written."""
    from ptxsim.cost import BYTES_A_SECOND, transfer_costs, transfers

    start, middle, end = ("| ", " | ", " |") if markdown else ("", "  ", "")
    head = [
        "transfer",
        "offsets",
        "layout",
        "scale",
        "kernel",
        "blocks",
        "slots a block",
        "issue ms",
        "bytes ms",
        "ms",
    ]
    print(start + middle.join(head) + end)
    if markdown:
        print("|" + "---|" * len(head))
    for dtype, backward, last, field in TRANSFERS:
        what = f"{str(dtype)[6:]}, {'gradient' if backward else 'forward'}"
        name = [what, FIELDS[field], "channels-last" if last else "planes"]
        total = turned = 0.0
        for transfer in transfers(dtype, backward, last, field):
            turned += (
                0
                if last
                else 4 * transfer.channels * transfer.h * transfer.w * dtype.itemsize / BYTES_A_SECOND
            )
            for cost in transfer_costs(transfer):
                total += cost.seconds
                figures = (
                    f"{cost.blocks}",
                    f"{cost.slots:.0f}",
                    f"{1e3 * cost.issue:.3f}",
                    f"{1e3 * cost.memory:.3f}",
                )
                row = [*name, transfer.name, cost.kernel, *figures, f"{1e3 * cost.seconds:.3f}"]
                print(start + middle.join(row) + end, flush=True)
        rows = (
            [("all", total)] if last else [("all", total), ("all, and both transpositions", total + turned)]
        )
        for scale, seconds in rows:
            print(
                start + middle.join([*name, scale, "", "", "", "", "", f"{1e3 * seconds:.2f}"]) + end,
                flush=True,
            )


if __name__ == "__main__":
    main()
