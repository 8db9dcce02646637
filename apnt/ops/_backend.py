"""Which implementation of an op runs, and why another one cannot."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from apnt import _ext
from apnt.errors import InputError

_Function = TypeVar("_Function", bound=Callable[..., Any])

BACKENDS = ("cpp", "cuda", "triton", "reference")
"""C++ on the CPU, CUDA, Triton, plain PyTorch."""

VARIABLE = "APNT_BACKEND"

_DEVICES = {"cpp": "cpu", "cuda": "cuda"}
"""The device of the tensors of a backend."""

_FASTEST_FIRST = {"cpu": ("cpp",), "cuda": ("cuda", "triton")}
"""Backends to try on a device, before plain PyTorch. On GPUs the order is not measured yet."""

_CAPABILITY = (8, 0)  # asynchronous copies and tf32 came with it


def constant(function: _Function) -> _Function:
    """Mark a function for ``torch.compile`` as ``torch.compiler.assume_constant_result`` does.

    That sets the same attribute, and first imports all of ``torch._dynamo``: 2.7 s in every process.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


@constant
def _from_environment() -> str | None:
    return os.environ.get(VARIABLE) or None


def choose(backend: str | None, source: Tensor) -> str:
    """Name of the backend for ``source``: the requested one, the environment's, or the fastest that can run.

    Raises:
        InputError: the name is none of :data:`BACKENDS`, or that backend cannot run; it says why.
    """
    if backend is None:
        name, backend = VARIABLE, _from_environment()
    else:
        name = "backend"
    if backend is None:
        for name in _FASTEST_FIRST.get(source.device.type, ()):
            wrong = _wrong_instructions() if name == "cpp" else None
            if wrong is not None:  # set by the user: nothing slower runs in silence
                raise InputError(wrong)
            if refusal(name, source) is None:
                return name
        return "reference"
    if backend not in BACKENDS:
        raise InputError(f"{name} must be one of {', '.join(BACKENDS)}, got {backend!r}")
    reason = refusal(backend, source)
    if reason is not None:
        raise InputError(f"{name} {backend!r} cannot run here: {reason}")
    return backend


def namespace(backend: str) -> str:
    """Namespace of PyTorch's operators that ``backend`` runs: of one schema, whatever the namespace.

    C++ and CUDA are two devices of the operators that the compiled library declares; Triton has its own.
    """
    return "apnt_triton" if backend == "triton" else "apnt"


def refusal(backend: str, source: Tensor) -> str | None:
    """Why ``backend`` cannot run on a tensor like ``source``; None if it can."""
    reason = unavailable(backend)
    if reason is not None or backend == "reference":
        return reason
    if backend == "triton":
        return _triton_refusal(source)
    if source.device.type != _DEVICES[backend]:
        where = "the CPU" if _DEVICES[backend] == "cpu" else "a GPU"
        return f"it needs tensors on {where}, source is on {source.device}"
    if source.shape[-2] * source.shape[-1] >= 2**31:
        return f"it needs fewer than 2**31 pixels, source has {source.shape[-2]} x {source.shape[-1]}"
    return _gpu_refusal(source.device.index) if backend == "cuda" else None


@constant
def _no_gpu() -> str | None:
    return None if torch.cuda.is_available() else "PyTorch finds no NVIDIA GPU"


@constant
def _no_usable_gpu() -> str | None:
    """The first GPU's reason if no GPU of this machine can run the CUDA kernels."""
    reasons = [_gpu_refusal(index) for index in range(torch.cuda.device_count())]
    return reasons[0] if reasons and all(reasons) else None


@constant
def _gpu_refusal(index: int | None) -> str | None:
    """Why the CUDA kernels cannot run on that GPU (None: the current one), None if they can."""
    found = torch.cuda.get_device_capability(index)
    if found < _CAPABILITY:
        name, least = torch.cuda.get_device_name(index), "{}.{}".format(*_CAPABILITY)
        return f"it needs compute capability {least}, {name} has {found[0]}.{found[1]}"
    why = _ext.cuda_refusal(torch.cuda.current_device() if index is None else index)
    return None if why is None else f"{torch.cuda.get_device_name(index)}: {why}"


def unavailable(backend: str) -> str | None:
    """Why ``backend`` cannot run on this machine at all; None if it can."""
    if backend == "reference":
        return None
    if backend == "cpp":
        return _ext.MISSING or _wrong_instructions()
    if backend == "cuda":
        return _ext.CUDA_MISSING or _no_gpu() or _no_usable_gpu()
    return _triton_missing()


@constant
def _wrong_instructions() -> str | None:
    """What is wrong with ``APNT_CPU_ISA``, which a user has set and must correct; None if nothing is."""
    if not _ext.LOADED or not os.environ.get("APNT_CPU_ISA"):
        return None
    found = str(_ext.instruction_set())
    return found.removeprefix("error: ") if found.startswith("error: ") else None


@constant
def _triton_missing() -> str | None:
    """Why the Triton kernels cannot run on this machine; None if PyTorch knows them now."""
    try:
        operators = importlib.import_module("apnt.kernels.operators")
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("apnt.kernels"):
            raise
        return "a source tree has no package apnt.kernels before it is installed; do so with: pip install ."
    reason: str | None = operators.register()
    return reason


def _triton_refusal(source: Tensor) -> str | None:
    if source.device.type not in ("cpu", "cuda"):
        return f"it needs tensors on a GPU, source is on {source.device}"
    if source.device.type == "cpu" and not _triton_interprets():
        return (
            "it needs tensors on a GPU, source is on the CPU; "
            "set TRITON_INTERPRET=1 before Python starts to interpret the kernels, slowly"
        )
    if source.shape[0] * source.shape[-2] * source.shape[-1] >= 2**31:
        n, _, h, w = source.shape
        return f"it needs fewer than 2**31 pixels, source has {n} x {h} x {w}"
    return None


@constant
def _triton_interprets() -> bool:
    return bool(importlib.import_module("apnt.kernels.language").INTERPRET)
