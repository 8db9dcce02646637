"""Op 2, ``patch_swap``: neural feature transfer (section III-B.3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from apnt import _ext, reference
from apnt.ops import _backend, _check


def patch_swap(source: Tensor, offset: Tensor, *, patch_size: int = 3, backend: str | None = None) -> Tensor:
    """Replace every patch by the patch that its offset points at, and average the overlaps.

    Equivalent to::

        out[x] = mean over o in the patch of source[x + offset[x - o]]

    over those ``o`` whose patch centre ``x - o`` and whose read position are both inside the image; where
    there is none, ``out`` is 0. The paper's ``P_k(Phi_l(F_m))`` becomes ``P_j(Phi_l(F_nft))``, with ``j`` the
    match of ``k`` (section III-B.3).

    Args:
        source: (N, C, H, W), the features that are moved; float32, float64, float16 or bfloat16.
            Differentiable.
        offset: (N, 2, H, W) integers (dy, dx), pixels, as :func:`apnt.ops.window_match` returns them; they
            may point outside the image.
        patch_size: odd.
        backend: ``"cpp"``, ``"cuda"``, ``"triton"`` or ``"reference"``; None takes the environment variable
            ``APNT_BACKEND``, or the fastest that can run on ``source``.

    Returns:
        (N, C, H, W) in ``source``'s dtype; half precision is averaged in float32.

    Raises:
        InputError: shape, size, device or ``patch_size`` that does not fit; a backend that cannot run.
        TypeError: dtype or type that does not fit.
    """
    _check.check_features("source", source)
    _check.check_vectors("offset", offset, source)
    _check.check_patch_size(patch_size)
    chosen = _backend.choose(backend, source)
    if chosen == "reference":
        return reference.patch_swap(source, offset, patch_size=patch_size)
    out: Tensor = _backend.operators(chosen).patch_swap(source, _check.as_int32(offset), patch_size)
    return out


def _fake(x: Tensor, *_: Any) -> Tensor:
    """Of the op and of its backward: contiguous, with the shape of the first argument."""
    return x.new_empty(x.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, offset, ctx.patch_size = inputs
    ctx.save_for_backward(offset)


def _save_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, offset, ctx.patch_size, _ = inputs
    ctx.save_for_backward(offset)


def attach(namespace: str) -> None:
    """Give the operators ``<namespace>::patch_swap`` and its backward their fakes and gradients."""
    operators = getattr(torch.ops, namespace)

    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, None, None]:
        if not ctx.needs_input_grad[0]:
            return None, None, None
        (offset,) = ctx.saved_tensors
        deterministic = torch.are_deterministic_algorithms_enabled()
        return operators.patch_swap_backward(grad_out, offset, ctx.patch_size, deterministic), None, None

    def backward_of_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        # The op is linear: the derivative of its transpose is the op itself.
        (offset,) = ctx.saved_tensors
        return operators.patch_swap(grad, offset, ctx.patch_size), None, None, None

    forward, transpose = f"{namespace}::patch_swap", f"{namespace}::patch_swap_backward"
    torch.library.register_fake(forward, _fake)
    torch.library.register_fake(transpose, _fake)
    torch.library.register_autograd(forward, backward, setup_context=_save)
    torch.library.register_autograd(transpose, backward_of_backward, setup_context=_save_backward)


if _ext.LOADED:
    attach("apnt")
