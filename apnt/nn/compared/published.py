"""Weights as others publish them, for the compared networks: plain tensors, renamed. No pickle is read.

Formats: ``.safetensors``, ``.npz`` (without objects), and PyTorch's files of a state dict.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from torch import Tensor

from apnt.errors import InputError
from apnt.nn.checkpoint import read_tensors

_YAN19 = {
    "conv1": "features",
    "att11": "gate_short.first",
    "att12": "gate_short.second",
    "att31": "gate_long.first",
    "att32": "gate_long.second",
    "conv2": "merge",
    "GFF_1x1": "squeeze",
    "GFF_3x3": "refine",
    "conv_up": "expand",
    "conv3": "head",
}
_YAN19_UNUSED = ("attConv1.", "attConv3.")
"""Convolutions of the authors' class that its forward pass does not call."""

_WU18_HALVES = {"1": "first", "2": "second"}
_WU18: dict[str, Callable[[re.Match[str]], str]] = {
    r"encoder(\d)/g_e1_conv": lambda m: f"encoders.{int(m[1]) - 1}.first.conv",
    r"encoder(\d)/g_e2_conv": lambda m: f"encoders.{int(m[1]) - 1}.second.conv",
    r"encoder(\d)/g_e2_bn": lambda m: f"encoders.{int(m[1]) - 1}.second.norm",
    r"merger/g_e3_conv": lambda m: "merger.conv",
    r"merger/g_e3_bn": lambda m: "merger.norm",
    r"merger/g_r(\d)_c([12])": lambda m: f"blocks.{int(m[1]) - 1}.{_WU18_HALVES[m[2]]}.conv",
    r"merger/g_r(\d)_bn([12])": lambda m: f"blocks.{int(m[1]) - 1}.{_WU18_HALVES[m[2]]}.norm",
    r"decoder/g_d(\d)": lambda m: f"up{m[1]}.conv",
    r"decoder/g_d(\d)_bn": lambda m: f"up{m[1]}.norm",
    r"decoder/g_d_out_conv": lambda m: "head.conv",
}
_WU18_PARTS = {
    "w": "weight",
    "biases": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


_MARKS = {"yan19": r"(module\.)?att11\.weight", "wu18": r"(generator/)?merger/g_e3_conv/w(:0)?"}
_KALANTARI17 = re.compile(r"layers\.[0-3]\.(weight|bias)")


def published_network(path: Path) -> str | None:
    """The network whose published names the tensors of a file have; None for another file."""
    try:
        return _network_of(_read(path))
    except InputError:
        return None


def _network_of(names: Iterable[str]) -> str | None:
    names = list(names)
    for network, mark in _MARKS.items():
        if any(re.fullmatch(mark, name) for name in names):
            return network
    return "kalantari17" if names and all(map(_KALANTARI17.fullmatch, names)) else None


def read_published(name: str, path: Path) -> dict[str, Tensor]:
    """Weights of a compared network under this package's names, float32.

    Args:
        name: ``"yan19"``: the state dict of the authors' class; ``"wu18"``: TensorFlow's variables by their
            names (``tf.train.load_checkpoint`` reads them, ``numpy.savez`` writes them);
            ``"kalantari17"``: ``layers.K.weight`` and ``layers.K.bias``, K from 0 to 3, (out, in, H, W).
        path: of the file.

    Raises:
        InputError: another format, or names that are not that network's.
    """
    tensors = _read(path)
    found = _network_of(tensors)
    if found not in (name, None):
        raise InputError(
            f"weights must be of {name}, and {path} holds those of {found}: name that as the method"
        )
    state = {}
    for key, value in tensors.items():
        new = renamed(name, key, value)
        if new is not None:
            state[new[0]] = new[1].float().contiguous()
    if not state:
        raise InputError(f"weights must be of {name}, and {path} holds no tensor with one of its names")
    return state


def renamed(name: str, key: str, value: Tensor) -> tuple[str, Tensor] | None:
    """A published tensor under this package's name and in PyTorch's order of axes; None for one not used."""
    return _RENAME[name](key, value)


def _read(path: Path) -> dict[str, Tensor]:
    """Tensors by the names in the file."""
    try:
        if path.suffix == ".safetensors":
            return read_tensors(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return {key: torch.from_numpy(file[key]) for key in file.files}
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (
        OSError,
        ValueError,
        TypeError,
        RuntimeError,
        EOFError,
        zipfile.BadZipFile,
        safetensors.SafetensorError,
    ) as error:
        raise InputError(f"weights must be plain tensors, and {path} could not be read: {error}") from error
    except Exception as error:  # pickle's errors: torch refuses whatever is more than tensors
        global_ = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))
        what = "something else" if global_ is None else global_[1]
        raise InputError(
            f"weights must be plain tensors, and {path} also holds {what}, which is never run: keep the "
            "state dict alone"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"weights must be a dictionary of tensors, and {path} is not")
    return {str(key): value for key, value in content.items()}


def _yan19(key: str, value: Tensor) -> tuple[str, Tensor] | None:
    key = key.removeprefix("module.")  # of networks that were trained on several GPUs
    if key.startswith(_YAN19_UNUSED):
        return None
    layer, _, part = key.rpartition(".")
    block = re.fullmatch(r"RDB(\d)\.(?:dense_layers\.(\d)\.conv|conv_1x1)", layer)
    if block is None:
        return f"{_YAN19.get(layer, layer)}.{part}", value
    inner = "squeeze" if block[2] is None else f"layers.{block[2]}"
    return f"blocks.{int(block[1]) - 1}.{inner}.{part}", value


def _wu18(key: str, value: Tensor) -> tuple[str, Tensor] | None:
    scope, _, part = key.removesuffix(":0").rpartition("/")
    scope = scope.removeprefix("generator/")
    if part not in _WU18_PARTS:  # the optimiser's
        return None
    for pattern, place in _WU18.items():
        found = re.fullmatch(pattern, scope)
        if found is not None:
            # TensorFlow's kernels are (H, W, in, out), of transposed convolutions (H, W, out, in).
            return f"{place(found)}.{_WU18_PARTS[part]}", value.permute(
                3, 2, 0, 1
            ) if value.ndim == 4 else value
    return None


def _kalantari17(key: str, value: Tensor) -> tuple[str, Tensor] | None:
    return key, value


_RENAME = {"yan19": _yan19, "wu18": _wu18, "kalantari17": _kalantari17}
