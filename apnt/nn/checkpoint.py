"""Trained networks as one safetensors file each, with the configuration in its header. No pickle is read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from apnt import defaults
from apnt.errors import InputError
from apnt.io.files import write_bytes
from apnt.io.inputs import check_regular, is_path
from apnt.io.names import as_text
from apnt.nn.config import APNTConfig, Config
from apnt.packaged import PACKAGED, packaged

FILE = "model.safetensors"
KEY = "apnt_config"
NETWORK = "network"
"""Key in a configuration, in a file's header as in a recipe, of the network's name."""
OURS = "apnt"
_LONGEST = 65_536  # characters of a configuration, of which some hundred are usual

ConfigT = TypeVar("ConfigT", bound=Config)


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
            f"like 'owner/name', got {text!r}, which {'does not exist' if is_path(path) else 'is none'}"
        )
    return None


def packaged_for(network: str) -> Path | None:
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


def read(
    path: Path, shapes_of: Callable[[APNTConfig], Mapping[str, Tensor]] | None = None
) -> tuple[APNTConfig, dict[str, Tensor]]:
    """Read a checkpoint of APNT-Fusion; its header alone until its tensors are found to be right.

    Args:
        path: a safetensors file of :func:`write`.
        shapes_of: state dict of the network of a configuration, of which the shapes count (tensors on the
            meta device hold no numbers); None compares none.

    Returns:
        The configuration of the network, and its weights by their names, float32 on the CPU.

    Raises:
        InputError: not a safetensors file, not a checkpoint of apnt or of another network, one with an
            unusable configuration, or with other tensors than those of its network.
    """
    return read_as(path, OURS, APNTConfig, shapes_of)


def read_as(
    path: Path,
    network: str,
    config_type: type[ConfigT],
    shapes_of: Callable[[ConfigT], Mapping[str, Tensor]] | None = None,
) -> tuple[ConfigT, dict[str, Tensor]]:
    """:func:`read` for the checkpoint of any network.

    Args:
        path: a safetensors file of :func:`write`.
        network: the name that was written.
        config_type: of its configuration.
        shapes_of: as for :func:`read`.
    """
    try:
        with _opened(path) as file:
            config = _config(file.metadata() or {}, path, network, config_type)
            names = list(file.keys())
            if shapes_of is not None:
                found = {name: tuple(file.get_slice(name).get_shape()) for name in names}
                check_shapes(found, shapes_of(config), path)
            return config, {name: file.get_tensor(name).float() for name in names}
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"weights must be a safetensors file, and {path} is not one: {error}") from error


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A safetensors file of any name."""
    with as_text(check_regular(path, "weights")) as name, safetensors.safe_open(name, framework="pt") as file:
        yield file


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All of a safetensors file of any name, whoever wrote it."""
    with as_text(path) as name:
        return load_file(name)


def shapes_of(network: Callable[[ConfigT], nn.Module], config: ConfigT) -> dict[str, Tensor]:
    """The state dict of a network that is never filled with numbers."""
    with torch.device("meta"):
        return network(config).state_dict()


def network_of(path: Path) -> str | None:
    """The network that a checkpoint is of; None for a file that is no checkpoint of apnt."""
    try:
        with _opened(path) as file:
            return _network(_values(file.metadata() or {}, path))
    except (safetensors.SafetensorError, OSError, InputError):
        return None


def described(config: Config, network: str = OURS) -> dict[str, Any]:
    """A configuration with the name of its network, as a dictionary; ours goes without a name."""
    name = {} if network == OURS else {NETWORK: network}
    return {**name, **asdict(config)}  # type: ignore[call-overload]


def _network(values: Any) -> str:
    return str(values.get(NETWORK, OURS)) if isinstance(values, dict) else OURS


def _config(header: Mapping[str, str], path: Path, network: str, config_type: type[ConfigT]) -> ConfigT:
    values = _values(header, path)
    found = _network(values)
    if found != network:
        raise InputError(
            f"weights must be of {network}, and {path} holds those of {found[:80]}: name that as the method"
        )
    try:
        if isinstance(values, dict):
            values = {key: value for key, value in values.items() if key != NETWORK}
        return config_type.from_dict(values)
    except InputError as error:
        raise _unusable(path, error) from error


def _values(header: Mapping[str, str], path: Path) -> Any:
    """What the header says of the network."""
    if KEY not in header:
        raise InputError(f"weights must be a checkpoint of apnt, and {path} carries no configuration {KEY!r}")
    text = header[KEY]
    if len(text) > _LONGEST:
        raise _unusable(path, f"it has {len(text)} characters, more than {_LONGEST}")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # broken and nested JSON
        raise _unusable(path, error) from error


def _unusable(path: Path, why: object) -> InputError:
    return InputError(f"weights must carry a usable configuration, and {path} does not: {why}")


def check_shapes(
    found: Mapping[str, tuple[int, ...]],
    expected: Mapping[str, Tensor],
    path: Path,
    what: str = "the configuration in their file",
) -> None:
    """Refuse weights that do not fit the network that they are for.

    Args:
        found: shapes of the weights in the file.
        expected: the state dict of that network.
        path: of the file, for the message.
        what: they must fit, for the message.

    Raises:
        InputError: a tensor is missing, unknown, or of another shape.
    """
    shapes = {key: tuple(value.shape) for key, value in expected.items()}
    wrong = sorted(key for key in shapes.keys() | found.keys() if shapes.get(key) != found.get(key))
    if wrong:
        first = wrong[0]
        raise InputError(
            f"weights must fit {what}; in {path} {len(wrong)} tensors do not, the first {first!r}: expected "
            f"{shapes.get(first, 'no such tensor')}, got {found.get(first, 'none')}"
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
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    content = _in_order(to_bytes(tensors, note))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)


def _in_order(content: bytes) -> bytes:
    """The same safetensors file with a sorted header: the library writes the notes in an order of chance."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    notes = header.pop("__metadata__", None)
    ordered = ({"__metadata__": dict(sorted(notes.items()))} if notes else {}) | dict(sorted(header.items()))
    text = json.dumps(ordered, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the format wants its tensors aligned
    return len(text).to_bytes(8, "little") + text + content[8 + size :]
