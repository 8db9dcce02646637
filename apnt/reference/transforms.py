"""Transforms of ``torch.func``: whether one is active, and the dimension that ``vmap`` runs over."""

from __future__ import annotations

from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor


def functionalized() -> bool:
    """Whether ``torch.func.functionalize`` takes the next operation: it knows operators alone."""
    return _next() == torch._C._functorch.TransformType.Functionalize


def transformed() -> bool:
    """Whether another transform of ``torch.func`` does, which asks functions for their rules."""
    return _next() is not None and not functionalized()


def has_tangent(x: Tensor) -> bool:
    """Whether forward mode differentiates with respect to ``x``."""
    return not torch.compiler.is_compiling() and forward_ad.unpack_dual(x).tangent is not None


def _next() -> Any:
    if torch.compiler.is_compiling() or not torch._C._are_functorch_transforms_active():
        return None  # inside the compiler its own rules hold
    return torch._C._functorch.peek_interpreter_stack().key()


def fold(size: int, dims: tuple[int | None, ...], args: tuple[Any, ...]) -> list[Any]:
    """Make the dimension that ``vmap`` runs over part of the batch: (size, N, ...) becomes (size * N, ...).

    Tensors without that dimension are repeated; what is no tensor stays.
    """

    def folded(x: Any, dim: int | None) -> Any:
        if not isinstance(x, Tensor):
            return x
        x = x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
        return x.reshape(-1, *x.shape[2:]) if x.numel() else x.reshape(size * x.shape[1], *x.shape[2:])

    return [folded(x, dim) for x, dim in zip(args, dims, strict=True)]


def unfold(size: int, x: Tensor) -> Tensor:
    """The opposite of :func:`fold`."""
    return x.reshape(size, x.shape[0] // size, *x.shape[1:])
