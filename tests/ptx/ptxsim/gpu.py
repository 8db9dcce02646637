"""The operators on the interpreter: arrays in, arrays out, and a report of what the kernels did."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from apnt.ops.patch_swap import keeps_channels_last

from .host import Compiled, Zero, compiled
from .interpreter import Interpreter

_NORMS = ("search", "cosine", "paper", "none")
_TYPES = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3}


class _Match(ctypes.Structure):
    _fields_ = [
        ("source", ctypes.c_uint64), ("target", ctypes.c_uint64), ("type", ctypes.c_int),
        ("center", ctypes.c_uint64),
        *((name, ctypes.c_int64) for name in "nchw"), ("radius", ctypes.c_int), ("patch", ctypes.c_int),
        ("norm", ctypes.c_int), ("tf32", ctypes.c_bool),
        ("offset", ctypes.c_uint64), ("score", ctypes.c_uint64),
        ("source_last", ctypes.c_bool), ("target_last", ctypes.c_bool),
    ]  # fmt: skip


class _MatchBackward(ctypes.Structure):
    _fields_ = [
        ("grad_score", ctypes.c_uint64), ("source", ctypes.c_uint64), ("target", ctypes.c_uint64),
        ("type", ctypes.c_int), ("offset", ctypes.c_uint64), *((name, ctypes.c_int64) for name in "nchw"),
        ("patch", ctypes.c_int), ("norm", ctypes.c_int), ("deterministic", ctypes.c_bool),
        ("grad_source", ctypes.c_uint64), ("grad_target", ctypes.c_uint64),
    ]  # fmt: skip


class _Swap(ctypes.Structure):
    _fields_ = [
        ("in", ctypes.c_uint64), ("type", ctypes.c_int), ("offset", ctypes.c_uint64),
        *((name, ctypes.c_int64) for name in "nchw"), ("patch", ctypes.c_int), ("out", ctypes.c_uint64),
        ("last", ctypes.c_bool),
    ]  # fmt: skip


def is_last(x: Tensor) -> bool:
    """Whether a map (N, C, H, W) lies in memory as (N, H, W, C)."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


@dataclass
class Gpu(Interpreter):
    """A GPU on which the host code of csrc/cuda launches its kernels.

    Attributes:
        shared: bytes of shared memory that a block may have.
        shift: bytes by which features lie after a multiple of 256.
        host: the compiled host code and kernels.
    """

    shared: int = 227 * 1024
    shift: int = 0
    host: Compiled = field(default_factory=compiled)

    def run(self, call: Callable[[], bytes]) -> None:
        """Interprets what ``call``, a function of the host code, launches.

        Raises:
            RuntimeError: the host code's error.
            Fault: what is wrong in a kernel.
        """
        self.host.library.ptx_gpu(self.shared, 13000, 90, 0)
        errors: list[bytes] = []
        for step in self.host.record(lambda: errors.append(call())):
            if isinstance(step, Zero):
                self.clear(step)
            else:
                self.launch(self.host.kernel(step.kernel), step)
        if errors[0]:
            raise RuntimeError(errors[0].decode())

    def clear(self, step: Zero) -> None:
        self.device.zero(step.address, step.size)

    # ---- arrays

    def put(self, tensor: Tensor, shift: int | None = None) -> int:
        tensor = tensor.contiguous()
        bits = tensor.view(torch.int16) if tensor.element_size() == 2 else tensor
        return self.device.put(bits.numpy(), self.shift if shift is None else shift)

    def get(self, address: int, shape: Iterable[int], dtype: torch.dtype) -> Tensor:
        kind = {torch.float32: np.float32, torch.int32: np.int32}.get(dtype, np.int16)
        found = torch.from_numpy(self.device.get(address, tuple(shape), kind))
        return found if found.dtype == dtype else found.view(dtype)

    def _workspace(self, size: int) -> int:
        return self.device.allocate(size) if size else 0

    # ---- operators; results as those of apnt.ops

    def window_match(
        self, source: Tensor, target: Tensor, center: Tensor | None = None, *, radius: int,
        patch_size: int = 3,
        normalize: str = "search", tf32: bool = False,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        n, c, h, w = source.shape
        offset, score = self.device.allocate(8 * n * h * w), self.device.allocate(4 * n * h * w)
        args = _Match(0, 0, _TYPES[source.dtype],
                      0 if center is None else self.put(center, 0), n, c, h, w, radius, patch_size,
                      _NORMS.index(normalize), tf32, offset, score)  # fmt: skip
        library = self.host.library
        takes = library.takes_channels_last(ctypes.byref(args))
        args.source_last, args.target_last = takes and is_last(source), takes and is_last(target)
        args.source = self.put(source.permute(0, 2, 3, 1) if args.source_last else source)
        args.target = self.put(target.permute(0, 2, 3, 1) if args.target_last else target)
        workspace = self._workspace(library.match_workspace(ctypes.byref(args)))
        self.run(lambda: library.match(ctypes.byref(args), ctypes.c_void_p(workspace)))
        if self.sample is not None:
            return torch.empty(0), torch.empty(0)
        return self.get(offset, (n, 2, h, w), torch.int32), self.get(score, (n, h, w), torch.float32)

    def window_match_backward(
        self, grad_score: Tensor, source: Tensor, target: Tensor, offset: Tensor, *, patch_size: int = 3,
        normalize: str = "search", deterministic: bool = False, wanted: tuple[bool, bool] = (True, True),
    ) -> list[Tensor | None]:  # fmt: skip
        n, c, h, w = source.shape
        results = [self.device.allocate(4 * source.numel()) if want else 0 for want in wanted]
        args = _MatchBackward(
            self.put(grad_score, 0), self.put(source), self.put(target), _TYPES[source.dtype],
            self.put(offset, 0), n, c, h, w, patch_size, _NORMS.index(normalize), deterministic, *results,
        )  # fmt: skip
        library = self.host.library
        workspace = self._workspace(library.match_backward_workspace(ctypes.byref(args)))
        self.run(lambda: library.match_backward(ctypes.byref(args), ctypes.c_void_p(workspace)))
        if self.sample is not None:
            return [torch.empty(0) if at else None for at in results]
        return [self.get(at, source.shape, torch.float32) if at else None for at in results]

    def _swap(self, features: Tensor, offset: Tensor, patch_size: int) -> _Swap:
        out = self.device.allocate(features.element_size() * features.numel())
        last = keeps_channels_last(features, patch_size) and self.shift % 16 == 0
        at = self.put(features.permute(0, 2, 3, 1) if last else features)
        sizes = *features.shape, patch_size
        return _Swap(at, _TYPES[features.dtype], self.put(offset, 0), *sizes, out, last)

    def _swapped(self, args: _Swap, like: Tensor) -> Tensor:
        if self.sample is not None:
            return torch.empty(0)
        if not args.last:
            return self.get(args.out, like.shape, like.dtype)
        return self.get(args.out, like.permute(0, 2, 3, 1).shape, like.dtype).permute(0, 3, 1, 2)

    def patch_swap(self, source: Tensor, offset: Tensor, *, patch_size: int = 3) -> Tensor:
        args = self._swap(source, offset, patch_size)
        self.run(lambda: self.host.library.swap(ctypes.byref(args)))
        return self._swapped(args, source)

    def patch_swap_backward(
        self, grad: Tensor, offset: Tensor, *, patch_size: int = 3, deterministic: bool = False
    ) -> Tensor:
        args = self._swap(grad, offset, patch_size)
        library: Any = self.host.library
        workspace = self._workspace(library.swap_backward_workspace(ctypes.byref(args), deterministic))
        self.run(lambda: library.swap_backward(ctypes.byref(args), deterministic, ctypes.c_void_p(workspace)))
        return self._swapped(args, grad)
