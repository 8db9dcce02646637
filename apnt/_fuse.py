"""Exposures in, one HDR image out: the one path from frames to radiance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from apnt import defaults
from apnt.bracket import Bracket
from apnt.io.frames import Image, read_frames
from apnt.io.response import match_tone
from apnt.methods import Maps, Method, Options, check_method, load_method
from apnt.prepare.three import fuse_three


def fuse(
    images: Sequence[Image],
    times: Sequence[float] | np.ndarray | None = None,
    *,
    stops: Sequence[float] | np.ndarray | None = None,
    method: str = defaults.METHOD,
    weights: str | Path = defaults.WEIGHTS,
    model: torch.nn.Module | None = None,
    device: str | torch.device | None = None,
    precision: str = "auto",
    adjust_tone: bool = True,
    progress: Callable[[str], None] | None = None,
) -> np.ndarray:
    """Fuse three exposures of a scene, moving or not, into one HDR image.

    Args:
        images: three paths of 8- or 16-bit JPEG, PNG or TIFF photographs, or three RGB arrays, (H, W, 3),
            (H, W, 4) or (H, W), uint8, uint16 or float in [0, 1], display-referred. In any order, of one
            size, at least 16 pixels a side. The result shows the scene at the moment of the medium exposure.
        times: exposure times in seconds, in the order of the images. Without times and stops: EXIF.
        stops: the exposures in stops instead, such as ``(0, 2, 4)``.
        method: how to fuse, a name out of ``apnt.methods.METHODS``; ``"apnt"`` is the network, and the
            others are what it is compared with.
        weights: ``"default"``, ``"fast"``, a path of a checkpoint, or a Hub id; not used with ``model``.
        model: a network that takes ``(1, 3, 3, H, W)`` exposures, short to long, and ``(1, 3)`` relative
            times, and returns ``(1, 3, H, W)`` radiance. It is moved to the device if one is given.
        device: such as ``"cpu"`` or ``"cuda"``; None = CUDA where there is one, or the device of ``model``.
        precision: ``"fp32"``, ``"bf16"`` (autocast), or ``"auto"``: bf16 where the hardware computes in it.
        adjust_tone: bring short and long frame to the tone curve of the medium frame where they disagree with
            it (:func:`apnt.io.match_tone`), as the JPEG files of most cameras do.
        progress: called with ``"read"``, ``"weights"`` and ``"fuse"`` as these steps begin.

    Returns:
        (H, W, 3) float32 RGB radiance in [0, 1], linear; 1 is where the short exposure saturates.

    Raises:
        InputError: images, exposures, method, weights, device or precision that cannot be used.
        MemoryError: the images are too large for the memory of the device.
        FloatingPointError: the network returned NaN or infinity.
    """
    report = progress or (lambda step: None)
    check_method(method)
    report("read")
    bracket = read_frames(images, times, stops)
    if model is None:
        report("weights")
    chosen = load_method(method, Options(weights, device, precision, model))
    report("fuse")
    return fuse_bracket(bracket, chosen, adjust_tone=adjust_tone).image


@dataclass(frozen=True, eq=False)
class Fused:
    """What :func:`fuse_bracket` made.

    Attributes:
        image: (H, W, 3) float32 RGB in [0, 1]; of a method of the kind "radiance" linear, 1 is where the
            shortest exposure saturates.
        bracket: the exposures as the method got them.
        adjusted: by how much the frames differed in tone before they were adjusted, see
            :func:`apnt.io.match_tone`; 0 where nothing was.
        maps: what the network saw, where that was asked for and the method can tell.
        shares: what the image rests on, of a method that takes three frames: see
            :func:`apnt.prepare.shares.shares_of`; empty of others.
    """

    image: np.ndarray
    bracket: Bracket
    adjusted: float = 0.0
    maps: Maps | None = None
    shares: dict[str, float] = field(default_factory=dict)


def fuse_bracket(bracket: Bracket, method: Method, *, adjust_tone: bool = True, maps: bool = False) -> Fused:
    """Fuse a bracket that has been read.

    Fusing photographs, evaluation, validation during training and the benchmarks all come through here. A
    method that takes three frames gets three, chosen, of any number, and the others support its result
    (docs/frames.md).

    Args:
        bracket: as read.
        method: from :func:`apnt.methods.load_method`.
        adjust_tone: as in :func:`fuse`.
        maps: also keep what the network saw.
    """
    bracket, adjusted = match_tone(bracket) if adjust_tone else (bracket, 0.0)
    if method.frames == 3:
        found = fuse_three(bracket, method, maps)
        return Fused(found.image, bracket, adjusted, found.maps, found.shares)
    if maps and method.explain is not None:
        image, seen = method.explain(bracket)
        return Fused(image, bracket, adjusted, seen)
    return Fused(method.fuse(bracket), bracket, adjusted)


def fused_image(bracket: Bracket, method: Method) -> np.ndarray:
    """The image of :func:`fuse_bracket` alone."""
    return fuse_bracket(bracket, method).image
