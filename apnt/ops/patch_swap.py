"""Op 2, ``patch_swap``: neural feature transfer (section III-B.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from apnt import _ext, reference
from apnt.ops import _backend, _check, _derivatives
from apnt.reference.transforms import fold, unfold


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
        (N, C, H, W) in ``source``'s dtype; half precision is averaged in float32. Of channels-last features
        ``"cpp"`` and ``"cuda"`` make channels-last ones where they can (:func:`keeps_channels_last`).

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
    namespace = _backend.namespace(chosen)
    out: Tensor = _derivatives.call(namespace, "patch_swap", source, _check.as_int32(offset), patch_size)
    return out


def keeps_channels_last(x: Tensor, patch_size: int) -> bool:
    """Whether kernels for channels-last features take ``x`` (N, C, H, W): one pixel after the other, each of
    whole 16 bytes, and patches of 1 or 3 pixels.

    The rule of ``keeps_channels_last`` in csrc/common/operators.h.
    """
    _, c, h, w = x.shape
    strides = (h * w * c, 1, w * c, c)
    return (
        x.dtype != torch.float64
        and patch_size in (1, 3)
        and c * x.element_size() % 16 == 0
        and all(x.shape[dim] == 1 or x.stride(dim) == strides[dim] for dim in range(4))
    )


def attach(
    namespace: str, channels_last: Sequence[str] = (), channels_last_backward: Sequence[str] = ()
) -> None:
    """Give the operators ``<namespace>::patch_swap`` and its backward their fakes and derivatives.

    Results are contiguous; on devices of the types ``channels_last``, or ``channels_last_backward`` for the
    backward, they are as the first argument where :func:`keeps_channels_last` says so.

    The op is linear in its features, and so is its transpose: each is the other's backward, and its own
    forward-mode derivative.
    """
    operators = getattr(torch.ops, namespace)

    def fake_on(devices: Sequence[str]) -> Callable[..., Tensor]:
        def fake(x: Tensor, _: Tensor, patch_size: int, *__: Any) -> Tensor:
            keeps = x.device.type in devices and keeps_channels_last(x, patch_size)
            return torch.empty_like(x) if keeps else x.new_empty(x.shape)

        return fake

    class Swap(torch.autograd.Function):
        @staticmethod
        def forward(source: Tensor, offset: Tensor, patch_size: int) -> Tensor:
            return _derivatives.below(operators.patch_swap, source, offset, patch_size)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
            _, offset, ctx.patch_size = inputs
            ctx.save_for_backward(offset)
            ctx.save_for_forward(offset)

        @staticmethod
        def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, None, None]:
            if not ctx.needs_input_grad[0]:
                return None, None, None
            (offset,) = ctx.saved_tensors
            deterministic = torch.are_deterministic_algorithms_enabled()
            return Transpose.apply(grad_out, offset, ctx.patch_size, deterministic), None, None

        @staticmethod
        def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:
            (offset,) = ctx.saved_tensors
            return Swap.apply(tangent, offset, ctx.patch_size)

        @staticmethod
        def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
            out = Swap.apply(*fold(info.batch_size, in_dims, args))
            return unfold(info.batch_size, out), 0

    class Transpose(torch.autograd.Function):
        @staticmethod
        def forward(grad_out: Tensor, offset: Tensor, patch_size: int, deterministic: bool) -> Tensor:
            return _derivatives.below(
                operators.patch_swap_backward, grad_out, offset, patch_size, deterministic
            )

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
            _, offset, ctx.patch_size, ctx.deterministic = inputs
            ctx.save_for_backward(offset)
            ctx.save_for_forward(offset)

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
            (offset,) = ctx.saved_tensors
            return Swap.apply(grad, offset, ctx.patch_size), None, None, None

        @staticmethod
        def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:
            (offset,) = ctx.saved_tensors
            return Transpose.apply(tangent, offset, ctx.patch_size, ctx.deterministic)

        @staticmethod
        def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
            out = Transpose.apply(*fold(info.batch_size, in_dims, args))
            return unfold(info.batch_size, out), 0

    _derivatives.register(namespace, "patch_swap", Swap, fake_on(channels_last))
    _derivatives.register(namespace, "patch_swap_backward", Transpose, fake_on(channels_last_backward))


if _ext.LOADED:
    attach("apnt", channels_last=("cpu", "cuda"), channels_last_backward=("cuda",))
