"""The floor of a network's time: its convolutions alone, each at the best rate that is seen for its shape."""

from __future__ import annotations

import time
from collections import Counter
from unittest import mock

import torch
from torch import Tensor, nn

from apnt.benchmarks.measure import Work, synchronize
from apnt.nn import convolution, rows

_RUNS = 4


def floor(network: nn.Module, work: Work, dtype: torch.dtype, device: torch.device) -> float:
    """Seconds that the convolutions of ``work`` take alone, in ``dtype``, channels last: each the compiled
    library's or PyTorch's, whichever is faster for its shape.

    Args:
        network: whose convolutions count.
        work: runs the network once.
        dtype: in which its convolutions compute.
        device: where.
    """
    seen: Counter[tuple[nn.Module, tuple[int, ...]]] = Counter()

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        images, _, height, width = inputs[0].shape
        seen[module, (images, module.in_channels, height, width)] += 1  # of all parts that it joins

    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    hooks = [m.register_forward_pre_hook(note) for m in network.modules() if isinstance(m, kinds)]
    try:
        # Whole layers, one call after the other.
        with (
            mock.patch.object(rows, "STRIP", 1 << 60),
            mock.patch.object(convolution, "library_dtype", return_value=None),
        ):
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
            found.append(seconds(lambda: layer(x), device))
            if isinstance(layer, nn.Conv2d):
                found.append(seconds(lambda: nn.Conv2d.forward(layer, x), device))
    return min(found)


def seconds(work: Work, device: torch.device) -> float:
    """Time of one run."""
    synchronize(device)
    begin = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - begin
