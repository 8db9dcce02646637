"""Convolutions that keep the size, of features that are joined: PyTorch's, or the compiled library's.

The library's are for CPUs and networks that are not trained. In float32 they compute 3x3 filters by
Winograd's method, in a quarter of the multiplications (``csrc/cpu/convolve_body.h``). Under autocast to
bfloat16 they are for processors that multiply it: with matrix units as plain sums
(``csrc/cpu/convolve_tiles.h``), without by Winograd's method in half of the multiplications
(``csrc/cpu/convolve_avx512_bf16.cpp``). They read joined features from where these lie, and write where the
result is wanted.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor, nn

from apnt import _ext
from apnt.nn.rolling import Rolling, rows_at_once
from apnt.nn.rows import by_rows, takes_strips

Onto = tuple[Tensor, Tensor]
"""What a result (N, C, H, W) is added to, of its shape and type, and factors (C) that it has before."""

_TYPES = (torch.float32, torch.bfloat16)  # of the parts that it reads
_FEW = 4  # channels: 3x3 filters that are not tiles pad them to 16, and with fewer PyTorch's are faster


class Convolution(nn.Conv2d):
    """A convolution of joined features that keeps their size.

    Args:
        inputs: channels of all that is joined.
        outputs: channels of the result.
        side: of the filter, 3 or 1 pixels.
        exact: equal patches are to have equal results wherever they lie, to the last bit, as features need
            that are matched: PyTorch computes it, whose graphs then find the same matches. Winograd's
            rounding errors depend on the place.

    The library's results are not finite up to 32 pixels around input that is not; PyTorch's, one.
    """

    def __init__(self, inputs: int, outputs: int, side: int = 3, *, exact: bool = False):
        super().__init__(inputs, outputs, side, padding=side // 2)
        self.exact = exact

    def forward(self, *parts: Tensor, relu: bool = False) -> Tensor:
        """Parts (N, C_i, H, W), joined, to (N, outputs, H, W), with a ReLU after the convolution or not."""
        if self._compiled(parts):
            out = _empty_like(parts, self.out_channels)
            self.write(out, parts, relu=relu)
            return out
        plain = super().forward
        if len(parts) == 1:
            y = plain(*parts)
        else:
            y = by_rows(lambda *rows: plain(join(rows)), parts, int(self.padding[0]), self.out_channels)
        return y.relu_() if relu else y

    def write(
        self,
        out: Tensor,
        parts: Sequence[Tensor],
        top: int = 0,
        relu: bool = False,
        onto: Onto | None = None,
    ) -> None:
        """Write rows of the result, from ``top`` on as many as ``out`` (N, outputs, h, W) has.

        Rows of ``onto`` are those of ``out``; it needs the compiled library's convolution.
        """
        if not self._compiled(parts):
            assert onto is None
            out.copy_(self(*parts, relu=relu)[:, :, top : top + out.shape[2]])
            return
        weight, bias, added = self.weight, self.bias, None
        if onto is not None:
            added, scale = onto
            weight = weight * scale[:, None, None, None]
            bias = None if bias is None else bias * scale
        torch.ops.apnt.convolve(parts, weight, bias, relu, added, top, out)

    def _compiled(self, parts: Sequence[Tensor]) -> bool:
        dtype = library_dtype(parts)
        return self.fits(dtype) and self.gains(dtype)

    def fits(self, dtype: torch.dtype | None) -> bool:
        """Whether the library may compute it in a type, that of :func:`library_dtype`."""
        return dtype is not None and not self.exact and self.weight.dtype == torch.float32

    def gains(self, dtype: torch.dtype | None) -> bool:
        """Whether the library is faster than PyTorch in a type."""
        tiles = dtype == torch.bfloat16 and _matrix_units()
        return tiles or self.in_channels >= _FEW or self.kernel_size == (1, 1)


class Layers(nn.Sequential):
    """Convolutions, a ReLU behind each or not, some rows at a time.

    Shape: parts ``(N, C_i, H, W)`` to ``(N, outputs, H, W)``.

    Raises:
        TypeError: a layer is neither.
    """

    def __init__(self, *layers: nn.Module):
        super().__init__(*layers)
        for before, layer in zip((None, *layers), layers, strict=False):
            relu = isinstance(layer, nn.ReLU) and isinstance(before, Convolution)
            if not (relu or isinstance(layer, Convolution)):
                raise TypeError(f"layers must be Convolution, or ReLU after one, got {type(layer).__name__}")

    @property
    def outputs(self) -> int:
        """Channels of the result."""
        return self._steps()[-1][0].out_channels

    @property
    def reach(self) -> int:
        """Pixels to each side of one on which its result depends."""
        return sum(int(convolution.padding[0]) for convolution, _ in self._steps())

    def can_add_onto(self, onto: Tensor, *parts: Tensor) -> bool:
        """Whether :meth:`forward_onto` is there for these."""
        dtype = library_dtype(parts)
        last, relu = self._steps()[-1]
        alike = onto.dtype == dtype and onto.stride(1) == 1
        return self._compiled(parts) and last.gains(dtype) and not relu and alike

    def forward_onto(self, onto: Onto, *parts: Tensor) -> Tensor:
        """The result times its factors, added to others where it is written: see :meth:`can_add_onto`."""
        return self._rolled(parts, onto)

    def forward(self, *parts: Tensor) -> Tensor:
        if self._compiled(parts):
            return self._rolled(parts)
        plain = super().forward
        return by_rows(lambda *rows: plain(join(rows)), parts, self.reach, self.outputs)

    def _compiled(self, parts: Sequence[Tensor]) -> bool:
        dtype = library_dtype(parts)
        return all(convolution.fits(dtype) for convolution, _ in self._steps())

    def _rolled(self, parts: Sequence[Tensor], onto: Onto | None = None) -> Tensor:
        steps = self._steps()
        pads = [int(convolution.padding[0]) for convolution, _ in steps]
        n, _, height, width = parts[0].shape
        widest = max(convolution.out_channels for convolution, _ in steps)
        length = rows_at_once(n * width * widest, 4 * self.reach + 1)
        held = min(length + 2 * self.reach, height)
        out = _empty_like(parts, self.outputs)
        # What lies before each convolution but the first.
        between = [
            Rolling(_empty_like(parts, convolution.out_channels, held), pad)
            for (convolution, _), pad in zip(steps, pads[1:], strict=False)
        ]
        done = [0] * len(steps)  # rows of each result
        for stop in range(length, height + length, length):
            below = self.reach
            for k, (convolution, relu) in enumerate(steps):
                below -= pads[k]
                top, end = done[k], min(stop + below, height)
                if top == end:
                    continue
                low, high = max(top - pads[k], 0), min(end + pads[k], height)
                seen = [x[:, :, low:high] for x in parts] if k == 0 else [between[k - 1].rows(low, high)]
                if k < len(between):
                    convolution.write(between[k].extend(end, done[k + 1]), seen, top - low, relu)
                else:
                    rows = None if onto is None else (onto[0][:, :, top:end], onto[1])
                    convolution.write(out[:, :, top:end], seen, top - low, relu, rows)
                done[k] = end
        return out

    def _steps(self) -> list[tuple[Convolution, bool]]:
        """The convolutions, and whether a ReLU follows."""
        layers = list(self)
        behind = [*layers[1:], None]
        return [
            (layer, isinstance(after, nn.ReLU))
            for layer, after in zip(layers, behind, strict=True)
            if isinstance(layer, Convolution)
        ]


def join(parts: Sequence[Tensor]) -> Tensor:
    """``torch.cat(parts, dim=1)`` of (N, C_i, H, W), under autocast in the type that convolutions take.

    To join several types and memory formats and convert the result takes longer than the convolution.
    """
    if len(parts) == 1:
        return parts[0]
    kind = parts[0].device.type
    if torch.is_autocast_enabled(kind) or takes_strips(parts[0]):
        last = torch.channels_last
        mixed = any(part.is_contiguous(memory_format=last) and not part.is_contiguous() for part in parts)
        layout = last if mixed else torch.preserve_format
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else parts[0].dtype
        parts = [part.to(dtype, memory_format=layout) for part in parts]
    return torch.cat(tuple(parts), dim=1)


def as_convolved(x: Tensor) -> Tensor:
    """In the type that convolutions take under autocast; without it ``x``."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def library_dtype(parts: Sequence[Tensor]) -> torch.dtype | None:
    """The type that the compiled library's convolutions of (N, C_i, H, W) compute in; None = PyTorch's do.

    That of autocast, or float32 where all parts are; None for parts of other types.
    """
    if not takes_strips(parts[0]):
        return None
    instructions = _instructions()
    if torch.is_autocast_enabled("cpu"):
        multiplied = instructions.startswith(("avx512_bf16", "amx"))
        bf16 = multiplied and torch.get_autocast_dtype("cpu") == torch.bfloat16
        return torch.bfloat16 if bf16 and all(x.dtype in _TYPES for x in parts) else None
    vectors = instructions.startswith(("avx", "amx"))
    return torch.float32 if vectors and all(x.dtype == torch.float32 for x in parts) else None


def _matrix_units() -> bool:
    return _instructions().startswith("amx")


def _instructions() -> str:
    """What the library runs; another word where it is missing or APNT_CPU_ISA wrong."""
    return _instructions_of(os.environ.get("APNT_CPU_ISA"))


@cache
def _instructions_of(_: str | None) -> str:  # of each value of the variable, as the library reads it
    return str(_ext.instruction_set())


def _empty_like(parts: Sequence[Tensor], channels: int, rows: int | None = None) -> Tensor:
    n, _, height, width = parts[0].shape
    shape = (n, channels, height if rows is None else rows, width)
    return torch.empty(shape, dtype=library_dtype(parts), memory_format=torch.channels_last)
