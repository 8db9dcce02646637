"""Trained networks as one safetensors file each, with the configuration in its header. No pickle is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import safetensors
from safetensors.torch import save as to_bytes
from torch import Tensor

from apnt import defaults
from apnt.errors import InputError
from apnt.io.files import write_bytes
from apnt.nn.config import APNTConfig, Config

FILE = "model.safetensors"
PACKAGED = Path(__file__).parent.parent / "weights"
KEY = "apnt_config"
NETWORK = "network"
"""Key in a configuration, in a file's header as in a recipe, of the network's name."""
OURS = "apnt"

ConfigT = TypeVar("ConfigT", bound=Config)


def find(name: str | Path) -> Path | None:
    """The local file that ``name`` means: packaged, a file or a folder; None where it may be a Hub id.

    Raises:
        InputError: no such weights, and not the form of a Hub id.
    """
    known = {p.stem: p for p in PACKAGED.glob("*.safetensors")}
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


def packaged(network: str) -> Path | None:
    """The weights of a network that come with the package; None where there are none."""
    path = PACKAGED / f"{defaults.WEIGHTS if network == OURS else network}.safetensors"
    return path if path.is_file() else None


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
    """Read a checkpoint of APNT-Fusion.

    Args:
        path: a safetensors file of :func:`write`.

    Returns:
        The configuration of the network, and its weights by their names, float32 on the CPU.

    Raises:
        InputError: not a safetensors file, not a checkpoint of apnt or of another network, or one with an
            unusable configuration.
    """
    return read_as(path, OURS, APNTConfig)


def read_as(path: Path, network: str, config_type: type[ConfigT]) -> tuple[ConfigT, dict[str, Tensor]]:
    """:func:`read` for the checkpoint of any network.

    Args:
        path: a safetensors file of :func:`write`.
        network: the name that was written.
        config_type: of its configuration.
    """
    values, state = _read(path)
    found = _network(values)
    if found != network:
        raise InputError(
            f"weights must be of {network}, and {path} holds those of {found}: name that as the method"
        )
    try:
        if isinstance(values, dict):
            values = {key: value for key, value in values.items() if key != NETWORK}
        return config_type.from_dict(values), state
    except InputError as error:
        raise InputError(
            f"weights must carry a usable configuration, and {path} does not: {error}"
        ) from error


def network_of(path: Path) -> str | None:
    """The network that a checkpoint is of; None for a file that is no checkpoint of apnt."""
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            values = json.loads((file.metadata() or {})[KEY])
    except (safetensors.SafetensorError, OSError, KeyError, ValueError):
        return None
    return _network(values)


def described(config: Config, network: str = OURS) -> dict[str, Any]:
    """A configuration with the name of its network, as a dictionary; ours goes without a name."""
    name = {} if network == OURS else {NETWORK: network}
    return {**name, **asdict(config)}  # type: ignore[call-overload]


def _network(values: Any) -> str:
    return str(values.get(NETWORK, OURS)) if isinstance(values, dict) else OURS


def _read(path: Path) -> tuple[Any, dict[str, Tensor]]:
    """What the header says of the network, and the weights."""
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            state = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"weights must be a safetensors file, and {path} is not one: {error}") from error
    if KEY not in header:
        raise InputError(f"weights must be a checkpoint of apnt, and {path} carries no configuration {KEY!r}")
    try:
        return json.loads(header[KEY]), state
    except ValueError as error:
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


def write(
    path: Path,
    config: Config,
    state: Mapping[str, Tensor],
    note: dict[str, str] | None = None,
    network: str = OURS,
) -> None:
    """Write weights and configuration; an existing file is replaced in one step or left whole.

    Args:
        path: of the file.
        config: of the network.
        state: its state dict.
        note: further entries of the file's header.
        network: its name.
    """
    write_tensors(state, path, {KEY: json.dumps(described(config, network)), **(note or {})})


def write_tensors(state: Mapping[str, Tensor], path: Path, note: dict[str, str] | None = None) -> None:
    """Write a safetensors file with a note in its header; an existing one is replaced whole or not at all."""
    content = to_bytes({key: value.detach().cpu().contiguous() for key, value in state.items()}, note)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
