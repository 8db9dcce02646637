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


def load_method(name: str, weights: str = "default", device: str | None = None) -> Method:
    """Make a method ready to run.

    Args:
        name: one of ``TITLES``.
        weights: of ``apnt``: "default", a file, or a Hub id.
        device: of ``apnt``: such as "cpu" or "cuda:0"; None = the GPU where there is one.

    Raises:
        InputError: no such method, weights or device.
    """
    if name == "apnt":
        return _apnt(weights, device)
    if name == "medium":
        from apnt.baselines.medium import medium as fuse
    elif name == "weighted":
        from apnt.baselines.weighted import weighted as fuse
    elif name == "align-debevec":
        from apnt.baselines.align_debevec import align_debevec as fuse
    else:
        raise InputError(f"methods must be of {', '.join(TITLES)}, got {name!r}")
    return Method(TITLES[name], fuse)


def _apnt(weights: str, device: str | None) -> Method:
    import torch

    from apnt.nn import APNTFusion

    model = APNTFusion.from_pretrained(weights).eval()
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        model = model.to(where)
    except (RuntimeError, AssertionError) as error:  # unknown device, build without CUDA
        raise InputError(f"device must be one that torch can use here, got {where!r}: {error}") from error

    def fuse(bracket: Bracket) -> np.ndarray:
        ldr = torch.from_numpy(bracket.ldr).permute(0, 3, 1, 2)[None].to(where)  # (1, 3, 3, H, W)
        times = torch.from_numpy(bracket.times.astype(np.float32))[None].to(where)
        with torch.inference_mode():
            radiance = model(ldr, times)[0]
        return radiance.permute(1, 2, 0).float().cpu().numpy()

    return Method(
        TITLES["apnt"], fuse, {"weights": weights, "state_sha256": digest.hexdigest(), "device": where}
    )
