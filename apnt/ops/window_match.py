"""Op 1, ``window_match``: neural texture matching (eq. 5-8)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from apnt import _ext, reference
from apnt.errors import InputError
from apnt.ops import _backend, _check, _derivatives
from apnt.reference.score import score_at, score_tangent
from apnt.reference.transforms import fold, unfold

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
    namespace, tf32 = _backend.namespace(chosen), _asks_for_tf32()
    score, offset = _derivatives.call(
        namespace, "window_match", source, target, center, radius, patch_size, normalize, tf32
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


def attach(namespace: str) -> None:
    """Give the operators ``<namespace>::window_match`` and its backward their fakes and derivatives.

    The kernels have the first derivative in reverse. The others are rare and come from the reference's score
    at the offsets that the kernels found, where the op is as smooth as a product divided by norms.
    """
    operators = getattr(torch.ops, namespace)

    class Match(torch.autograd.Function):
        @staticmethod
        def forward(
            source: Tensor,
            target: Tensor,
            center: Tensor | None,
            radius: int,
            patch_size: int,
            normalize: str,
            tf32: bool,
        ) -> tuple[Tensor, Tensor]:
            return _derivatives.below(
                operators.window_match, source, target, center, radius, patch_size, normalize, tf32
            )

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
            source, target, _, _, patch_size, normalize, _ = inputs
            ctx.options = {"patch_size": patch_size, "normalize": normalize}
            ctx.save_for_backward(source, target, output[1])
            ctx.save_for_forward(source, target, output[1])
            ctx.mark_non_differentiable(output[1])
            ctx.set_materialize_grads(False)  # else zeros, (N, 2, H, W), are made for the offsets

        @staticmethod
        def backward(ctx: Any, grad_score: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
            wanted = ctx.needs_input_grad[:2]
            if grad_score is None or not any(wanted):
                return (None,) * 7
            grads = MatchBackward.apply(
                grad_score,
                *ctx.saved_tensors,
                *ctx.options.values(),
                *wanted,
                torch.are_deterministic_algorithms_enabled(),
            )
            return (
                *(grad if is_wanted else None for grad, is_wanted in zip(grads, wanted, strict=True)),
                *(None,) * 5,
            )

        @staticmethod
        def jvp(ctx: Any, d_source: Tensor | None, d_target: Tensor | None, *_: Any) -> tuple[Tensor, None]:
            source, target, offset = ctx.saved_tensors
            return score_tangent(source, target, offset, d_source, d_target, **ctx.options), None

        @staticmethod
        def vmap(
            info: Any, in_dims: tuple[int | None, ...], *args: Any
        ) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
            outs = Match.apply(*fold(info.batch_size, in_dims, args))
            return tuple(unfold(info.batch_size, out) for out in outs), (0, 0)

    class MatchBackward(torch.autograd.Function):
        @staticmethod
        def forward(
            grad_score: Tensor, source: Tensor, target: Tensor, offset: Tensor, *options: Any
        ) -> tuple[Tensor, Tensor]:
            return _derivatives.below(
                operators.window_match_backward, grad_score, source, target, offset, *options
            )

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
            patch_size, normalize, *ctx.wanted, _ = inputs[4:]
            ctx.options = {"patch_size": patch_size, "normalize": normalize}
            ctx.save_for_backward(*inputs[:4])
            ctx.save_for_forward(*inputs[:4])
            ctx.set_materialize_grads(False)

        @staticmethod
        def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
            # <cotangents, gradients> is grad_score times the score's change along the cotangents.
            along = [c if wanted else None for c, wanted in zip(cotangents, ctx.wanted, strict=True)]
            if all(cotangent is None for cotangent in along):
                return (None,) * 9
            grad_score, source, target, offset = ctx.saved_tensors

            def product(grad_score: Tensor, source: Tensor, target: Tensor) -> Tensor:
                return (grad_score * score_tangent(source, target, offset, *along, **ctx.options)).sum()

            grads = torch.func.grad(product, argnums=(0, 1, 2))(grad_score, source, target)
            return (*grads, *(None,) * 6)

        @staticmethod
        def jvp(
            ctx: Any, d_grad: Tensor | None, d_source: Tensor | None, d_target: Tensor | None, *_: Any
        ) -> tuple[Tensor, Tensor]:
            grad_score, source, target, offset = ctx.saved_tensors
            compute = _sum_dtype(source)

            def product(source: Tensor, target: Tensor) -> Tensor:
                total = grad_score * score_tangent(source, target, offset, d_source, d_target, **ctx.options)
                if d_grad is not None:
                    pair = source.to(compute), target.to(compute)
                    total = total + d_grad * score_at(*pair, offset, **ctx.options)
                return total.sum()

            grads = torch.func.grad(product, argnums=(0, 1))(source, target)
            return tuple(g if wanted else g.new_empty(0) for g, wanted in zip(grads, ctx.wanted, strict=True))

        @staticmethod
        def vmap(
            info: Any, in_dims: tuple[int | None, ...], *args: Any
        ) -> tuple[tuple[Tensor, ...], tuple[int | None, ...]]:
            outs = MatchBackward.apply(*fold(info.batch_size, in_dims, args))
            # A gradient that was not wanted is empty, (0): no part of it belongs to a sample.
            return tuple(unfold(info.batch_size, out) if out.dim() > 1 else out for out in outs), tuple(
                0 if out.dim() > 1 else None for out in outs
            )

    _derivatives.register(namespace, "window_match", Match, _fake)
    _derivatives.register(namespace, "window_match_backward", MatchBackward, _fake_backward)


if _ext.LOADED:
    attach("apnt")
