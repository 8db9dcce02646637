"""Op 1, ``window_match``: neural texture matching (eq. 5-8)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from apnt import _ext, reference
from apnt.errors import InputError
from apnt.ops import _backend, _check

NORMALIZE = ("search", "cosine", "paper", "none")
"""A score is divided by the source patch's norm, by both norms, by the target patch's (eq. 5), by nothing."""


def window_match(
    source: Tensor,
    target: Tensor,
    center: Tensor | None = None,
    *,
    radius: int,
    patch_size: int = 3,
    normalize: str = "search",
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Find, for every pixel of ``target``, the most similar patch of ``source`` inside a window (eq. 5-8).

    Equivalent to::

        score[k, j] = (patch(source, j) * patch(target, k)).sum() / norm
        offset[k] = argmax of score[k, j] over |j - (k + center[k])| <= radius, minus k

    A patch is ``patch_size`` x ``patch_size`` pixels with all their channels, zero outside the image. A
    position ``j`` outside the image is no candidate, and a window centre outside of it is clamped to its
    border first, so every window has a candidate. Ties go to the candidate nearest to the clamped centre,
    then to the first in raster order.

    Products of float32 features are exact to float32. On NVIDIA GPUs they are rounded to TF32 before they are
    multiplied, and still summed in float32, where PyTorch may do so in its own float32 matrix products:
    after ``torch.set_float32_matmul_precision("high")`` or
    ``torch.backends.cuda.matmul.fp32_precision = "tf32"``. Norms and gradients stay float32.

    Args:
        source: (N, C, H, W), the features that are searched; float32, float64, float16 or bfloat16.
        target: (N, C, H, W), the features whose matches are searched; same dtype and device.
        center: (N, 2, H, W) integers (dy, dx), pixels: where each target pixel's window is centred,
            relative to that pixel. None means zero everywhere.
        radius: the window has (2 * radius + 1)**2 candidates.
        patch_size: odd.
        normalize: the score is divided by the norm of the source patch (``"search"``), by the norms of both
            (``"cosine"``), by the norm of the target patch (``"paper"``, eq. 5 to the letter) or by nothing
            (``"none"``). Norms are floored at 1e-6.
        backend: ``"cpp"``, ``"cuda"``, ``"triton"`` or ``"reference"``; None takes the environment variable
            ``APNT_BACKEND``, or the fastest that can run on ``source``.

    Returns:
        ``offset``, (N, 2, H, W) int32 (dy, dx) of the best candidate, relative to the target pixel; and
        ``score``, (N, H, W), its similarity, differentiable with respect to both inputs; float64
        for float64 input, else float32, in which products of half-precision features are summed.

    Raises:
        InputError: shape, size, device, ``radius``, ``patch_size`` or ``normalize`` that does not fit; a
            backend that cannot run.
        TypeError: dtype or type that does not fit.
    """
    _check.check_features("source", source)
    _check.check_features("target", target)
    _check.check_same("target", target, source)
    if center is not None:
        _check.check_vectors("center", center, source)
    _check.check_radius(radius)
    _check.check_patch_size(patch_size)
    if normalize not in NORMALIZE:
        raise InputError(f"normalize must be one of {', '.join(NORMALIZE)}, got {normalize!r}")
    chosen = _backend.choose(backend, source)
    if chosen == "reference":
        return reference.window_match(
            source, target, center, radius=radius, patch_size=patch_size, normalize=normalize
        )
    if center is not None:
        center = _check.as_int32(center)
    operators = _backend.operators(chosen)
    score, offset = operators.window_match(
        source, target, center, radius, patch_size, normalize, _asks_for_tf32()
    )
    return offset, score


@_backend.constant  # PyTorch compiles anew when its switch changes
def _asks_for_tf32() -> bool:
    """PyTorch's switch for float32 matrix products on GPUs, by whichever of its names it was set."""
    return bool(torch.backends.cuda.matmul.fp32_precision == "tf32")


def _sum_dtype(x: Tensor) -> torch.dtype:
    """Half precision is summed in float32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _fake(source: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    n, _, h, w = source.shape
    score = source.new_empty((n, h, w), dtype=_sum_dtype(source))
    return score, source.new_empty((n, 2, h, w), dtype=torch.int32)


def _fake_backward(
    grad_score: Tensor,
    source: Tensor,
    target: Tensor,
    offset: Tensor,
    patch_size: int,
    normalize: str,
    for_source: bool,
    for_target: bool,
    deterministic: bool,
) -> tuple[Tensor, Tensor]:
    return (
        source.new_empty(source.shape if for_source else (0,)),
        source.new_empty(source.shape if for_target else (0,)),
    )


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    source, target, _, _, ctx.patch_size, ctx.normalize, _ = inputs
    ctx.save_for_backward(source, target, output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)  # else a gradient of zeros, (N, 2, H, W), is made for the offsets


def _no_second_derivative(ctx: Any, *grads: Tensor) -> None:
    raise NotImplementedError(
        "window_match has no second derivative in the compiled kernels; use backend='reference'"
    )


def attach(namespace: str) -> None:
    """Give the operators ``<namespace>::window_match`` and its backward their fakes and gradients."""
    operators = getattr(torch.ops, namespace)

    def backward(ctx: Any, grad_score: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        if grad_score is None:
            return (None,) * 7
        source, target, offset = ctx.saved_tensors
        for_source, for_target = ctx.needs_input_grad[:2]
        grad_source, grad_target = operators.window_match_backward(
            grad_score,
            source,
            target,
            offset,
            ctx.patch_size,
            ctx.normalize,
            for_source,
            for_target,
            torch.are_deterministic_algorithms_enabled(),
        )
        return (
            grad_source if for_source else None,
            grad_target if for_target else None,
            *(None,) * 5,
        )

    forward, transpose = f"{namespace}::window_match", f"{namespace}::window_match_backward"
    torch.library.register_fake(forward, _fake)
    torch.library.register_fake(transpose, _fake_backward)
    torch.library.register_autograd(forward, backward, setup_context=_save)
    torch.library.register_autograd(transpose, _no_second_derivative)


if _ext.LOADED:
    attach("apnt")
