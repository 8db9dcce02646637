"""APNT-Fusion, the network of this package, as a method beside the others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from apnt.bracket import Bracket
from apnt.device import choose_device, use_bf16, warn_of_slow_bf16
from apnt.methods.large import fuse_at_once, fuse_large
from apnt.methods.registry import METHODS, Maps, Method, Options, Watch
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
    if bf16:
        warn_of_slow_bf16(device)
    details = {
        "weights": str(options.weights),
        "state_sha256": _fingerprint(model),
        "device": str(device),
        "precision": "bf16" if bf16 else "fp32",
    }
    # Convolutions on a CPU take two thirds of the time with channels last.
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    dtype = torch.bfloat16 if bf16 else torch.float32
    return method_of(model, device, dtype, details, name, options.memory, options.watch)


def load_network(weights: str | Path) -> APNTFusion:
    """The network as it is run, in evaluation mode; ``weights`` as in :func:`apnt.fuse`."""
    return APNTFusion.from_pretrained(weights)


def method_of(
    model: torch.nn.Module,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    details: dict[str, str] | None = None,
    name: str = OURS,
    memory: int | None = None,
    watch: Watch | None = None,
) -> Method:
    """A network as a method.

    Args:
        model: a network that takes ``(1, 3, 3, H, W)`` exposures, short to long, and ``(1, 3)`` relative
            times, and returns ``(1, 3, H, W)`` radiance.
        device: where the network lies.
        dtype: of autocast; float32 stands for none.
        details: see :class:`Method`.
        name: of the method; ours can also tell what it saw.
        memory, watch: see :class:`apnt.methods.Options`; of our network alone.
    """

    def run(bracket: Bracket, maps: bool) -> tuple[np.ndarray, Maps | None]:
        with _evaluating(model, device, dtype):
            if isinstance(model, APNTFusion):
                return fuse_large(model, bracket, device, memory, watch, maps)
            return fuse_at_once(model, bracket, device, maps)

    def fuse(bracket: Bracket) -> np.ndarray:
        return run(bracket, False)[0]

    def explain(bracket: Bracket) -> tuple[np.ndarray, Maps]:
        image, maps = run(bracket, True)
        assert maps is not None
        return image, maps

    ours = name == OURS
    merges = ours and isinstance(model, APNTFusion) and model.config.merge
    return Method(
        METHODS[name].title, fuse, details or {}, explain if ours else None, frames=3, merges=merges
    )


@contextmanager
def _evaluating(model: torch.nn.Module, device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """The network in evaluation mode, without gradients, in the number format; as it was afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            yield
    finally:
        model.train(training)


def _fingerprint(model: torch.nn.Module) -> str:
    """SHA-256 of all names and values of the model's state."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
