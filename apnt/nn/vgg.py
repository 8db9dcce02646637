"""VGG19's first five convolutions: fetched once, checked, and kept as a small safetensors file."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.request
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from apnt.errors import InputError
from apnt.nn.checkpoint import write_tensors
from apnt.nn.features import VGG19Features

URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
SHA256 = "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44"
KEYS = tuple(
    f"features.{index}.{kind}" for index, _, _ in VGG19Features.CONVOLUTIONS for kind in ("weight", "bias")
)


def vgg19_state(path: str | Path | None = None, *, url: str = URL, sha256: str = SHA256) -> dict[str, Tensor]:
    """The five convolutions up to relu3_1 under torchvision's names.

    Args:
        path: a local file that holds them: PyTorch's ``.pth``, or ``.npz`` or ``.safetensors`` with the same
            names. None takes the cache, ``$APNT_CACHE`` or ``~/.cache/apnt``, and fills it from ``url`` (575
            MB, of which 2 MB are kept).
        url, sha256: where PyTorch publishes the file, and what it must hash to.

    Raises:
        InputError: the file is missing, unreadable or incomplete, the download fails, or its hash is wrong.
    """
    if path is not None:
        return _read(Path(path))
    cache = Path(os.environ.get("APNT_CACHE") or Path.home() / ".cache" / "apnt")
    kept = cache / f"vgg19-{sha256[:8]}-relu3_1.safetensors"
    if not kept.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        download = cache / f".vgg19.{os.getpid()}.pth"
        try:
            _fetch(url, sha256, download)
            write_tensors(_read(download), kept)
        finally:
            download.unlink(missing_ok=True)
    return _read(kept)


def _fetch(url: str, sha256: str, path: Path) -> None:
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=60) as response, path.open("wb") as file:
            while block := response.read(1 << 20):
                digest.update(block)
                file.write(block)
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
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        missing = [key for key in KEYS if key not in state]
    except Exception as error:  # three formats, each with errors of its own
        raise InputError(
            f"VGG19's weights must be .pth, .npz or .safetensors, and {path} is not: {error}"
        ) from error
    if missing:
        raise InputError(f"VGG19's weights must hold {list(KEYS)}, and {path} lacks {missing}")
    return {key: state[key].clone() for key in KEYS}
