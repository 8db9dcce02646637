"""Alignment by fractions of a pixel, beyond the paper: matches refined, and pictures read between pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from apnt.nn.blocks import mean5x5

_RADIUS = 2  # of the window in which vectors are averaged; pictures are registered in one of that size
_TOGETHER = 1.5  # pixels: vectors that differ by more belong to another motion
_LARGEST_STEP = 0.75  # pixels a step may correct
_FLOOR = 1e-3  # added to the squared gradients: flat places stay where they are


def refine(pictures: tuple[Tensor, Tensor], offset: Tensor) -> Tensor:
    """Offsets right to about half a pixel, such as parabolas', registered in two steps.

    Args:
        pictures: source and target, (N, 3, H, W) each, display-referred and equally exposed.
        offset: (N, 2, H, W) float (dy, dx) from target to source, pixels.

    Returns:
        (N, 2, H, W) float32.
    """
    return register(*pictures, average_alike(offset), steps=2)


def register(source: Tensor, target: Tensor, offset: Tensor, *, steps: int) -> Tensor:
    """Steps of Lucas and Kanade's registration, each followed by :func:`average_alike`.

    The source's gradients are read at the offsets; those of the moved source would see jumps of the offsets
    as edges. Where the pictures are flat nothing moves.

    Args:
        source, target: (N, C, H, W), equally exposed, about in [0, 1].
        offset: (N, 2, H, W) float (dy, dx) from target to source, pixels, right to about one pixel.
        steps: how often.

    Returns:
        (N, 2, H, W) float32. B. Lucas, T. Kanade: An iterative image registration technique, IJCAI 1981.
    """
    channels = source.shape[1]
    target_x, target_y = _gradients(target)
    stack = torch.cat([source, *_gradients(source)], dim=1)
    for _ in range(steps):
        moved, moved_x, moved_y = resample(stack, offset).split(channels, dim=1)
        dx, dy, error = (target_x + moved_x) / 2, (target_y + moved_y) / 2, target - moved
        products = [(a * b).sum(dim=1) for a, b in ((dx, dx), (dx, dy), (dy, dy), (dx, error), (dy, error))]
        xx, xy, yy, xe, ye = mean5x5(torch.stack(products, dim=1)).unbind(dim=1)
        xx, yy = xx + _FLOOR, yy + _FLOOR
        step = torch.stack([xx * ye - xy * xe, yy * xe - xy * ye], dim=1) / (xx * yy - xy * xy)[:, None]
        offset = average_alike(offset + step.clamp(-_LARGEST_STEP, _LARGEST_STEP))
    return offset


def average_alike(offset: Tensor) -> Tensor:
    """(N, 2, H, W): the mean of those vectors of a 5x5 window that are like its middle one (1.5 pixels)."""
    height, width = offset.shape[-2:]
    padded = F.pad(offset, (_RADIUS,) * 4, mode="replicate")
    total, count = torch.zeros_like(offset), torch.zeros_like(offset[:, :1])
    for y in range(2 * _RADIUS + 1):
        for x in range(2 * _RADIUS + 1):
            other = padded[..., y : y + height, x : x + width]
            alike = ((other - offset).abs().amax(dim=1, keepdim=True) <= _TOGETHER).to(offset.dtype)
            total += other * alike
            count += alike
    return total / count


def resample(image: Tensor, offset: Tensor) -> Tensor:
    """Read ``image`` (N, C, H, W) at ``x + offset[x]``, bicubic; its border is continued outwards.

    Args:
        image: floating point.
        offset: (N, 2, H, W) float (dy, dx), pixels.
    """
    height, width = image.shape[-2:]
    y = torch.arange(height, device=image.device, dtype=offset.dtype)[:, None] + offset[:, 0]
    x = torch.arange(width, device=image.device, dtype=offset.dtype) + offset[:, 1]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    return F.grid_sample(image, grid, mode="bicubic", padding_mode="border", align_corners=False)


def _gradients(image: Tensor) -> tuple[Tensor, Tensor]:
    """(N, C, H, W) central differences along x and y."""
    wide, high = F.pad(image, (1, 1, 0, 0), mode="replicate"), F.pad(image, (0, 0, 1, 1), mode="replicate")
    return (wide[..., 2:] - wide[..., :-2]) / 2, (high[..., 2:, :] - high[..., :-2, :]) / 2
