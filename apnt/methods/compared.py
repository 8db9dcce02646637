"""The networks that APNT-Fusion is compared with, as methods; they lie in :mod:`apnt.nn.compared`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from apnt import defaults
from apnt.device import choose_device
from apnt.errors import InputError
from apnt.methods.network import ready
from apnt.methods.registry import Method, Options
from apnt.nn import checkpoint
from apnt.nn.compared.registry import read_network


def _load(name: str, options: Options) -> Method:
    """A compared network with its weights, or the one that is given, for brackets of three frames.

    Raises:
        InputError: no weights, those of another network, no such device or precision.
    """
    device = choose_device(options.device, options.model)
    model = options.model or read_network(name, _file(name, options.weights))
    return ready(name, model, device, options)


def _file(name: str, weights: str | Path) -> Path:
    """The file with the weights: the packaged one where there is one and none is given."""
    if str(weights) == defaults.WEIGHTS:
        packaged = checkpoint.packaged_for(name)
        if packaged is None:
            raise InputError(
                f"weights of {name} must be given, for none are packaged: make them with "
                f"'apnt train --config configs/{name}.toml --data DIR --out RUN', which takes a folder of "
                "radiance maps or captured brackets, and name RUN as weights"
            )
        return packaged
    return checkpoint.find(weights) or checkpoint.download(str(weights))


load_kalantari17 = partial(_load, "kalantari17")
load_wu18 = partial(_load, "wu18")
load_yan19 = partial(_load, "yan19")
