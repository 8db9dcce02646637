"""The attention modules: motion, saturation, scale, and the re-weighting of eq. 14.

Motion and saturation attention return logits, because eq. 9 adds them before its sigmoid. The others return
weights in (0, 1).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from apnt.nn.blocks import conv3x3, joined, relu
from apnt.nn.rows import by_rows


class ExposureFeatures(nn.Sequential):
    """F_ex, shared by the exposures: (N, inputs, H, W) to (N, C, H, W)."""

    def __init__(self, inputs: int, channels: int):
        super().__init__(conv3x3(inputs, channels), relu(), conv3x3(channels, channels), relu())
        self.channels = channels

    def forward(self, image: Tensor) -> Tensor:
        return by_rows(super().forward, [image], 2, self.channels)


class MotionAttention(nn.Module):
    """F_mt: features of an exposure and of the medium one, (N, C, H, W) each, to logits of their likeness."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(conv3x3(2 * channels, channels), relu(), conv3x3(channels, channels))

    def forward(self, features: Tensor, medium: Tensor) -> Tensor:
        return joined(self.layers, [features, medium], 2, features.shape[1])


class SaturationAttention(nn.Sequential):
    """F_sat, shared by both masks: binary (N, 1, H, W) to logits (N, C, H, W)."""

    def __init__(self, channels: int):
        hidden = max(channels // 2, 8)
        super().__init__(conv3x3(1, hidden), relu(), conv3x3(hidden, channels))
        self.channels = channels

    def forward(self, mask: Tensor) -> Tensor:
        return by_rows(super().forward, [mask], 2, self.channels)


class ScaleAttention(nn.Module):
    """F_sc of eq. 10 and 11: decoder features of two neighbouring scales, both (N, C, H, W), to weights."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(conv3x3(2 * channels, channels), relu(), nn.Conv2d(channels, channels, 1))

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return joined(self._weights, [coarse, fine], 1, fine.shape[1])

    def _weights(self, both: Tensor) -> Tensor:
        return torch.sigmoid(self.layers(both))


class Reweighting(nn.Module):
    """F_wgt of eq. 14: saturation attention (N, C, H, W) to the fusion's weight (N, 1, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(channels // 2, 8)
        self.layers = nn.Sequential(conv3x3(channels, hidden), relu(), nn.Conv2d(hidden, 1, 1))

    def forward(self, attention: Tensor) -> Tensor:
        return by_rows(self._weight, [attention], 1, 1)

    def _weight(self, attention: Tensor) -> Tensor:
        return torch.sigmoid(self.layers(attention))
