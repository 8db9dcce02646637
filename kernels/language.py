"""The parts of Triton that the kernel files use; without Triton the files can still be imported.

The interpreter (``TRITON_INTERPRET=1``) runs kernels on CPU tensors, slowly: for tests. The variable is
read when a kernel is declared, so it must be set before this module is imported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

OLDEST = (3, 5)
"""The oldest Triton that the kernels support and are tested on."""

MISSING: str | None = None
"""The reason why there is no Triton, or None."""

INTERPRET = False
"""Whether kernels are interpreted."""

jit: Callable[..., Any]

try:
    import triton
    import triton.language as tl
except ImportError as error:
    MISSING = f"Triton is not installed ({error}); install it with: pip install 'apnt[gpu]'"
else:
    version = tuple(int(part) for part in triton.__version__.split(".")[:2])
    if version < OLDEST:
        MISSING = f"it needs Triton {OLDEST[0]}.{OLDEST[1]} or later, found {triton.__version__}"
    else:
        INTERPRET = bool(triton.knobs.runtime.interpret)

if MISSING is None:
    jit = triton.jit
else:
    triton = tl = None

    def jit(function: Callable[..., Any]) -> Callable[..., Any]:
        """The function as it is: nothing can launch it."""
        return function


def sum_type(dtype: torch.dtype) -> Any:
    """Triton's type for sums of ``dtype``: float64 for itself, float32 for the others."""
    return tl.float64 if dtype == torch.float64 else tl.float32


def sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """PyTorch's name of :func:`sum_type`."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def stored_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type in which a kernel writes ``dtype``: the interpreter truncates bfloat16, a GPU rounds."""
    return torch.float32 if INTERPRET and dtype == torch.bfloat16 else dtype


def power_of_two(size: int) -> int:
    """The smallest power of two that is no smaller than ``size``."""
    return 1 << max(0, size - 1).bit_length()


def ceil_div(a: int, b: int) -> int:
    """``a / b``, rounded up."""
    return -(-a // b)


def on_device(x: Tensor) -> Any:
    """Context in which kernels start on the GPU, and on its current stream, where ``x`` lies."""
    return torch.cuda.device(x.device) if x.is_cuda else contextlib.nullcontext()
