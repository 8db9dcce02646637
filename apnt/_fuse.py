"""Three exposures in, one HDR image out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from apnt.device import choose_device, use_bf16
from apnt.io.frames import Frames, Image, read_frames
from apnt.io.tone import match_tone

if TYPE_CHECKING:
    from apnt.nn import APNTFusion


def fuse(
    images: Sequence[Image],
    times: Sequence[float] | np.ndarray | None = None,
    *,
    stops: Sequence[float] | np.ndarray | None = None,
    weights: str | Path = "default",
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
        InputError: images, exposures, weights, device or precision that cannot be used.
        MemoryError: the images are too large for the memory of the device.
        FloatingPointError: the network returned NaN or infinity.
    """
    if progress is not None:
        progress("read")
    frames = read_frames(images, times, stops)
    if adjust_tone:
        frames, _ = match_tone(frames)
    return fuse_frames(
        frames, weights=weights, model=model, device=device, precision=precision, progress=progress
    )


def fuse_frames(
    frames: Frames,
    *,
    weights: str | Path = "default",
    model: torch.nn.Module | None = None,
    device: str | torch.device | None = None,
    precision: str = "auto",
    progress: Callable[[str], None] | None = None,
) -> np.ndarray:
    """Fuse frames as they are; everything else as in :func:`fuse`, which reads and adjusts them first."""
    place = choose_device(device, model)
    bf16 = use_bf16(precision, place)
    if model is None:
        if progress is not None:
            progress("weights")
        model = load_network(weights)
    if progress is not None:
        progress("fuse")
    return _run(model.to(place), frames, place, bf16)


def load_network(weights: str | Path) -> APNTFusion:
    """The network as it is run, in evaluation mode; ``weights`` as in :func:`fuse`."""
    from apnt.nn import APNTFusion

    # Convolutions on a CPU take two thirds of the time with channels last.
    return APNTFusion.from_pretrained(weights).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _run(model: torch.nn.Module, frames: Frames, device: torch.device, bf16: bool) -> np.ndarray:
    ldr = torch.from_numpy(frames.ldr).permute(0, 3, 1, 2)[None].contiguous()  # (1, 3, 3, H, W)
    times = torch.from_numpy(frames.times).float()[None]  # (1, 3)
    training = model.training
    model.eval()
    try:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            radiance = model(ldr.to(device), times.to(device))[0].float().cpu()  # (3, H, W)
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error):
            size = f"{ldr.shape[-1]} x {ldr.shape[-2]}"
            raise MemoryError(
                f"not enough memory on {device} for images of {size} pixels: make them smaller"
            ) from error
        raise
    finally:
        model.train(training)
    if not torch.isfinite(radiance).all():
        raise FloatingPointError("the network returned NaN or infinity: try precision fp32, or other weights")
    return np.ascontiguousarray(radiance.clamp(0, 1).permute(1, 2, 0).numpy())
