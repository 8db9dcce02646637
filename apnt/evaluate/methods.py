"""The methods that can be evaluated, by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from apnt.data.bracket import Bracket
from apnt.errors import InputError

TITLES = {
    "medium": "medium exposure",
    "weighted": "weighted (eq. 1)",
    "align-debevec": "AlignMTB + Debevec",
    "apnt": "APNT-Fusion",
}
"""Name of each method -> what tables call it."""


@dataclass(frozen=True)
class Method:
    """One way to fuse a bracket.

    Attributes:
        title: what tables call it.
        fuse: a bracket -> (H, W, 3) float32 linear radiance in [0, 1], 1 = the short exposure's saturation.
        details: what a reader needs to repeat its numbers.
    """

    title: str
    fuse: Callable[[Bracket], np.ndarray]
    details: dict[str, str] = field(default_factory=dict)


def load_method(
    name: str, weights: str = "default", device: str | None = None, precision: str = "fp32"
) -> Method:
    """Make a method ready to run.

    Args:
        name: one of ``TITLES``.
        weights: of ``apnt``: "default", a file, or a Hub id.
        device: of ``apnt``: such as "cpu" or "cuda:0"; None = the GPU where there is one.
        precision: of ``apnt``, see :func:`apnt.fuse`; fp32 gives the same numbers everywhere.

    Raises:
        InputError: no such method, weights or device.
    """
    if name == "apnt":
        return _apnt(weights, device, precision)
    if name == "medium":
        from apnt.baselines.medium import medium as fuse
    elif name == "weighted":
        from apnt.baselines.weighted import weighted as fuse
    elif name == "align-debevec":
        from apnt.baselines.align_debevec import align_debevec as fuse
    else:
        raise InputError(f"methods must be of {', '.join(TITLES)}, got {name!r}")
    return Method(TITLES[name], fuse)


def _apnt(weights: str, device: str | None, precision: str) -> Method:
    import torch

    from apnt._fuse import fuse_frames
    from apnt.device import choose_device, use_bf16
    from apnt.io.frames import Frames
    from apnt.io.tone import match_tone
    from apnt.nn import APNTFusion

    where = choose_device(device)
    bf16 = use_bf16(precision, where)
    model = APNTFusion.from_pretrained(weights)
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())

    def fuse(bracket: Bracket) -> np.ndarray:
        frames, _ = match_tone(Frames(bracket.ldr, bracket.times, (0, 1, 2)))
        return fuse_frames(frames, model=model, device=where, precision=precision)

    details = {"weights": weights, "state_sha256": digest.hexdigest(), "device": str(where)}
    return Method(TITLES["apnt"], fuse, details | {"precision": "bf16" if bf16 else "fp32"})
