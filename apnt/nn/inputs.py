"""What every network of the package asks of its inputs."""

from __future__ import annotations

import torch
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
    if any(side < 16 for side in ldr.shape[-2:]):  # min() would tell the compiler which side is shorter
        raise InputError(f"ldr must be at least 16 pixels high and wide, got {tuple(ldr.shape[-2:])}")
    if not ldr.is_floating_point():
        raise InputError(f"ldr must be floating point in [0, 1], got {ldr.dtype}")
    if times.shape != (ldr.shape[0], 3):
        raise InputError(f"times must have shape ({ldr.shape[0]}, 3), got {tuple(times.shape)}")
    if times.device != ldr.device:
        raise InputError(f"times must be on the device of ldr, {ldr.device}, got {times.device}")


def check_sides(ldr: Tensor, shortest: int, longest: int) -> None:
    """Refuse (N, 3, 3, H, W) exposures of a size that a graph was not made for.

    Raises:
        InputError: they are.
    """
    if any(side < shortest or side > longest for side in ldr.shape[-2:]):
        raise InputError(
            f"ldr must be {shortest} to {longest} pixels high and wide for this graph, "
            f"got {tuple(ldr.shape[-2:])}"
        )


def pad(ldr: Tensor, step: int, border: int = 0) -> Tensor:
    """Reflect (N, K, C, H, W) to a height and width that ``step`` divides, with a border on all sides.

    Args:
        ldr: pictures.
        step: what is left to it is added at the bottom and on the right.
        border: pixels; ``step`` divides it.
    """
    if torch.compiler.is_compiling():
        return _reflect(_reflect(ldr, step, border, 3), step, border, 4)
    bottom, right = (border + -side % step for side in ldr.shape[-2:])
    if not (bottom or right):
        return ldr
    flat = F.pad(ldr.flatten(0, 1), (border, right, border, bottom), mode="reflect")
    return flat.unflatten(0, ldr.shape[:2])


def padded_side(side: int, step: int, border: int) -> int:
    """Length that :func:`pad` makes of a side: ``step`` times a whole number, where it is symbolic too."""
    return (side + 2 * border + step - 1) // step * step


def cut(x: Tensor, height: int, width: int, border: int = 0) -> Tensor:
    """The ``height`` rows and ``width`` columns of (..., H, W) after the first ``border`` ones."""
    if torch.compiler.is_compiling():
        # A slice's memory has gaps or none, and a graph of it is of one of these kinds of sizes alone.
        rows, columns = (torch.arange(side, device=x.device) + border for side in (height, width))
        return x.index_select(-2, rows).index_select(-1, columns)
    return x[..., border : border + height, border : border + width]


def enlarge(x: Tensor, factor: int) -> Tensor:
    """(N, C, H, W) to (N, C, H * factor, W * factor), each value repeated."""
    for dim in (2, 3):
        if torch.compiler.is_compiling():
            place = torch.arange(x.shape[dim] * factor, device=x.device) // factor
            x = x.index_select(dim, place)
        else:
            x = x.repeat_interleave(factor, dim=dim)
    return x


def _reflect(x: Tensor, step: int, border: int, dim: int) -> Tensor:
    """:func:`pad` along one dimension, for graphs that take any size.

    Neither asks whether anything is missing nor leaves a remainder in the size: it is ``step`` times a whole
    number, which all smaller scales divide without a condition.
    """
    size = x.shape[dim]
    place = torch.arange(padded_side(size, step, border), device=x.device)
    place = (place - border).abs()
    return x.index_select(dim, torch.where(place < size, place, 2 * (size - 1) - place))
