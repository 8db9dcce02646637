"""Kalantari and Ramamoorthi (SIGGRAPH 2017): optical flow, then a CNN that weighs the aligned exposures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apnt.camera import GAMMA
from apnt.errors import InputError
from apnt.nn.compared.base import ComparedConfig, ComparedNetwork
from apnt.nn.domains import LONG, MEDIUM, SHORT, to_radiance

_FLOOR = 1e-6  # added to the sum of the weights, as in the authors' program
_SIDES = (7, 5, 3, 1)  # of the convolutions
_SMALLEST = 32  # side that the flow takes


@dataclass(frozen=True)
class Kalantari17Config(ComparedConfig):
    """Widths of :class:`Kalantari17`; the paper's are the defaults.

    Attributes:
        channels: of the three hidden layers.
    """

    channels: tuple[int, int, int] = (100, 100, 50)

    def check(self) -> None:
        if len(self.channels) != 3 or min(self.channels) < 1:
            raise InputError(f"channels must be three positive numbers, got {self.channels}")


class Kalantari17(ComparedNetwork[Kalantari17Config]):
    """Flow to the medium exposure, then nine weights a pixel, by four convolutions (the released "WE" form).

    The authors' flow (Liu 2009) is not free to take along: this is OpenCV's DIS. Their convolutions lose 6
    pixels at each border, here the border is reflected.
    """

    name = "kalantari17"
    config_type = Kalantari17Config

    def build(self, config: Kalantari17Config) -> None:
        widths = (18, *config.channels, 9)
        self.layers = nn.ModuleList(
            nn.Conv2d(widths[k], widths[k + 1], side) for k, side in enumerate(_SIDES)
        )
        for layer in self.layers:
            assert isinstance(layer, nn.Conv2d)
            # The authors': uniform in +-sqrt(3 / fan_in).
            bound = math.sqrt(3 / (layer.in_channels * layer.kernel_size[0] ** 2))
            nn.init.uniform_(layer.weight, -bound, bound)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def fuse(self, ldr: Tensor, times: Tensor) -> Tensor:
        aligned = aligned_by_flow(ldr, times)
        margin = sum(side // 2 for side in _SIDES)
        radiance = to_radiance(aligned, times)
        padded = F.pad(torch.cat([aligned, radiance], dim=1).flatten(1, 2), (margin,) * 4, mode="reflect")
        return merged(self.weights(padded), radiance)

    def weights(self, inputs: Tensor) -> Tensor:
        """(N, 18, H, W) to (N, 9, H - 12, W - 12) weights in (0, 1), three for each exposure.

        Args:
            inputs: the aligned exposures, short to long, then their radiances.
        """
        for layer in self.layers[:-1]:
            inputs = F.relu(layer(inputs))
        return torch.sigmoid(self.layers[-1](inputs))


def merged(weights: Tensor, radiance: Tensor) -> Tensor:
    """Mean of the exposures' radiances (N, 3, 3, H, W), weighted by (N, 9, H, W): (N, 3, H, W)."""
    each = weights.unflatten(1, (3, 3)).float()
    return (each * radiance).sum(dim=1) / (each.sum(dim=1) + _FLOOR)


@torch.no_grad()
def aligned_by_flow(ldr: Tensor, times: Tensor) -> Tensor:
    """Short and long exposure, warped onto the medium one.

    Of each pair the darker is brought to the exposure of the brighter, where both are clipped alike. What the
    flow fetches from outside the image is the medium exposure, brought to that exposure.

    Args:
        ldr: (N, 3, 3, H, W) exposures short to long, display-referred in [0, 1].
        times: (N, 3) exposure times in any unit.

    Returns:
        Same shape, dtype and device; computed on the CPU.
    """
    frames, seconds = ldr.float().cpu().numpy(), times.float().cpu().numpy()
    return torch.stack([torch.from_numpy(_aligned(*pair)) for pair in zip(frames, seconds, strict=True)]).to(
        ldr
    )


def _aligned(frames: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(3, 3, H, W) of one bracket."""
    images = np.ascontiguousarray(frames.transpose(0, 2, 3, 1))  # (3, H, W, 3)
    result = images.copy()
    for k in (SHORT, LONG):
        longest = max(times[k], times[MEDIUM])
        pair = [_at_exposure(images[n], times[n], longest) for n in (MEDIUM, k)]
        flow = _flow(*pair)
        predicted = _at_exposure(images[MEDIUM], times[MEDIUM], times[k])
        result[k] = _warped(images[k], flow, predicted)
    return result.transpose(0, 3, 1, 2)


def _at_exposure(image: np.ndarray, time: float, wanted: float) -> np.ndarray:
    """A display-referred image as another exposure time would show it."""
    return np.asarray(np.clip(image * (wanted / time) ** (1 / GAMMA), 0, 1), np.float32)


def _flow(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """(H, W, 2) (dx, dy) in pixels: where each pixel of ``target`` lies in ``source``, less its own place."""
    height, width = target.shape[:2]
    grey = [
        cv2.cvtColor(np.round(255 * image).astype(np.uint8), cv2.COLOR_RGB2GRAY) for image in (target, source)
    ]
    # DIS reads outside of images that are smaller than its coarsest patches.
    border = [max(0, _SMALLEST - side) for side in (height, width)]
    grey = [cv2.copyMakeBorder(g, 0, border[0], 0, border[1], cv2.BORDER_REPLICATE) for g in grey]
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = dis.calc(*grey, None)  # type: ignore[call-overload]
    return np.asarray(flow[:height, :width])


def _warped(image: np.ndarray, flow: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """(H, W, 3): the image fetched along the flow; ``outside`` where that leaves the image."""
    height, width = image.shape[:2]
    x = np.arange(width, dtype=np.float32) + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    moved = cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return np.where(inside[..., None], np.clip(moved, 0, 1), outside)
