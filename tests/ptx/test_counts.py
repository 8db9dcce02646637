"""Ceilings of warp instructions: a change that makes a hot kernel slower fails here, as far as issue slots tell.

Slots of one tile (block) inside of a map, by ptxsim/counts.py. A change that makes a kernel faster lowers its ceiling.
"""

from __future__ import annotations

import pytest
import torch
from ptxsim.gpu import Gpu
from ptxsim.host import Launch

F32, BF16, F16 = torch.float32, torch.bfloat16, torch.float16


def middle(launch: Launch) -> list[int]:
    return [launch.grid[0] // 2]


def slots_of_a_block(kernel: str, channels: int, dtype: torch.dtype, radius: int, width: int = 57, tf32: bool = False,
                     centres: bool = False) -> int:  # fmt: skip
    gpu = Gpu(sample=middle, races=False)
    torch.manual_seed(0)
    h = 44
    source, target = torch.randn(2, 1, channels, h, width).to(dtype)
    center = torch.randint(-2, 3, (1, 2, h // 2, -(-width // 2)), dtype=torch.int32) if centres else None
    if center is not None:
        center = center.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., :width].contiguous()
        gpu.device.bytes[:] = 0  # a pixel that no kernel has matched yet is not one that is left to another
        # What the kernel before would have left: every pixel is pending.
    gpu.window_match(source, target, center, radius=radius, tf32=tf32)
    (name,) = [name for name in gpu.report.kernels if kernel in name]
    return gpu.report.slots(name) // gpu.report.blocks[name]
