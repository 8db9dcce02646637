"""What every network of the package asks of its inputs."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from apnt.errors import InputError


def check_bracket(ldr: Tensor, times: Tensor) -> None:
    """Refuse what is not (N, 3, 3, H, W) exposures with (N, 3) times.

    Raises:
        InputError: wrong rank, channels, size, type or device, or an empty batch.
    """
    if ldr.ndim != 5 or ldr.shape[1:3] != (3, 3):
        raise InputError(f"ldr must have shape (N, 3, 3, H, W): exposure, colour, got {tuple(ldr.shape)}")
    if ldr.shape[0] == 0:
        raise InputError("ldr must hold at least one bracket, got an empty batch")
    if min(ldr.shape[-2:]) < 16:
        raise InputError(f"ldr must be at least 16 pixels high and wide, got {tuple(ldr.shape[-2:])}")
    if not ldr.is_floating_point():
        raise InputError(f"ldr must be floating point in [0, 1], got {ldr.dtype}")
    if times.shape != (ldr.shape[0], 3):
        raise InputError(f"times must have shape ({ldr.shape[0]}, 3), got {tuple(times.shape)}")
    if times.device != ldr.device:
        raise InputError(f"times must be on the device of ldr, {ldr.device}, got {times.device}")


def pad(ldr: Tensor, step: int) -> Tensor:
    """Reflect (N, 3, 3, H, W) to a height and width that ``step`` divides."""
    bottom, right = -ldr.shape[-2] % step, -ldr.shape[-1] % step
    if not (bottom or right):
        return ldr
    flat = F.pad(ldr.flatten(0, 1), (0, right, 0, bottom), mode="reflect")
    return flat.unflatten(0, ldr.shape[:2])
