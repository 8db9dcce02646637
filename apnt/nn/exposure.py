"""Exposure domains (eq. 3) and the masked saturated HDR domain (MS-HDR).

Throughout, exposure times are relative to the shortest, so ``tau_s = 1`` and radiance 1 is where the short
exposure saturates. Exposures are ordered short, medium, long.
"""

from __future__ import annotations

import torch
from torch import Tensor

from apnt.camera import GAMMA, SATURATION


def to_radiance(ldr: Tensor, times: Tensor, gamma: float = GAMMA) -> Tensor:
    """Eq. 3: ``H_k = I_k**gamma / tau_k``.

    Args:
        ldr: (N, 3, 3, H, W) exposures short to long, RGB in [0, 1].
        times: (N, 3) relative exposure times.

    Returns:
        (N, 3, 3, H, W) linear radiance.
    """
    return ldr.clamp(0, 1) ** gamma / times[:, :, None, None, None]


def plateau(times: Tensor, exposure: int, gamma: float = GAMMA, threshold: float = SATURATION) -> Tensor:
    """(N, 1, 1, 1) radiance at which an exposure (0, 1, 2) saturates: ``eps / tau``."""
    return (threshold**gamma / times[:, exposure])[:, None, None, None]


def ms_hdr(radiance: Tensor, level: Tensor) -> Tensor:
    """Mask an exposure as if it had saturated at ``level``: the piecewise MS-HDR equation is a minimum.

    Args:
        radiance: (N, 3, H, W).
        level: (N, 1, 1, 1), the other exposure's :func:`plateau`.
    """
    return torch.minimum(radiance, level)


def saturation_mask(radiance: Tensor, level: Tensor) -> Tensor:
    """(N, 1, H, W) of 0 and 1: any colour channel at or above ``level`` (N, 1, 1, 1)."""
    return (radiance >= level).any(dim=1, keepdim=True).to(radiance.dtype)


def to_display(radiance: Tensor, level: Tensor, gamma: float = GAMMA) -> Tensor:
    """Radiance as a picture that reaches 1 at ``level``: ``(H / level)**(1 / gamma)``.

    Unmasked radiance goes beyond 1. The tiny floor keeps the gradient of the power finite at black.
    """
    return (radiance / level).clamp_min(1e-8) ** (1 / gamma)
