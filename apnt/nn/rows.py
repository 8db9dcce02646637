"""Local layers computed some rows at a time, so that what lies between them stays small.

New memory is dear: the system clears every page of it, which for a feature map takes as long as half a
convolution. A strip's memory is freed and taken again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

STRIP = 8 << 20
"""Bytes of a strip's widest features in half precision: allocators keep freed pieces of such sizes."""


def by_rows(function: Callable[..., Tensor], inputs: Sequence[Tensor], reach: int, channels: int) -> Tensor:
    """``function(*inputs)``, on a CPU without gradients in strips of rows.

    Args:
        function: of (N, C_i, h, W) each, any h, to (N, channels, h, W): convolutions that keep the size, and
            functions of single pixels.
        inputs: (N, C_i, H, W) each.
        reach: rows above and below a pixel on which it depends.
        channels: of the result.
    """
    first = inputs[0]
    if torch.compiler.is_compiling() or torch.is_grad_enabled() or first.device.type != "cpu":
        return function(*inputs)
    batch, _, height, width = first.shape
    found: Tensor | None = None
    widest = max(channels, sum(x.shape[1] for x in inputs))
    for top, bottom in strips(height, batch * width * widest, least=4 * reach):
        low, high = max(top - reach, 0), min(bottom + reach, height)
        part = function(*(x[:, :, low:high] for x in inputs))
        if (top, bottom) == (0, height):
            return part
        if found is None:
            last = part.is_contiguous(memory_format=torch.channels_last)
            layout = torch.channels_last if last else torch.contiguous_format
            found = torch.empty((batch, channels, height, width), dtype=part.dtype, memory_format=layout)
        found[:, :, top:bottom] = part[:, :, top - low : bottom - low]
    assert found is not None
    return found


def strips(height: int, row: int, least: int = 1) -> Iterator[tuple[int, int]]:
    """First rows and ends of strips of rows of ``row`` numbers each; at least ``least`` rows."""
    rows = max(least, STRIP // (2 * row), 1)
    count = -(-height // rows)
    ends = [height * k // count for k in range(count + 1)]
    yield from pairwise(ends)
