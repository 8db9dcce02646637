"""Features and offsets as they come from pictures, at the sizes of VGG19."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from apnt.data.procedural import procedural_bracket
from apnt.io.frames import read_frames
from apnt.nn import APNTFusion
from apnt.nn.matching import progressive_match, upsample_offset
from apnt.train.features import matching_pair

VGG_CHANNELS = (64, 128, 256)
"""Of relu1_1, relu2_1 and relu3_1."""

RADII = (2, 2, 8)


def photographs(
    images: Sequence[Path], stops: Sequence[float] | None, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Three frames (3, H, W, 3) in [0, 1], and their relative times (3,).

    Args:
        images: three photographs; none makes a procedural scene.
        stops: their exposures, in their order; None reads EXIF.
        height, width: the frames are scaled to this size.
    """
    if not images:
        bracket = procedural_bracket(0, height, width)
        return bracket.ldr, bracket.times
    frames = read_frames(images, None, stops)
    scaled = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames.ldr]
    return np.stack(scaled), frames.times


@torch.inference_mode()
def packaged_features(ldr: np.ndarray, times: np.ndarray) -> tuple[list[Tensor], list[Tensor]]:
    """Matching features of the masked short and of the medium frame: two pyramids of (1, 16/32/64, H, W)."""
    psi = APNTFusion.from_pretrained("default").match_features
    frames = torch.from_numpy(np.ascontiguousarray(ldr.transpose(0, 3, 1, 2)))[None].float()
    seconds = torch.from_numpy(np.asarray(times)).float()[None]
    source, target = (psi(picture) for picture in matching_pair(frames, seconds))
    return source, target


def widened(pyramid: list[Tensor], channels: tuple[int, ...] = VGG_CHANNELS) -> list[Tensor]:
    """The same features in more channels, by a fixed random projection: inner products nearly stay."""
    wide = []
    for level, (x, count) in enumerate(zip(pyramid, channels, strict=True)):
        generator = torch.Generator().manual_seed(level)
        matrix = torch.randn(count, x.shape[1], generator=generator) / count**0.5
        wide.append(torch.einsum("oc,nchw->nohw", matrix, x).contiguous())
    return wide


class Question(NamedTuple):
    """What the three levels of one match ask: pyramids of VGG19's sizes, and the offsets between them."""

    source: list[Tensor]
    target: list[Tensor]
    offsets: list[Tensor]


def question(ldr: np.ndarray, times: np.ndarray) -> Question:
    """The match of the short to the medium frame."""
    source, target = (widened(pyramid) for pyramid in packaged_features(ldr, times))
    match = progressive_match(source, target, radii=RADII, normalize="cosine")
    return Question(source, target, match.offsets)


def centers(offsets: list[Tensor], level: int) -> Tensor | None:
    """Window centres of a level, from the offsets of the coarser one; None at the coarsest."""
    if level == 2:
        return None
    return upsample_offset(offsets[level + 1], 2, offsets[level].shape[-2:])


def random_centers(height: int, width: int, reach: int, block: int) -> Tensor:
    """Centres (1, 2, H, W), unrelated between blocks of ``block`` x ``block`` pixels."""
    generator = torch.Generator().manual_seed(0)
    rows, columns = -(-height // block), -(-width // block)
    coarse = torch.randint(-reach, reach + 1, (1, 2, rows, columns), generator=generator, dtype=torch.int32)
    fine = coarse.repeat_interleave(block, 2).repeat_interleave(block, 3)
    return fine[:, :, :height, :width].contiguous()


def coherence(offset: Tensor) -> float:
    """Share of pixels whose right and lower neighbours have the same offset."""
    inner = offset[:, :, :-1, :-1]
    same = (inner == offset[:, :, 1:, :-1]) & (inner == offset[:, :, :-1, 1:])
    return same.all(1).double().mean().item()
