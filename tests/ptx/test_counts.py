"""Ceilings of issue slots: a change that makes a hot kernel slower, as far as counts tell, fails here.

Slots of a block in the middle of a map (ptxsim/cost.py). What makes a kernel faster lowers its ceiling.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from ptxsim.cost import Level, Transfer, costs, sampled, transfer_costs
from ptxsim.gpu import Gpu
from ptxsim.questions import Match, Swap

F32, BF16, F16 = torch.float32, torch.bfloat16, torch.float16

# Match, kernel, and thousands of slots. Widths are odd where the benchmark's are.
CEILINGS = [
    (Level("", 256, 56, 95, 8, False, BF16), "shared_kernel", 115),
    (Level("", 64, 56, 95, 8, False, F32), "shared_kernel", 132),
    (Level("", 64, 56, 95, 8, False, F32, tf32=True), "shared_kernel", 93),
    (Level("", 64, 56, 96, 2, True, BF16), "quads_kernel", 9.9),
    (Level("", 16, 56, 96, 2, True, BF16), "quads_kernel", 7.6),
    (Level("", 128, 56, 96, 2, True, F16), "quads_kernel", 12.6),
    (Level("", 64, 56, 96, 2, True, F32, tf32=True), "quads_kernel", 18.1),
    (Level("", 64, 56, 96, 2, True, F32), "quads_kernel", 27.2),
    (Level("", 64, 56, 96, 2, True, F32), "direct_kernel", 0.31),
    (Level("", 256, 56, 95, 8, False, BF16), "squares_last_kernel", 1.2),
    (Level("", 64, 56, 96, 2, True, BF16), "norms_kernel", 2),
    (Level("", 64, 56, 95, 2, True, BF16, channels_last=False), "pack_kernel", 3.7),
]


@pytest.mark.parametrize(
    ("level", "kernel", "ceiling"),
    CEILINGS,
    ids=[
        f"{kernel} {level.channels} {str(level.dtype)[6:]}{' tf32' * level.tf32}"
        for level, kernel, _ in CEILINGS
    ],
)
def test_slots_of_a_block(level: Level, kernel: str, ceiling: float) -> None:
    found = next(cost for cost in costs(level) if cost.kernel.startswith(kernel))
    assert 0.9 * ceiling < found.slots / 1e3 <= ceiling


# Match, kernel, and how many turns more conflicts make of a hundred turns of shared memory. Those of
# shared_kernel are reads of the candidates' norms, not of fragments, products or scores.
CONFLICTS = [
    (Level("", 64, 40, 95, 8, False, BF16), "shared_kernel", 16),
    (Level("", 64, 40, 96, 2, True, BF16), "quads_kernel", 5),
    (Level("", 16, 40, 95, 2, True, F32, channels_last=False), "pack_kernel", 0),
]


@pytest.mark.parametrize(("level", "kernel", "most"), CONFLICTS, ids=[kernel for _, kernel, _ in CONFLICTS])
def test_bank_conflicts(level: Level, kernel: str, most: float) -> None:
    (turns,) = [turns for name, turns in sampled(level, banks=True).report.turns.items() if kernel in name]
    assert turns.accesses > 0
    assert 100 * turns.conflicts <= most * turns.accesses


@pytest.mark.parametrize("dtype", [F32, BF16])
@pytest.mark.parametrize("width", [95, 96])
def test_channels_last_features_are_read_as_they_lie(dtype: torch.dtype, width: int) -> None:
    """Features that lie otherwise are copied first."""
    level = Level("", 16, 40, width, 2, True, dtype)
    copied = replace(level, channels_last=False)
    kernels, with_copies = ([cost.kernel.split()[0] for cost in costs(one)] for one in (level, copied))
    assert with_copies == ["pack_kernel", "pack_kernel", *kernels]


def test_a_level_costs_the_more_the_larger_it_is() -> None:
    small, large = (
        sum(cost.seconds for cost in costs(Level("", 16, h, w, 2, True, BF16)))
        for h, w in ((56, 96), (112, 192))
    )
    assert 3.5 < large / small < 4.5


# Transfer, kernel, and thousands of slots of a block of 256 pixels, offsets of 2 x 2 pixels.
TRANSFERS = [
    (Transfer("", 64, 56, 95, F32), "swap_last", 21.1),
    (Transfer("", 64, 56, 95, BF16), "swap_last", 17.4),
    (Transfer("", 64, 56, 95, F32, backward=True), "scatter_last", 33.9),
    (Transfer("", 64, 56, 95, F32, channels_last=False), "swap_planned", 12.9),
]


@pytest.mark.parametrize(
    ("transfer", "kernel", "ceiling"),
    TRANSFERS,
    ids=[f"{kernel} {str(transfer.dtype)[6:]}" for transfer, kernel, _ in TRANSFERS],
)
def test_slots_of_a_transfer(transfer: Transfer, kernel: str, ceiling: float) -> None:
    (found,) = [cost for cost in transfer_costs(transfer) if cost.kernel.startswith(kernel)]
    assert 0.9 * ceiling < found.slots / 1e3 <= ceiling


# Gradients in a fixed order, of 3072 and four times as many pixels; lists of more than 2048 are shared out.
SIZES = (1, 8, 48, 64), (1, 8, 96, 128)
FIXED = {
    "patch_swap": Swap(SIZES[0], backward=True, deterministic=True),
    "window_match": Match(SIZES[0], norm="cosine", backward=True, deterministic=True),
}


@pytest.mark.parametrize("field", ["one", "tile"])
@pytest.mark.parametrize("name", FIXED)
def test_no_thread_works_for_all(name: str, field: str) -> None:
    """Where all patches read one place, or one tile, no thread's work grows with the image, and no address of
    device memory is added to by all."""
    longest = []
    for size in SIZES:
        question = replace(FIXED[name], size=size, field=field)
        report = question.check(Gpu(races=False, size=64 << 20)).report
        # The gradient of the target is a gather along the offsets, with no list.
        longest.append(max(report.longest.values()))
        assert max(report.crowd.values()) <= size[2] * size[3] // 64, report.crowd
    assert max(longest) < 20_000, longest
    assert longest[1] < 1.5 * longest[0], longest
