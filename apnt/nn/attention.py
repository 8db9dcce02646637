"""The attention modules: motion, saturation, scale, and the re-weighting of eq. 14.

Motion and saturation attention return logits, because eq. 9 adds them before its sigmoid. The others return
weights in (0, 1).
"""

from __future__ import annotations

from torch import Tensor, nn

from apnt.nn.blocks import relu, sigmoid
from apnt.nn.convolution import Convolution, Layers


class ExposureFeatures(Layers):
    """F_ex, shared by the exposures: (N, inputs, H, W) to (N, C, H, W)."""

    def __init__(self, inputs: int, channels: int):
        super().__init__(Convolution(inputs, channels), relu(), Convolution(channels, channels), relu())


class MotionAttention(nn.Module):
    """F_mt: features of an exposure and of the medium one, (N, C, H, W) each, to logits of their likeness."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = Layers(Convolution(2 * channels, channels), relu(), Convolution(channels, channels))

    def forward(self, features: Tensor, medium: Tensor) -> Tensor:
        logits: Tensor = self.layers(features, medium)
        return logits


class SaturationAttention(Layers):
    """F_sat, shared by both masks: binary (N, 1, H, W) to logits (N, C, H, W)."""

    def __init__(self, channels: int):
        hidden = max(channels // 2, 8)
        super().__init__(Convolution(1, hidden), relu(), Convolution(hidden, channels))


class ScaleAttention(nn.Module):
    """F_sc of eq. 10 and 11: decoder features of two neighbouring scales, both (N, C, H, W), to weights."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = Layers(
            Convolution(2 * channels, channels), relu(), Convolution(channels, channels, side=1)
        )

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return sigmoid(self.layers(coarse, fine))


class Reweighting(nn.Module):
    """F_wgt of eq. 14: saturation attention (N, C, H, W) to the fusion's weight (N, 1, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(channels // 2, 8)
        self.layers = Layers(Convolution(channels, hidden), relu(), Convolution(hidden, 1, side=1))

    def forward(self, attention: Tensor) -> Tensor:
        return sigmoid(self.layers(attention))
