"""The Triton kernels as PyTorch operators: namespace ``apnt_triton``, with the schemas of the compiled library."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from apnt import _ext
from apnt.errors import InputError
from apnt.kernels import language, patch_swap
from apnt.ops import _check
from apnt.ops.patch_swap import attach as attach_patch_swap

NAMESPACE = "apnt_triton"


def _patch_swap(source: Tensor, offset: Tensor, patch_size: int) -> Tensor:
    _check.check_features("source", source)
    return patch_swap.patch_swap(source, _vectors(offset, source, patch_size), patch_size)


def _patch_swap_backward(grad_out: Tensor, offset: Tensor, patch_size: int, deterministic: bool) -> Tensor:
    _check.check_features("grad_out", grad_out)
    offset = _vectors(offset, grad_out, patch_size)
    return patch_swap.patch_swap_backward(grad_out, offset, patch_size, deterministic)


def _vectors(offset: Tensor, source: Tensor, patch_size: int) -> Tensor:
    """``offset``, whole: the kernels read it where they find it."""
    _check.check_patch_size(patch_size)
    _check.check_vectors("offset", offset, source)
    if offset.dtype != torch.int32:
        raise InputError(f"offset must be int32, got {offset.dtype}; call .int()")
    return offset.contiguous()


KERNELS = {"patch_swap": _patch_swap, "patch_swap_backward": _patch_swap_backward}


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
    return None


_LIBRARIES: list[torch.library.Library] = []
"""A library takes its operators with it when it is collected."""
