"""What channel attention sees of an image that the network gets in parts: means over a sample of windows.

Channel attention weighs channels by their means over the whole image, which no tile knows, and a tile's own
would leave seams. Windows spread over the image, of about the size that the network was trained on, are
fused one after the other, and the average of their means stands for the image in every tile. The result does
not depend on how the image is cut. docs/large_images.md says what that costs and gains.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from apnt.nn.blocks import Mean
from apnt.nn.boxes import Box

WHOLE = 1 << 19
"""Pixels up to which a picture is fused at once, with its own means."""
SIDE = 192
"""Pixels a side of a window, in the network."""
SHARE = 16
"""Of an image so many times as large as all windows together."""
_FEWEST, _MOST = 2, 8


def windows(size: tuple[int, int], stride: int) -> list[Box]:
    """Where the windows lie: in rows and columns, evenly spread.

    Args:
        size: height and width of the picture, pixels, whole blocks of ``4 * stride``.
        stride: of the network.
    """
    height, width = size
    rows_side, columns_side = min(SIDE * stride, height), min(SIDE * stride, width)
    count = min(max(round(height * width / (SHARE * (SIDE * stride) ** 2)), _FEWEST), _MOST)
    rows = max(1, min(count, round((count * height / width) ** 0.5)))
    columns = -(-count // rows)
    block = 4 * stride
    return [
        Box(top, left, top + rows_side, left + columns_side)
        for top in _spread(height - rows_side, rows, block)
        for left in _spread(width - columns_side, columns, block)
    ]


def _spread(room: int, count: int, block: int) -> list[int]:
    return sorted({int(room * (k + 0.5) / count) // block * block for k in range(count)})


@contextmanager
def seen(network: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """Gather, by the name of the module, the means (N, C) of every forward pass in the block."""
    found: dict[str, list[Tensor]] = {}
    hooks = []
    for name, module in _means(network):

        def keep(_: nn.Module, __: object, value: Tensor, name: str = name) -> None:
            found.setdefault(name, []).append(value.float())

        hooks.append(module.register_forward_hook(keep))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def separate(network: nn.Module) -> nn.Module:
    """A second network of the same weights, not copied, whose means can be given and watched apart."""
    shared = {id(x): x for x in (*network.parameters(), *network.buffers())}
    return copy.deepcopy(network, shared)


def give(network: nn.Module, found: dict[str, list[Tensor]]) -> None:
    """Have the network take the averages of what :func:`seen` gathered for its means."""
    for name, module in _means(network):
        if name in found:
            module.given = torch.cat(found[name]).mean(dim=0, keepdim=True)


def _means(network: nn.Module) -> Iterator[tuple[str, Mean]]:
    for name, module in network.named_modules():
        if isinstance(module, Mean):
            yield name, module
