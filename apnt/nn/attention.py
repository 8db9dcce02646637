"""The attention modules: motion, saturation, scale, and the re-weighting of eq. 14.

Motion and saturation attention return logits, because eq. 9 adds them before its sigmoid. The others return
weights in (0, 1).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from apnt.nn.blocks import conv3x3


class ExposureFeatures(nn.Sequential):
    """F_ex, shared by the exposures: (N, inputs, H, W) to (N, C, H, W)."""

    def __init__(self, inputs: int, channels: int):
        super().__init__(conv3x3(inputs, channels), nn.ReLU(), conv3x3(channels, channels), nn.ReLU())


class MotionAttention(nn.Module):
    """F_mt: features of an exposure and of the medium one, (N, C, H, W) each, to logits of their likeness."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(conv3x3(2 * channels, channels), nn.ReLU(), conv3x3(channels, channels))

    def forward(self, features: Tensor, medium: Tensor) -> Tensor:
        return self.layers(torch.cat([features, medium], dim=1))


class SaturationAttention(nn.Sequential):
    """F_sat, shared by both masks: binary (N, 1, H, W) to logits (N, C, H, W)."""

    def __init__(self, channels: int):
        hidden = max(channels // 2, 8)
        super().__init__(conv3x3(1, hidden), nn.ReLU(), conv3x3(hidden, channels))


class ScaleAttention(nn.Module):
    """F_sc of eq. 10 and 11: decoder features of two neighbouring scales, both (N, C, H, W), to weights."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            conv3x3(2 * channels, channels), nn.ReLU(), nn.Conv2d(channels, channels, 1)
        )

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return torch.sigmoid(self.layers(torch.cat([coarse, fine], dim=1)))


class Reweighting(nn.Module):
    """F_wgt of eq. 14: saturation attention (N, C, H, W) to the fusion's weight (N, 1, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(channels // 2, 8)
        self.layers = nn.Sequential(conv3x3(channels, hidden), nn.ReLU(), nn.Conv2d(hidden, 1, 1))

    def forward(self, attention: Tensor) -> Tensor:
        return torch.sigmoid(self.layers(attention))
