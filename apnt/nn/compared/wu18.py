"""DeepHDR (Wu, Xu, Tai and Tang, ECCV 2018): an encoder for each exposure, residual blocks, one decoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apnt.errors import InputError
from apnt.nn.compared.base import ComparedConfig, ComparedNetwork
from apnt.nn.convolution import join
from apnt.nn.domains import to_radiance

_EXPOSURES = 3
_EPSILON, _MOMENTUM = 1e-5, 0.1  # of the batch normalisation; TensorFlow's decay of 0.9


@dataclass(frozen=True)
class Wu18Config(ComparedConfig):
    """Widths of :class:`Wu18`; the paper's are the defaults.

    Attributes:
        channels: of the first layer; the second has twice, the residual blocks four times as many.
        blocks: residual blocks.
    """

    channels: int = 64
    blocks: int = 9

    def check(self) -> None:
        if self.channels < 1:
            raise InputError(f"channels must be at least 1, got {self.channels}")
        if self.blocks < 0:
            raise InputError(f"blocks must be at least 0, got {self.blocks}")


class Wu18(ComparedNetwork[Wu18Config]):
    """Strided convolutions to an eighth of the size and back, with the encoders' layers joined in.

    Activations come before the layers, as in the authors' graph, so what is joined has passed none.
    """

    name = "wu18"
    config_type = Wu18Config
    step = 8

    def build(self, config: Wu18Config) -> None:
        c = config.channels
        self.encoders = nn.ModuleList(_Encoder(c) for _ in range(_EXPOSURES))
        self.merger = _Layer(_EXPOSURES * 2 * c, 4 * c, 5, stride=2)
        self.blocks = nn.ModuleList(_Block(4 * c) for _ in range(config.blocks))
        self.up1, self.up2, self.up3 = _Up(8 * c, 2 * c), _Up(8 * c, c), _Up(4 * c, c)
        self.head = _Layer(c, 3, 5, normalised=False)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def fuse(self, ldr: Tensor, times: Tensor) -> Tensor:
        inputs = torch.cat([2 * ldr - 1, 2 * to_radiance(ldr, times) - 1], dim=2)
        return (self.from_inputs(inputs) + 1) / 2

    def from_inputs(self, inputs: Tensor) -> Tensor:
        """(N, 3, 6, H, W) in [-1, 1], each exposure and its radiance, to (N, 3, H, W) in (-1, 1).

        Height and width must be multiples of 8.
        """
        firsts, seconds = zip(*(e(inputs[:, k]) for k, e in enumerate(self.encoders)), strict=True)
        merged = self.merger(F.leaky_relu(join(seconds), 0.2))
        x = merged
        for block in self.blocks:
            x = block(x)
        x = self.up1(F.relu(join([x, merged])))
        x = self.up2(F.relu(join([x, *seconds])))
        x = self.up3(F.relu(join([x, *firsts])))
        return torch.tanh(self.head(F.relu(x)))


class _Layer(nn.Module):
    """A convolution behind reflected borders, and batch normalisation.

    TensorFlow pads ``side - stride`` rows and columns, of an odd number the smaller half above and left.
    """

    def __init__(self, inputs: int, outputs: int, side: int, stride: int = 1, normalised: bool = True):
        super().__init__()
        before = (side - stride) // 2
        self.border = (before, side - stride - before) * 2
        self.conv = nn.Conv2d(inputs, outputs, side, stride)
        self.norm = nn.BatchNorm2d(outputs, _EPSILON, _MOMENTUM) if normalised else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(F.pad(x, self.border, mode="reflect"))
        return x if self.norm is None else self.norm(x)


class _Encoder(nn.Module):
    """(N, 6, H, W) to (N, C, H/2, W/2) and (N, 2C, H/4, W/4)."""

    def __init__(self, c: int):
        super().__init__()
        self.first, self.second = _Layer(6, c, 5, 2, normalised=False), _Layer(c, 2 * c, 5, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = self.first(x)
        return first, self.second(F.leaky_relu(first, 0.2))


class _Block(nn.Module):
    """Two convolutions beside a path that has passed an activation, too. Keeps the shape."""

    def __init__(self, c: int):
        super().__init__()
        self.first, self.second = _Layer(c, c, 3), _Layer(c, c, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        return x + self.second(F.relu(self.first(x)))


class _Up(nn.Module):
    """A transposed convolution to twice the size, and batch normalisation."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv = nn.ConvTranspose2d(inputs, outputs, 5, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(outputs, _EPSILON, _MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        # TensorFlow's "SAME" drops one row above and two below; padding drops one on both sides.
        return self.norm(self.conv(x)[..., :-1, :-1])
