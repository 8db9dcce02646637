"""The error that the network expects of its own result. Beyond the paper."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from apnt.nn.blocks import relu
from apnt.nn.convolution import Convolution, Layers


def confidence_head(channels: int, hidden: int, outputs: int) -> nn.Module:
    """From the fusion stream's features (N, channels, H, W) to (N, outputs, H, W) for :func:`expected_error`.

    Args:
        channels: of the features.
        hidden: of two layers between; 0 = none, one convolution.
        outputs: values for each pixel of the network.
    """
    if not hidden:
        return Convolution(channels, outputs)
    return Layers(
        Convolution(channels, hidden),
        relu(),
        Convolution(hidden, hidden),
        relu(),
        Convolution(hidden, outputs),
    )


def confidence_reach(hidden: int) -> int:
    """Of :func:`confidence_head` in the features, pixels of the network."""
    return 3 if hidden else 1


def expected_error(head: Tensor) -> Tensor:
    """(N, 1, H, W) expected absolute error of the result after the mu-law, of the confidence head's output.

    A head of zeros expects an error of 0.02.
    """
    return 0.02 * torch.exp(head.clamp(-6, 4))
