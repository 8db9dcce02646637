"""Neural feature transfer (Fig. 1b, Fig. 4): encode, swap patches by the match, decode."""

from __future__ import annotations

from torch import Tensor, nn

from apnt import ops
from apnt.nn.blocks import cabs, resize
from apnt.nn.convolution import Convolution


class Encoder(nn.Module):
    """F_enc: three scales of two channel attention blocks, bilinear halving between.

    (N, C0, H, W) to ``[(N, C0, H, W), (N, C1, H/2, W/2), (N, C2, H/4, W/4)]``.
    """

    def __init__(self, channels: tuple[int, int, int], reduction: int):
        super().__init__()
        self.blocks = nn.ModuleList([cabs(c, 2, reduction) for c in channels])
        self.widen = nn.ModuleList([Convolution(channels[i], channels[i + 1]) for i in (0, 1)])

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [self.blocks[0](x)]
        for level in (1, 2):
            height, width = features[-1].shape[-2:]
            half = resize(features[-1], (height // 2, width // 2))
            features.append(self.blocks[level](self.widen[level - 1](half)))
        return features


class Decoder(nn.Module):
    """F_dec: mirrors :class:`Encoder`, with skip connections. Same shapes in and out."""

    def __init__(self, channels: tuple[int, int, int], reduction: int):
        super().__init__()
        self.blocks = nn.ModuleList([cabs(c, 2, reduction) for c in channels])
        self.merge = nn.ModuleList([Convolution(channels[i] + channels[i + 1], channels[i]) for i in (0, 1)])

    def forward(self, swapped: list[Tensor]) -> list[Tensor]:
        coarse = self.blocks[2](swapped[2])
        decoded = [coarse]
        for level in (1, 0):
            up = resize(decoded[0], swapped[level].shape[-2:])
            merged = self.merge[level](swapped[level], up)
            decoded.insert(0, self.blocks[level](merged))
        return decoded


def swap(features: list[Tensor], offsets: list[Tensor], patch_size: int) -> list[Tensor]:
    """Replace every patch by its partner at each of the three scales (:func:`apnt.ops.patch_swap`)."""
    return [ops.patch_swap(f, o, patch_size=patch_size) for f, o in zip(features, offsets, strict=True)]
