"""The domains in which exposures are compared: radiance (eq. 3) and masked saturated HDR (MS-HDR).

Exposure times are relative to the shortest, so ``tau_s = 1``, and radiance 1 is where the short exposure
saturates. Exposures are ordered short, medium, long.
"""

from __future__ import annotations

import torch
from torch import Tensor

from apnt.camera import GAMMA, SATURATION

SHORT, MEDIUM, LONG = range(3)


def to_radiance(ldr: Tensor, times: Tensor, gamma: float = GAMMA) -> Tensor:
    """Eq. 3: ``H_k = I_k**gamma / tau_k``.

    Args:
        ldr: (N, 3, 3, H, W) exposures short to long, RGB in [0, 1].
        times: (N, 3) relative exposure times.
        gamma: of the display curve.

    Returns:
        (N, 3, 3, H, W) linear radiance.
    """
    return ldr.clamp(0, 1) ** gamma / times[:, :, None, None, None]


def saturation_level(
    times: Tensor, exposure: int, gamma: float = GAMMA, threshold: float = SATURATION
) -> Tensor:
    """(N, 1, 1, 1) radiance at which an exposure (``SHORT``, ``MEDIUM``, ``LONG``) saturates: ``eps / tau``.

    Args:
        times: (N, 3) relative exposure times.
        exposure: which of the three.
        gamma: of the display curve; ``eps = threshold**gamma``.
        threshold: display-referred value in (0, 1) from which a pixel counts as saturated.
    """
    return (threshold**gamma / times[:, exposure])[:, None, None, None]


def ms_hdr(radiance: Tensor, level: Tensor) -> Tensor:
    """Mask an exposure as if it had saturated at ``level``: the piecewise MS-HDR equation is a minimum.

    Args:
        radiance: (N, 3, H, W).
        level: (N, 1, 1, 1), the other exposure's :func:`saturation_level`.

    Returns:
        (N, 3, H, W), at most ``level``.
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


def matching_pair(ldr: Tensor, times: Tensor, exposure: int = SHORT) -> tuple[Tensor, Tensor]:
    """The pictures that are matched: an exposure and the medium one, both masked in the MS-HDR domain.

    Args:
        ldr: (N, 3, 3, H, W) exposures short to long, RGB in [0, 1].
        times: (N, 3) relative exposure times.
        exposure: ``SHORT`` or ``LONG``.

    Returns:
        Source and target, (N, 3, H, W) each, display-referred: 1 is where the longer of the two saturates.
    """
    radiance = to_radiance(ldr, times)
    level = saturation_level(times, max(exposure, MEDIUM))
    source, target = (to_display(ms_hdr(radiance[:, k], level), level) for k in (exposure, MEDIUM))
    return source, target
