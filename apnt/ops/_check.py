"""Checks that the ops share: each raises one sentence that names the argument and what it was."""

from __future__ import annotations

import torch
from torch import Tensor

from apnt.errors import InputError

_INTEGERS = (torch.int32, torch.int64, torch.int16, torch.int8, torch.uint8)
_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def _shape(x: Tensor) -> str:
    return str(tuple(x.shape))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def check_features(name: str, x: Tensor) -> None:
    """``x`` is a floating-point tensor (N, C, H, W) with at least one channel and one pixel; N may be 0."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(x).__name__}")
    if x.dim() != 4:
        raise InputError(f"{name} must have shape (N, C, H, W), got {_shape(x)}")
    if x.dtype not in _FLOATS:
        raise TypeError(f"{name} must be float32, float64, float16 or bfloat16, got {_name(x.dtype)}")
    if 0 in x.shape[1:]:
        raise InputError(f"{name} must have at least one channel, row and column, got shape {_shape(x)}")


def check_vectors(name: str, x: Tensor, source: Tensor) -> None:
    """``x`` holds one integer (dy, dx) per pixel of ``source``: (N, 2, H, W)."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(x).__name__}")
    n, _, h, w = source.shape
    if x.dim() != 4 or x.shape[1] != 2:
        raise InputError(f"{name} must have shape (N, 2, H, W) and hold (dy, dx), got {_shape(x)}")
    if x.dtype not in _INTEGERS:
        raise TypeError(f"{name} must hold integers (int32), got {_name(x.dtype)}; round it and call .int()")
    if tuple(x.shape) != (n, 2, h, w):
        raise InputError(
            f"{name} must have shape {(n, 2, h, w)} to match source {_shape(source)}, got {_shape(x)}"
        )
    check_device(name, x, source)


def check_device(name: str, x: Tensor, source: Tensor) -> None:
    """``x`` lies where ``source`` lies."""
    if x.device != source.device:
        raise InputError(f"{name} must be on source's device {source.device}, got {x.device}")


def check_same(name: str, x: Tensor, source: Tensor) -> None:
    """``x`` has the shape, dtype and device of ``source``."""
    for axis, what in enumerate(("batch size", "number of channels", "height", "width")):
        if x.shape[axis] != source.shape[axis]:
            raise InputError(
                f"{name} must have source's {what} {source.shape[axis]}, got {x.shape[axis]} "
                f"(source {_shape(source)}, {name} {_shape(x)})"
            )
    if x.dtype != source.dtype:
        raise TypeError(f"{name} must have source's dtype {_name(source.dtype)}, got {_name(x.dtype)}")
    check_device(name, x, source)


def check_patch_size(patch_size: int) -> None:
    """``patch_size`` is odd and positive, so that a patch has a centre."""
    if isinstance(patch_size, bool) or not isinstance(patch_size, int):
        raise TypeError(f"patch_size must be an int, got {type(patch_size).__name__}")
    if patch_size < 1 or patch_size % 2 == 0:
        raise InputError(f"patch_size must be odd and at least 1, got {patch_size}")


def check_radius(radius: int) -> None:
    """``radius`` is zero or more."""
    if isinstance(radius, bool) or not isinstance(radius, int):
        raise TypeError(f"radius must be an int, got {type(radius).__name__}")
    if radius < 0:
        raise InputError(f"radius must be 0 or more, got {radius}")


def as_int32(x: Tensor) -> Tensor:
    """Integer vectors as the kernels take them; too large values become the largest, outside the image."""
    if x.dtype == torch.int32:
        return x
    if x.dtype == torch.int64:
        limits = torch.iinfo(torch.int32)
        x = x.clamp(limits.min, limits.max)
    return x.to(torch.int32)
