"""Building blocks that several boxes of Fig. 1 share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apnt.nn.convolution import Convolution, Layers
from apnt.nn.rows import strips, takes_strips
from apnt.ops import _backend

_MANY_CHANNELS = 16  # that fill a vector

_P = ParamSpec("_P")
_T = TypeVar("_T")


def constant(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Have a function compute without gradients: ``torch.no_grad`` that leaves no trace where there are none.

    The exporter makes a graph of its own of each region that switches them, and cannot where it has branches.
    """

    @wraps(function)
    def without(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        if not torch.is_grad_enabled():
            return function(*args, **kwargs)
        with torch.no_grad():
            return function(*args, **kwargs)

    return without


def relu() -> nn.ReLU:
    """A ReLU in the memory of what it gets: a convolution's result, which nothing else needs."""
    return nn.ReLU(inplace=True)


def sigmoid(x: Tensor) -> Tensor:
    """A sigmoid of (N, C, H, W) that nothing else needs, in its memory where strips are taken."""
    return torch.sigmoid_(x) if takes_strips(x) else torch.sigmoid(x)


def resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """(N, C, H, W) to another height and width, bilinear.

    A size, not a factor: a graph that takes any size then reckons in whole numbers alone.
    """
    if _library_doubles(x, size):
        doubled: Tensor = torch.ops.apnt.upsample(x, None, False)
        return doubled
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def add_resized(x: Tensor, onto: Tensor) -> Tensor:
    """``relu(resize(x) + onto)`` of (N, C, h, w) and (N, C, H, W)."""
    alike = onto.dtype == x.dtype and onto.is_contiguous(memory_format=torch.channels_last)
    if alike and _library_doubles(x, onto.shape[-2:]):
        added: Tensor = torch.ops.apnt.upsample(x, onto, True)
        return added
    return F.relu(resize(x, onto.shape[-2:]).add_(onto), inplace=True)


def _library_doubles(x: Tensor, size: tuple[int, ...]) -> bool:
    """Whether the compiled library makes ``size`` of (N, C, h, w): PyTorch's way runs on one thread."""
    return (
        takes_strips(x)
        and x.shape[1] >= _MANY_CHANNELS
        and tuple(size) == (2 * x.shape[2], 2 * x.shape[3])
        and x.dtype in (torch.float32, torch.bfloat16)
        and x.is_contiguous(memory_format=torch.channels_last)
        and _backend.choose(None, x) == "cpp"
    )


def averaged(x: Tensor, size: int) -> Tensor:
    """(N, C, H, W) to the means of its squares of ``size`` pixels, 1 or 2, which divides H and W."""
    if size == 1:
        return x
    if not takes_strips(x):
        return F.avg_pool2d(x, size)
    # Rows, then columns, of whole pictures: four times as fast as PyTorch's on a CPU.
    rows = x[..., ::2, :] + x[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]).mul_(0.25)


def mean5x5(x: Tensor) -> Tensor:
    """(N, C, H, W), the mean over 5x5 pixels; the border is continued outwards."""
    # Columns, then rows, in sums of whole pictures: seven times as fast as PyTorch's avg_pool2d on a CPU.
    x = F.pad(x, (2,) * 4, mode="replicate")
    for dim in (3, 2):
        size = x.shape[dim] - 4
        x = sum((x.narrow(dim, k, size) for k in range(1, 5)), x.narrow(dim, 0, size))
    return x / 25


class Mean(nn.Module):
    """What channel attention looks at: (N, C, H, W) to (N, C), the mean over the image.

    Attributes:
        given: (1, C) that stands for it where the network gets a part of an image
            (:mod:`apnt.nn.means`); None = the mean of what it gets.
    """

    given: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.given is not None:
            return self.given
        if not takes_strips(x):
            return x.mean(dim=(2, 3))
        # Sums of half precision pass through a copy in float32.
        batch, channels, height, width = x.shape
        total = x.new_zeros((batch, channels), dtype=torch.float32)
        for rows in strips(height, batch * channels * width):
            total += x[:, :, rows.own].sum(dim=(2, 3), dtype=torch.float32)
        return total / (height * width)


class CAB(nn.Module):
    """Channel attention block of RCAN: two 3x3 convolutions, channel attention, residual. Keeps the shape."""

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.body = Layers(Convolution(channels, channels), relu(), Convolution(channels, channels))
        self.mean = Mean()
        self.squeeze, self.excite = nn.Linear(channels, hidden), nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        given = self.mean.given
        if given is not None and self.body.can_add_onto(x, x):
            return self.body.forward_onto((x, self._weight(given)[0].float()), x)
        y: Tensor = self.body(x)
        return add_weighted(x, y, self._weight(self.mean(y)).to(y.dtype))

    def _weight(self, mean: Tensor) -> Tensor:
        """Of means (N, C): factors (N, C)."""
        weight: Tensor = torch.sigmoid(self.excite(torch.relu(self.squeeze(mean))))
        return weight


def add_weighted(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """``x + y * weight`` of (N, C, H, W) and (N, C); in the memory of ``y`` where strips are taken."""
    if not takes_strips(x):
        return torch.addcmul(x, y, weight[:, :, None, None])
    last = torch.channels_last
    if not (x.is_contiguous(memory_format=last) and y.is_contiguous(memory_format=last)):
        return torch.addcmul(x, y, weight[:, :, None, None], out=y)
    # Whole rows, W * C numbers, at once: a loop over C alone is too short for vectors.
    rows = [z.permute(0, 2, 3, 1).flatten(2) for z in (x, y)]
    torch.addcmul(rows[0], rows[1], weight.repeat(1, x.shape[3])[:, None], out=rows[1])
    return y


def cabs(channels: int, count: int, reduction: int) -> nn.Sequential:
    """A sequence of ``count`` :class:`CAB`."""
    return nn.Sequential(*(CAB(channels, reduction) for _ in range(count)))
