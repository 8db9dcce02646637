"""Local layers computed some rows at a time, so that what lies between them stays small.

New memory is dear: the system clears every page of it, which for a feature map takes as long as half a
convolution. A strip's memory is freed and taken again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

from apnt.strips import Part, parts

STRIP = 8 << 20
"""Bytes of a strip's widest features in half precision: allocators keep freed pieces of such sizes."""


def takes_strips(x: Tensor) -> bool:
    """Whether layers of ``x`` run in strips: on a CPU, without derivatives, a graph or ``vmap``."""
    derivatives = torch.is_grad_enabled() or forward_ad._current_level >= 0  # which no_grad leaves
    transformed = derivatives or torch._C._are_functorch_transforms_active()
    return not (torch.compiler.is_compiling() or transformed or x.device.type != "cpu")


def by_rows(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    reach: int,
    channels: int,
) -> Tensor:
    """``function(*inputs)``, in strips of rows where :func:`takes_strips` says so.

    Args:
        function: of (N, C_i, h, W) each, any h, to (N, channels, h, W): convolutions that keep the size, and
            functions of single pixels.
        inputs: (N, C_i, H, W) each.
        reach: rows above and below a pixel on which it depends.
        channels: of the result.
    """
    if not takes_strips(inputs[0]):
        return function(*inputs)
    batch, _, height, width = inputs[0].shape
    found: Tensor | None = None
    widest = max(channels, sum(x.shape[1] for x in inputs))
    for rows in strips(height, batch * width * widest, reach):
        part = function(*(x[:, :, rows.seen] for x in inputs))
        if rows.own == slice(0, height):
            return part
        if found is None:
            last = part.is_contiguous(memory_format=torch.channels_last)
            layout = torch.channels_last if last else torch.contiguous_format
            found = torch.empty((batch, channels, height, width), dtype=part.dtype, memory_format=layout)
        found[:, :, rows.own] = part[:, :, rows.inner]
    assert found is not None
    return found


def strips(height: int, row: int, reach: int = 0) -> Iterator[Part]:
    """About equal strips of rows of ``row`` numbers each, with ``reach`` rows around, a part of their own."""
    count = -(-height // max(4 * reach, STRIP // (2 * row), 1))
    return parts(height, -(-height // count), reach)
