"""The Triton kernels as operators of PyTorch, ``apnt_triton``, with the schemas of the compiled library."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from apnt import _ext
from apnt.errors import InputError
from apnt.kernels import language, patch_swap, window_match, window_match_backward
from apnt.ops import _check
from apnt.ops.patch_swap import attach as attach_patch_swap
from apnt.ops.window_match import NORMALIZE
from apnt.ops.window_match import attach as attach_window_match

NAMESPACE = "apnt_triton"


def _patch_swap(source: Tensor, offset: Tensor, patch_size: int) -> Tensor:
    _check.check_features("source", source)
    return patch_swap.patch_swap(source, _vectors("offset", offset, source, patch_size), patch_size)


def _patch_swap_backward(grad_out: Tensor, offset: Tensor, patch_size: int, deterministic: bool) -> Tensor:
    _check.check_features("grad_out", grad_out)
    offset = _vectors("offset", offset, grad_out, patch_size)
    return patch_swap.patch_swap_backward(grad_out, offset, patch_size, deterministic)


def _vectors(name: str, x: Tensor, source: Tensor, patch_size: int) -> Tensor:
    """Vectors as the kernels read them."""
    _check.check_patch_size(patch_size)
    _check.check_vectors(name, x, source)
    if x.dtype != torch.int32:
        raise InputError(f"{name} must be int32, got {x.dtype}; call .int()")
    return x.contiguous()


def _check_pair(source: Tensor, target: Tensor, normalize: str) -> None:
    _check.check_features("source", source)
    _check.check_features("target", target)
    _check.check_same("target", target, source)
    if normalize not in NORMALIZE:
        raise InputError(f"normalize must be one of {', '.join(NORMALIZE)}, got {normalize!r}")


def _window_match(
    source: Tensor,
    target: Tensor,
    center: Tensor | None,
    radius: int,
    patch_size: int,
    normalize: str,
    tf32: bool = False,
) -> tuple[Tensor, Tensor]:
    _check_pair(source, target, normalize)
    _check.check_radius(radius)
    _check.check_patch_size(patch_size)
    if center is not None:
        center = _vectors("center", center, source, patch_size)
    return window_match.window_match(source, target, center, radius, patch_size, normalize, tf32)


def _window_match_backward(
    grad_score: Tensor,
    source: Tensor,
    target: Tensor,
    offset: Tensor,
    patch_size: int,
    normalize: str,
    *flags: bool,
) -> tuple[Tensor, Tensor]:
    _check_pair(source, target, normalize)
    n, _, h, w = source.shape
    if grad_score.shape != (n, h, w) or grad_score.dtype != language.sum_dtype(source.dtype):
        raise InputError(
            f"grad_score must have shape {(n, h, w)} and dtype {language.sum_dtype(source.dtype)}, "
            f"got {tuple(grad_score.shape)} and {grad_score.dtype}"
        )
    _check.check_device("grad_score", grad_score, source)
    offset = _vectors("offset", offset, source, patch_size)
    return window_match_backward.window_match_backward(
        grad_score, source, target, offset, patch_size, normalize, *flags
    )


KERNELS = {
    "window_match": _window_match,
    "window_match_backward": _window_match_backward,
    "patch_swap": _patch_swap,
    "patch_swap_backward": _patch_swap_backward,
}


@functools.cache
def register() -> str | None:
    """Declare the operators to PyTorch, once; the reason if they cannot run on this machine.

    On GPU tensors; on CPU tensors where the kernels are interpreted.
    """
    if language.MISSING is not None:
        return language.MISSING
    if _ext.MISSING is not None:
        return f"the operators are declared in the compiled library: {_ext.MISSING}"
    if not torch.cuda.is_available() and not language.INTERPRET:
        return (
            "it needs a GPU, and PyTorch finds none; "
            "set TRITON_INTERPRET=1 before Python starts to interpret the kernels on the CPU, slowly"
        )
    library = torch.library.Library(NAMESPACE, "DEF")
    for name, kernel in KERNELS.items():
        schema = str(getattr(torch.ops.apnt, name).default._schema)
        library.define(schema.removeprefix("apnt::"))
        library.impl(name, kernel, "CUDA")
        if language.INTERPRET:
            library.impl(name, kernel, "CPU")
    _LIBRARIES.append(library)
    attach_patch_swap(NAMESPACE)
    attach_window_match(NAMESPACE)
    return None


_LIBRARIES: list[torch.library.Library] = []
"""A library takes its operators with it when it is collected."""
