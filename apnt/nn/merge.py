"""The noise-weighted merge of aligned exposures, as a candidate of the output's mixture. Beyond the paper."""

from __future__ import annotations

import torch
from torch import Tensor

from apnt.camera import GAMMA
from apnt.nn.blocks import constant, mean5x5
from apnt.nn.domains import MEDIUM, to_radiance

_SHOT, _READ = 3e-4, 1e-3  # variance of a linear signal x in [0, 1]: _SHOT * x + _READ**2; a usual camera's
_FULL, _EMPTY = 0.9, 0.98  # display-referred values between which a frame's weight falls to 0


@constant
def merge(frames: list[Tensor], times: Tensor, gamma: float = GAMMA) -> Tensor:
    """Each pixel's mean over the frames, weighted by the inverse variance of their light.

    A frame counts less where it saturates, and where it differs from the medium frame, in the mean over
    5x5 pixels of which neither saturates, by more than a pixel's noise. Where all saturate, the short one's
    light is taken.

    Args:
        frames: aligned, short to long, (N, 3, H, W) each, display-referred in [0, 1].
        times: (N, 3) relative exposure times.
        gamma: of the display curve.

    Returns:
        (N, 3, H, W) radiance.
    """
    light = [
        to_radiance(frame[:, None], times[:, k, None], gamma)[:, 0].float() for k, frame in enumerate(frames)
    ]
    valid = [
        ((_EMPTY - frame.amax(dim=1, keepdim=True)) / (_EMPTY - _FULL)).clamp(0, 1).float()
        for frame in frames
    ]
    total, weights = torch.zeros_like(light[0]), torch.zeros_like(valid[0])
    for k, radiance in enumerate(light):
        time = times[:, k, None, None, None]
        variance = (_SHOT * radiance.mean(dim=1, keepdim=True) * time + _READ**2) / time**2
        weight = valid[k] / variance
        if k != MEDIUM:
            known = valid[k] * valid[MEDIUM]
            reference = times[:, MEDIUM, None, None, None]
            noise = (
                variance
                + (_SHOT * light[MEDIUM].mean(dim=1, keepdim=True) * reference + _READ**2) / reference**2
            )
            # The mean's square, not the mean square: strong noise must not look like motion.
            difference = mean5x5(known * (radiance - light[MEDIUM])).square().mean(dim=1, keepdim=True)
            weight = weight / (1 + (difference / noise) ** 2)
        total, weights = total + weight * radiance, weights + weight
    # Far below the weight of any frame that is exposed.
    tiny = 1e-6 * times[:, :1, None, None] ** 2 / _READ**2
    return (total + tiny * light[0]) / (weights + tiny)
