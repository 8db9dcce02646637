"""Trained networks as one safetensors file each, with the configuration in its header. No pickle is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
from safetensors.torch import save as to_bytes
from torch import Tensor

from apnt.errors import InputError
from apnt.io.files import write_bytes
from apnt.nn.config import APNTConfig
from apnt.nn.features import VGG19Features

if TYPE_CHECKING:
    from apnt.nn.apnt import APNTFusion

FILE = "model.safetensors"
PACKAGED = Path(__file__).parent.parent / "weights"
KEY = "apnt_config"


def find(name: str | Path) -> Path | None:
    """The local file that ``name`` means: packaged, a file or a folder; None where it may be a Hub id."""
    known = {p.stem: p for p in PACKAGED.glob("*.safetensors")}
    if str(name) in known:  # whatever else lies in the current folder under this name
        return known[str(name)]
    path = Path(name)
    if path.is_dir():
        if not (path / FILE).is_file():  # and no Hub id, whatever its name looks like
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
    """Fetch ``owner/name`` from the Hugging Face Hub."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(name, FILE, **options))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"weights must be a file, a packaged name or a repository on the Hub with {FILE}; "
            f"{name!r} could not be fetched: {error}"
        ) from error


def load(kind: type[APNTFusion], path: Path) -> APNTFusion:
    """Build the network that a checkpoint describes, with its weights, in evaluation mode."""
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            state = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"weights must be a safetensors file, and {path} is not one: {error}") from error
    if KEY not in header:
        raise InputError(f"weights must be a checkpoint of apnt, and {path} carries no configuration {KEY!r}")
    try:
        network = kind(APNTConfig.from_dict(json.loads(header[KEY])))
    except ValueError as error:  # InputError and broken JSON
        raise InputError(
            f"weights must carry a usable configuration, and {path} does not: {error}"
        ) from error
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state.items()}
    if expected != found:
        wrong = sorted(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k))
        first = wrong[0]
        raise InputError(
            f"weights must fit the configuration in their file; in {path} {len(wrong)} tensors do not, "
            f"the first {first!r}: expected {expected.get(first)}, got {found.get(first)}"
        )
    network.load_state_dict(state)
    return network.eval()


def save(network: APNTFusion, path: Path, note: dict[str, str] | None = None) -> None:
    """Write weights and configuration; an existing file is replaced in one step or left whole."""
    if (
        isinstance(getattr(network, "match_features", None), VGG19Features)
        and not network.match_features.loaded
    ):
        raise InputError("network must have VGG19's weights before it is saved: call load_vgg19 first")
    write_tensors(network.state_dict(), path, {KEY: json.dumps(asdict(network.config)), **(note or {})})


def write_tensors(state: Mapping[str, Tensor], path: Path, note: dict[str, str] | None = None) -> None:
    """Write a safetensors file with a note in its header; an older one is replaced whole or not at all."""
    code = to_bytes({key: value.detach().cpu().contiguous() for key, value in state.items()}, note)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, code)
