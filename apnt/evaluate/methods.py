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
class Maps:
    """What the network saw in a bracket, at full size.

    Attributes:
        motion: (2, H, W) in [0, 1], motion attention of the short and the long exposure, mean over channels.
        saturation: (H, W) in [0, 1], saturation attention of the medium exposure, mean over channels.
        offset: (H, W, 2) int (dy, dx), from each medium pixel to its partner in the short exposure; None for
            a network that does not match.
    """

    motion: np.ndarray
    saturation: np.ndarray
    offset: np.ndarray | None


@dataclass(frozen=True)
class Method:
    """One way to fuse a bracket.

    Attributes:
        title: what tables call it.
        fuse: a bracket -> (H, W, 3) float32 linear radiance in [0, 1], 1 = the short exposure's saturation.
        details: what a reader needs to repeat its numbers.
        explain: the same result, and the maps behind it; None for a method that has none.
    """

    title: str
    fuse: Callable[[Bracket], np.ndarray]
    details: dict[str, str] = field(default_factory=dict)
    explain: Callable[[Bracket], tuple[np.ndarray, Maps]] | None = None


def load_method(
    name: str, weights: str = "default", device: str | None = None, precision: str = "fp32"
) -> Method:
    """Make a method ready to run.

    Args:
        name: one of ``TITLES``.
        weights: of ``apnt``: "default", "fast", a file, or a Hub id.
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

    from apnt._fuse import fuse_frames, load_network
    from apnt.device import choose_device, use_bf16
    from apnt.io.frames import Frames
    from apnt.io.tone import match_tone

    where = choose_device(device)
    bf16 = use_bf16(precision, where)
    model = load_network(weights)
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())

    class KeepMaps(torch.nn.Module):
        """The model, with the maps of its last result."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ldr: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
            radiance, self.maps = self.model(ldr, times, return_maps=True)
            return radiance

    def fuse(bracket: Bracket, network: torch.nn.Module = model) -> np.ndarray:
        frames, _ = match_tone(Frames(bracket.ldr, bracket.times, (0, 1, 2)))
        return fuse_frames(frames, model=network, device=where, precision=precision)

    def explain(bracket: Bracket) -> tuple[np.ndarray, Maps]:
        keeper = KeepMaps().eval()  # or the model would be left in training mode
        result = fuse(bracket, keeper)
        maps = keeper.maps
        short, long = (m[0].float().mean(dim=0).cpu().numpy() for m in maps["motion"])
        saturation = maps["saturation"][1][0].float().mean(dim=0).cpu().numpy()
        offset = maps["offset"][0][0].permute(1, 2, 0).cpu().numpy() if maps["offset"] else None
        return result, Maps(np.stack([short, long]), saturation, offset)

    details = {"weights": weights, "state_sha256": digest.hexdigest(), "device": str(where)}
    return Method(TITLES["apnt"], fuse, details | {"precision": "bf16" if bf16 else "fp32"}, explain)
