"""Patch-based reconstruction in the style of Sen and others (2012): a reference completed from other frames.

The image ``H`` and the other frames as they would look at the reference's moment are found in turn, from the
coarsest scale down: a patch of each frame for every patch that ``H`` predicts there, then ``H`` merged from
those patches where the reference is not well exposed.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from apnt.bracket import Bracket, to_chw
from apnt.camera import GAMMA, SATURATION
from apnt.nn.matching import upsample_offset
from apnt.ops import patch_swap, window_match

PATCH = 7
SMALLEST = 35
"""Shorter side of the coarsest scale, pixels, at least; scales halve."""
EXPOSED = (0.1, 0.9)
"""Display-referred values between which the reference is kept; it fades towards black and saturation."""
COARSEST_RADIUS, RADIUS = 8, 2
"""Of the search, pixels, at the coarsest scale around no motion, elsewhere around what was found before."""
COARSEST_ROUNDS, ROUNDS = 6, 4
"""Searches at the coarsest scale, and at each other one."""


def sen12(bracket: Bracket) -> np.ndarray:
    """Complete the reference from the patches of the other frames.

    Returns:
        (H, W, 3) float32 radiance in [0, 1].
    """
    times, middle = bracket.times.astype(np.float32), bracket.reference
    scales = [to_chw(_whole(bracket))]  # (N, 3, H, W) display-referred each, the finest first
    while min(scales[-1].shape[-2:]) >= 2 * SMALLEST:
        scales.append(F.avg_pool2d(scales[-1], 2, ceil_mode=True))
    offsets: list[Tensor | None] = [None] * len(bracket)
    radiance = scales[-1]
    with torch.inference_mode():
        for level in range(len(scales) - 1, -1, -1):
            frames, coarsest = scales[level], level == len(scales) - 1
            if coarsest:
                radiance = _combine(frames, times, middle)
            else:
                offsets = [o if o is None else upsample_offset(o, 2, frames.shape[-2:]) for o in offsets]
                radiance = _combine(_voted(frames, offsets), times, middle)
            for _ in range(COARSEST_ROUNDS if coarsest else ROUNDS):
                for k in bracket.others:
                    radius = COARSEST_RADIUS if coarsest and offsets[k] is None else RADIUS
                    offsets[k] = _match(frames[k], _exposed(radiance, times[k]), offsets[k], radius)
                radiance = _combine(_voted(frames, offsets), times, middle)
    return np.ascontiguousarray(radiance.clamp(0, 1).permute(1, 2, 0).numpy())


def _whole(bracket: Bracket) -> np.ndarray:
    """(N, H, W, 3): the frames, where they hold no data as the reference predicts them."""
    if bracket.valid is None:
        return bracket.ldr
    ratio = (bracket.times / bracket.times[bracket.reference])[:, None, None, None] ** (1 / GAMMA)
    predicted = np.minimum(bracket.reference_frame * ratio.astype(np.float32), 1)
    return np.where(bracket.valid[..., None], bracket.ldr, predicted)


def _exposed(radiance: Tensor, time: np.float32) -> Tensor:
    """Radiance as a frame of that exposure time shows it, display-referred."""
    return (radiance * float(time)).clamp(0, 1) ** (1 / GAMMA)


def _match(frame: Tensor, wanted: Tensor, center: Tensor | None, radius: int) -> Tensor:
    """(1, 2, H, W): from each pixel of ``wanted`` to the patch of ``frame`` that differs least, squared.

    The greatest of ``s . t - |s|^2 / 2`` over ``s`` is the least of ``|s - t|^2``, so one more channel makes
    the search by inner products one by differences.
    """
    source, target = frame - 0.5, wanted - 0.5
    norm = source.square().sum(dim=0, keepdim=True) / 2
    pair = torch.cat([source, -norm])[None], torch.cat([target, torch.ones_like(norm)])[None]
    return window_match(*pair, center, radius=radius, patch_size=PATCH, normalize="none")[0]


def _voted(frames: Tensor, offsets: list[Tensor | None]) -> Tensor:
    """(N, 3, H, W): every frame as the mean of the patches found in it; one without offsets as it is."""
    moved = [
        frame if offset is None else patch_swap(frame[None], offset, patch_size=PATCH)[0]
        for frame, offset in zip(frames, offsets, strict=True)
    ]
    return torch.stack(moved)


def _combine(frames: Tensor, times: np.ndarray, middle: int) -> Tensor:
    """(3, H, W): the reference where it is well exposed, elsewhere a weighted mean of all frames' radiances.

    Weights are triangles over the values, flat where no other frame is better exposed: above one half of the
    shortest and below one half of the longest.
    """
    radiance = frames.clamp(0, 1) ** GAMMA / torch.from_numpy(times)[:, None, None, None]
    weights = 1 - (2 * frames - 1).abs()
    weights[0] = torch.where(frames[0] > 0.5, 1.0, weights[0])
    weights[-1] = torch.where(frames[-1] < 0.5, 1.0, weights[-1])
    weights[1:] *= frames[1:] < SATURATION
    weights[0].clamp_(min=1e-4)  # the shortest is left where all others are saturated
    merged = (weights * radiance).sum(dim=0) / weights.sum(dim=0)
    # Light that saturates the reference is not darker than its saturation: no ghost of a dark object.
    saturated = frames[middle] >= SATURATION
    merged = torch.where(saturated, torch.maximum(merged, radiance[middle]), merged)
    kept = _well_exposed(frames[middle], middle > 0, middle < len(frames) - 1)
    return kept * radiance[middle] + (1 - kept) * merged


def _well_exposed(reference: Tensor, has_shorter: bool, has_longer: bool) -> Tensor:
    """(1, H, W) in [0, 1]: 1 between the values of ``EXPOSED``, down to 0 at black and at saturation.

    What is too bright in the shortest frame, or too dark in the longest, no other frame knows better.
    """
    kept = torch.ones_like(reference[:1])
    if has_shorter:
        brightest = reference.amax(dim=0, keepdim=True)
        kept = kept * ((SATURATION - brightest) / (SATURATION - EXPOSED[1])).clamp(0, 1)
    if has_longer:
        kept = kept * (reference.mean(dim=0, keepdim=True) / EXPOSED[0]).clamp(0, 1)
    return kept
