"""APNT-Fusion, the network of this package, as a method beside the others."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from apnt.bracket import Bracket
from apnt.device import choose_device, use_bf16
from apnt.memory import SMALLER, explained
from apnt.methods.registry import METHODS, Maps, Method, Options
from apnt.nn import APNTFusion
from apnt.nn.checkpoint import OURS


def load(options: Options) -> Method:
    """The network with its weights, or the one that is given, for brackets of three frames.

    Raises:
        InputError: no such weights, device or precision.
    """
    device = choose_device(options.device, options.model)
    return ready(OURS, options.model or load_network(options.weights), device, options)


def ready(name: str, model: torch.nn.Module, device: torch.device, options: Options) -> Method:
    """A network as the method ``name``, in the number format of the options.

    Raises:
        InputError: no such precision.
    """
    bf16 = use_bf16(options.precision, device)
    details = {
        "weights": str(options.weights),
        "state_sha256": _fingerprint(model),
        "device": str(device),
        "precision": "bf16" if bf16 else "fp32",
    }
    # Convolutions on a CPU take two thirds of the time with channels last.
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return method_of(model, device, torch.bfloat16 if bf16 else torch.float32, details, name)


def load_network(weights: str | Path) -> APNTFusion:
    """The network as it is run, in evaluation mode; ``weights`` as in :func:`apnt.fuse`."""
    return APNTFusion.from_pretrained(weights)


def method_of(
    model: torch.nn.Module,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    details: dict[str, str] | None = None,
    name: str = OURS,
) -> Method:
    """A network as a method.

    Args:
        model: a network that takes ``(1, 3, 3, H, W)`` exposures, short to long, and ``(1, 3)`` relative
            times, and returns ``(1, 3, H, W)`` radiance.
        device: where the network lies.
        dtype: of autocast; float32 stands for none.
        details: see :class:`Method`.
        name: of the method; ours can also tell what it saw.
    """

    def fuse(bracket: Bracket) -> np.ndarray:
        return _run(model, bracket, device, dtype)

    def explain(bracket: Bracket) -> tuple[np.ndarray, Maps]:
        keeper = _KeepMaps(model).eval()  # or the model would be left in training mode
        result = _run(keeper, bracket, device, dtype)
        return result, keeper.last()

    return Method(METHODS[name].title, fuse, details or {}, explain if name == OURS else None, frames=3)


def _run(model: torch.nn.Module, bracket: Bracket, device: torch.device, dtype: torch.dtype) -> np.ndarray:
    """(H, W, 3) float32 radiance in [0, 1], from the network in evaluation mode."""
    training = model.training
    model.eval()
    autocast = torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
    height, width = bracket.size
    what = f"the network on {device}, for images of {width} x {height} pixels,"
    try:
        with explained(what, SMALLER), torch.inference_mode(), autocast:
            radiance = model(*bracket.tensors(device))[0].float().cpu()  # (3, H, W)
    finally:
        model.train(training)
    if not torch.isfinite(radiance).all():
        raise FloatingPointError("the network returned NaN or infinity: try precision fp32, or other weights")
    return np.ascontiguousarray(radiance.clamp(0, 1).permute(1, 2, 0).numpy())


class _KeepMaps(torch.nn.Module):
    """The model, with the maps of its last result."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ldr: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        radiance, self.maps = self.model(ldr, times, return_maps=True)
        return radiance

    def last(self) -> Maps:
        maps = self.maps
        motion = [m[0].float().mean(dim=0).cpu().numpy() for m in maps["motion"]]
        saturation = maps["saturation"][-1][0].float().mean(dim=0).cpu().numpy()
        offset = maps["offset"][0][0].permute(1, 2, 0).cpu().numpy() if maps["offset"] else None
        error = maps["error"][0][0, 0].float().cpu().numpy() if maps.get("error") else None
        reach = self._reach(max(saturation.shape)) if maps["offset"] else 0
        return Maps(np.stack(motion), saturation, offset, reach, error)

    def _reach(self, longest: int) -> int:
        """Largest offset that the search can find, pixels; ``longest`` is the longer side of the match."""
        config = getattr(self.model, "config", None)
        if config is None:
            return 0
        coarsest = max(config.match_levels)
        levels = [
            config.radii[2] if level == coarsest else config.radii[level] for level in config.match_levels
        ]
        reach = sum(radius << level for radius, level in zip(levels, config.match_levels, strict=True))
        while config.reach and longest > config.reach:
            longest = -(-longest // 2)
            # Halved pictures are not searched at their finest level; two levels of the second radius follow.
            reach = 2 * (reach - config.radii[0]) + config.radii[1] * (2 + 4) + config.radii[0]
        return int(reach * config.stride)


def _fingerprint(model: torch.nn.Module) -> str:
    """SHA-256 of all names and values of the model's state."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
