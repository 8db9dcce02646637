"""Trained networks as one safetensors file each, with the configuration in its header. No pickle is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save as to_bytes
from torch import Tensor

from apnt.errors import InputError
from apnt.io.files import write_bytes
from apnt.nn.config import APNTConfig

FILE = "model.safetensors"
PACKAGED = Path(__file__).parent.parent / "weights"
KEY = "apnt_config"


def packaged() -> dict[str, Path]:
    """The files of the packaged weights by their names."""
    return {path.stem: path for path in PACKAGED.glob("*.safetensors")}


def find(name: str | Path) -> Path | None:
    """The local file that ``name`` means: packaged, a file or a folder; None where it may be a Hub id.

    Raises:
        InputError: no such weights, and not the form of a Hub id.
    """
    known = packaged()
    if str(name) in known:  # a file of the same name in the current folder does not count
        return known[str(name)]
    path = Path(name)
    if path.is_dir():
        if not (path / FILE).is_file():  # a folder is never a Hub id, whatever its name
            raise InputError(f"weights must be a folder with {FILE}, and {path} has none")
        return path / FILE
    if path.is_file():
        return path
    text = str(name)
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", text) or text.endswith(".safetensors"):
        raise InputError(
            f"weights must be one of {sorted(known)}, a .safetensors file, a folder with {FILE}, or a Hub id "
            f"like 'owner/name', got {text!r}, which is none"
        )
    return None


def download(name: str, **options: Any) -> Path:
    """Fetch ``owner/name`` from the Hugging Face Hub.

    Args:
        name: id of the repository.
        options: of ``huggingface_hub.hf_hub_download``.

    Raises:
        InputError: no such repository, no such file in it, or no connection.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(name, FILE, **options))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"weights must be a file, a packaged name or a repository on the Hub with {FILE}; "
            f"{name!r} could not be fetched: {error}"
        ) from error


def read(path: Path) -> tuple[APNTConfig, dict[str, Tensor]]:
    """Read a checkpoint.

    Args:
        path: a safetensors file of :func:`write`.

    Returns:
        The configuration of the network, and its weights by their names, float32 on the CPU.

    Raises:
        InputError: not a safetensors file, not a checkpoint of apnt, or one with an unusable configuration.
    """
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            state = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"weights must be a safetensors file, and {path} is not one: {error}") from error
    if KEY not in header:
        raise InputError(f"weights must be a checkpoint of apnt, and {path} carries no configuration {KEY!r}")
    try:
        return APNTConfig.from_dict(json.loads(header[KEY])), state
    except ValueError as error:  # InputError and broken JSON
        raise InputError(
            f"weights must carry a usable configuration, and {path} does not: {error}"
        ) from error


def check_shapes(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights that do not fit the network of their own configuration.

    Args:
        state: the weights in the file.
        expected: the state dict of the network that the file's configuration describes.
        path: of the file, for the message.

    Raises:
        InputError: a tensor is missing, unknown, or of another shape.
    """
    found_shapes = {key: tuple(value.shape) for key, value in state.items()}
    expected_shapes = {key: tuple(value.shape) for key, value in expected.items()}
    keys = expected_shapes.keys() | found_shapes.keys()
    wrong = sorted(key for key in keys if expected_shapes.get(key) != found_shapes.get(key))
    if wrong:
        first = wrong[0]
        raise InputError(
            f"weights must fit the configuration in their file; in {path} {len(wrong)} tensors do not, "
            f"the first {first!r}: expected {expected_shapes.get(first)}, got {found_shapes.get(first)}"
        )


def fit(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Weights of one network as a start for another that is like it or wider.

    A tensor of the same name and shape is taken; one that is smaller is taken with zeros behind it, so that
    further inputs and outputs begin without effect; everything else stays as it is in ``expected``.

    Args:
        state: the weights at hand.
        expected: the state dict of the other network.

    Returns:
        A state dict of the other network, and a sentence for each tensor that was not simply taken.
    """
    result: dict[str, Tensor] = {}
    said: list[str] = []
    for key, fresh in expected.items():
        found = state.get(key)
        shapes = "none" if found is None else "x".join(map(str, found.shape))
        wanted = "x".join(map(str, fresh.shape))
        if found is None:
            said.append(f"{key} ({wanted}) is not in the file and begins anew")
        elif found.ndim != fresh.ndim or any(a > b for a, b in zip(found.shape, fresh.shape, strict=True)):
            said.append(f"{key} is {shapes} in the file and {wanted} here, and begins anew")
            found = None
        elif found.shape != fresh.shape:
            said.append(f"{key} was widened with zeros from {shapes} to {wanted}")
            wide = torch.zeros_like(fresh)
            wide[tuple(slice(n) for n in found.shape)] = found.to(fresh)
            found = wide
        result[key] = fresh if found is None else found.to(fresh)
    said += [f"{key} of the file has no place here and is left out" for key in state if key not in expected]
    return result, said


def write(
    path: Path, config: APNTConfig, state: Mapping[str, Tensor], note: dict[str, str] | None = None
) -> None:
    """Write weights and configuration; an existing file is replaced in one step or left whole.

    Args:
        path: of the file.
        config: of the network.
        state: its state dict.
        note: further entries of the file's header.
    """
    write_tensors(state, path, {KEY: json.dumps(asdict(config)), **(note or {})})


def write_tensors(state: Mapping[str, Tensor], path: Path, note: dict[str, str] | None = None) -> None:
    """Write a safetensors file with a note in its header; an existing one is replaced whole or not at all."""
    content = to_bytes({key: value.detach().cpu().contiguous() for key, value in state.items()}, note)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
