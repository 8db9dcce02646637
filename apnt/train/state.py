"""The state of a run on disk, from which it resumes as if it had never stopped. No pickle is read."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from apnt.errors import InputError
from apnt.io.files import make_folder, remove_stale, write_bytes
from apnt.text import reason

_FREE = {"steps", "minutes", "accumulate", "workers", "save_minutes", "log_steps", "validation"}
"""Fields of a recipe that may change when a run resumes: they alter neither samples nor losses."""


def prepare_folder(out: Path) -> None:
    """Make the folder of a run, and remove temporary files that a kill in the middle of a write has left.

    Raises:
        InputError: ``out`` is a file, or lies below one.
    """
    make_folder(out)
    remove_stale(out)


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors, plain values and containers of them; an older file is replaced whole or not at all."""
    content = io.BytesIO()  # torch's own writer ends in a RuntimeError of streams where the disk is full
    torch.save(state, content)
    write_bytes(path, content.getvalue())


def read_state(content: bytes, path: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """Read a file of :func:`write_state`.

    Args:
        content: of the file.
        path: of the file, for messages.
        identity: of the run, from :func:`identity_of`; the file's ``"identity"`` must equal it.

    Raises:
        InputError: not a state of a run, or of another run.
    """
    try:
        # weights_only: tensors and plain values, never code.
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        before = state["identity"]
        changed = sorted(k for k in identity.keys() | before.keys() if before.get(k) != identity.get(k))
    except Exception as error:  # torch raises half a dozen kinds for broken and foreign files
        raise InputError(
            f"out must hold an earlier state of this recipe, and {path} is not one: choose another folder, "
            f"or delete it to begin anew ({reason(error)})"
        ) from error
    if changed:
        was = ", ".join(f"{k} was {before.get(k)!r} and is {identity.get(k)!r}" for k in changed)
        raise InputError(
            f"out must hold an earlier state of this recipe, and that of {path} differs ({was}): choose "
            "another folder, or take the old recipe again"
        )
    return state


def identity_of(model: dict[str, Any], recipe: dict[str, Any]) -> dict[str, Any]:
    """Everything that must not change between two parts of a run.

    Args:
        model: the network's configuration as a dictionary.
        recipe: of the training, as a dictionary.
    """
    flat = {f"model.{key}": repr(value) for key, value in model.items()}
    return flat | {key: repr(value) for key, value in recipe.items() if key not in _FREE}


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's random numbers."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def random_state(device: torch.device) -> dict[str, Any]:
    """State of the random generators of Python, numpy, torch and, on a GPU, of the device."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": list(random.getstate()[1]),
        "python_gauss": random.getstate()[2],
        "numpy": torch.from_numpy(np.asarray(keys).astype(np.int64)),
        "numpy_rest": [str(kind), int(position), int(has_gauss), float(gauss)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Set the generators to a state that :func:`random_state` returned."""
    random.setstate((3, tuple(state["python"]), state["python_gauss"]))
    kind, position, has_gauss, gauss = state["numpy_rest"]
    np.random.set_state((kind, state["numpy"].numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
