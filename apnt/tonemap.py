"""The mu-law tone curve (eq. 15) in which the network is trained and images are compared."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import torch

MU = 5000.0
"""Amount of compression of eq. 15."""

ArrayT = TypeVar("ArrayT", torch.Tensor, np.ndarray)


def mu_law(radiance: ArrayT, mu: float = MU) -> ArrayT:
    """Compress linear radiance: ``log(1 + mu * H) / log(1 + mu)`` (eq. 15).

    Args:
        radiance: any shape, linear, expected in [0, 1]; a tensor or an array.
        mu: amount of compression.

    Returns:
        Same type and shape, in [0, 1] for input in [0, 1].
    """
    if isinstance(radiance, torch.Tensor):
        return torch.log1p(mu * radiance) / math.log1p(mu)
    return np.log1p(mu * radiance) / math.log1p(mu)


def mu_law_inverse(compressed: ArrayT, mu: float = MU) -> ArrayT:
    """Undo :func:`mu_law`: ``((1 + mu)**T - 1) / mu``."""
    if isinstance(compressed, torch.Tensor):
        return torch.expm1(compressed * math.log1p(mu)) / mu
    return np.expm1(compressed * math.log1p(mu)) / mu
