"""VGG19's first five convolutions: downloaded once, checked, and cached as a small safetensors file."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.request
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from apnt.errors import InputError
from apnt.io.files import scratch_path
from apnt.nn.checkpoint import read_tensors, write_tensors
from apnt.nn.features import VGG19Features
from apnt.text import reason

URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
SHA256 = "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44"
_TIMEOUT = 60.0  # seconds without an answer
KEYS = tuple(
    f"features.{index}.{kind}" for index, _, _ in VGG19Features.CONVOLUTIONS for kind in ("weight", "bias")
)
_SHAPES = {
    f"features.{index}.{kind}": shape
    for index, inputs, outputs in VGG19Features.CONVOLUTIONS
    for kind, shape in (("weight", (outputs, inputs, 3, 3)), ("bias", (outputs,)))
}


def vgg19_state(path: str | Path | None = None, *, url: str = URL, sha256: str = SHA256) -> dict[str, Tensor]:
    """The five convolutions up to relu3_1 under torchvision's names.

    Args:
        path: a local file that holds them: PyTorch's ``.pth``, or ``.npz`` or ``.safetensors`` with the same
            names. None reads the cache, ``$APNT_CACHE`` or ``~/.cache/apnt``, and fills it from ``url``
            where it is empty (a download of 575 MB, of which 2 MB are cached).
        url, sha256: where PyTorch publishes the file, and its hash.

    Raises:
        InputError: the file is missing, unreadable or incomplete, the download fails, or its hash is wrong.
    """
    if path is not None:
        return _read(Path(path))
    cache = Path(os.environ.get("APNT_CACHE") or Path.home() / ".cache" / "apnt")
    cached = cache / f"vgg19-{sha256[:8]}-relu3_1.safetensors"
    if not cached.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with scratch_path(cache / "vgg19.pth") as downloaded:
            _download(url, sha256, downloaded)
            write_tensors(_read(downloaded), cached)
    return _read(cached)


def _download(url: str, sha256: str, path: Path) -> None:
    """Download a file over ``path`` and check its hash."""
    digest = hashlib.sha256()
    try:
        # Without a timeout a silent server would block for ever.
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, open(path, "wb") as file:
            while part := answer.read(1 << 20):
                digest.update(part)
                file.write(part)
    except (OSError, http.client.HTTPException) as error:
        raise InputError(
            f"VGG19's weights could not be fetched from {url}: {error}; fetch the file by other means and "
            "give its path, or use match_features='learned', which needs none"
        ) from error
    if digest.hexdigest() != sha256:
        raise InputError(f"VGG19's weights from {url} must have SHA-256 {sha256}, got {digest.hexdigest()}")


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"path of VGG19's weights must be a file, got {path}, which is none")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                state = {key: torch.from_numpy(arrays[key]) for key in arrays}
        elif path.suffix == ".safetensors":
            state = read_tensors(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        missing = [key for key in KEYS if key not in state]
    except Exception as error:  # three formats, each with errors of its own
        raise InputError(
            f"VGG19's weights must be .pth, .npz or .safetensors, and {path} is not: {reason(error)}"
        ) from error
    if missing:
        raise InputError(f"VGG19's weights must hold {list(KEYS)}, and {path} lacks {missing}")
    for key, shape in _SHAPES.items():
        found = state[key]
        if not isinstance(found, Tensor) or tuple(found.shape) != shape or not found.is_floating_point():
            what = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise InputError(
                f"VGG19's weights must hold floats {key} with shape {shape}, and {path} holds {what}"
            )
    return {key: state[key].clone() for key in KEYS}
