"""The floor of a network's time: its convolutions alone, each at the best rate that is seen for its shape."""

from __future__ import annotations

import time
from collections import Counter
from unittest import mock

import torch
from torch import Tensor, nn

from apnt.benchmarks.measure import Work, synchronize
from apnt.nn import rows

_RUNS = 4


def floor(network: nn.Module, work: Work, dtype: torch.dtype, device: torch.device) -> float:
    """Seconds that the convolutions of ``work`` take alone, in ``dtype``, channels last.

    Args:
        network: whose convolutions count.
        work: runs the network once.
        dtype: in which its convolutions compute.
        device: where.
    """
    seen: Counter[tuple[nn.Module, tuple[int, ...]]] = Counter()

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[module, tuple(inputs[0].shape)] += 1

    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    hooks = [m.register_forward_pre_hook(note) for m in network.modules() if isinstance(m, kinds)]
    try:
        with mock.patch.object(rows, "STRIP", 1 << 60):  # whole layers
            work()
    finally:
        for hook in hooks:
            hook.remove()
    return sum(count * _best(module, shape, dtype, device) for (module, shape), count in seen.items())


@torch.inference_mode()
def _best(layer: nn.Module, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> float:
    x = torch.randn(shape, device=device).to(dtype=dtype, memory_format=torch.channels_last)
    found = []
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        for _ in range(_RUNS):
            synchronize(device)
            begin = time.perf_counter()
            layer(x)
            synchronize(device)
            found.append(time.perf_counter() - begin)
    return min(found)
