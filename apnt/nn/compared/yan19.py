"""AHDRNet (Yan and others, CVPR 2019): attention on the other exposures' features, dilated dense blocks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apnt.errors import InputError
from apnt.nn.compared.base import ComparedConfig, ComparedNetwork
from apnt.nn.convolution import Convolution, join
from apnt.nn.domains import LONG, MEDIUM, SHORT, to_radiance

_LAYERS = 6  # of a dense block
_BLOCKS = 3


@dataclass(frozen=True)
class Yan19Config(ComparedConfig):
    """Widths of :class:`Yan19`; the paper's are the defaults.

    Attributes:
        channels: of the features.
        growth: channels that a layer of a dense block adds. Take a multiple of 16: PyTorch 2.13 on a CPU with
            AVX-512 ends with a segmentation fault in the gradient of bf16 for 48 channels and a growth of 24.
    """

    channels: int = 64
    growth: int = 32

    def check(self) -> None:
        for name in ("channels", "growth"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")


class Yan19(ComparedNetwork[Yan19Config]):
    """Short and long exposure pass a gate each that the medium one opens, then residual dense blocks.

    The authors' file holds two more convolutions, ``attConv1`` and ``attConv3``, that nothing uses.
    """

    name = "yan19"
    config_type = Yan19Config

    def build(self, config: Yan19Config) -> None:
        width = config.channels
        self.features = Convolution(6, width)
        self.gate_short, self.gate_long = _Gate(width), _Gate(width)
        self.merge = Convolution(3 * width, width)
        self.blocks = nn.ModuleList(_DenseBlock(width, config.growth) for _ in range(_BLOCKS))
        self.squeeze = nn.Conv2d(_BLOCKS * width, width, 1)
        self.refine, self.expand, self.head = (
            Convolution(width, width),
            Convolution(width, width),
            Convolution(width, 3),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def fuse(self, ldr: Tensor, times: Tensor) -> Tensor:
        return self.from_inputs(torch.cat([ldr, to_radiance(ldr, times)], dim=2))

    def from_inputs(self, inputs: Tensor) -> Tensor:
        """(N, 3, 6, H, W), each exposure and its radiance, to (N, 3, H, W) radiance in (0, 1)."""
        short, medium, long = (F.leaky_relu(self.features(inputs[:, k])) for k in (SHORT, MEDIUM, LONG))
        gated = [self.gate_short(short, medium), medium, self.gate_long(long, medium)]
        x = self.merge(join(gated))
        found = []
        for block in self.blocks:
            x = block(x)
            found.append(x)
        x = self.refine(self.squeeze(join(found))) + medium
        return torch.sigmoid(self.head(self.expand(x)))


class _Gate(nn.Module):
    """Features (N, C, H, W) times an attention that they and the medium exposure's have in common."""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = Convolution(2 * width, 2 * width), Convolution(2 * width, width)

    def forward(self, features: Tensor, medium: Tensor) -> Tensor:
        # In both gates the exposure comes first and the medium one second.
        hidden = F.leaky_relu(self.first(join([features, medium])))
        return features * torch.sigmoid(self.second(hidden))


class _DenseBlock(nn.Module):
    """Convolutions of dilation 2 that see all before them; then back to the width, plus the input."""

    def __init__(self, width: int, growth: int):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(width + k * growth, growth, 3, padding=2, dilation=2) for k in range(_LAYERS)
        )
        self.squeeze = nn.Conv2d(width + _LAYERS * growth, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        dense = x
        for layer in self.layers:
            dense = join([dense, F.relu(layer(dense))])
        return self.squeeze(dense) + x
