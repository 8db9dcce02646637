"""The compared networks by name, and how one is made, read and recognised."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from apnt.errors import InputError
from apnt.nn import checkpoint
from apnt.nn.compared.base import ComparedConfig, ComparedNetwork
from apnt.nn.compared.kalantari17 import Kalantari17
from apnt.nn.compared.published import read_published
from apnt.nn.compared.wu18 import Wu18
from apnt.nn.compared.yan19 import Yan19
from apnt.nn.config import APNTConfig, Config

NETWORKS: dict[str, type[ComparedNetwork[Any]]] = {
    network.name: network for network in (Kalantari17, Wu18, Yan19)
}


def network_config(values: dict[str, Any]) -> Config:
    """The configuration in a recipe's table ``model``, of the network that its key ``network`` names.

    Without that key it is ours.

    Raises:
        InputError: no such network, or fields that it does not have.
    """
    fields = dict(values)
    name = fields.pop(checkpoint.NETWORK, checkpoint.OURS)
    if name == checkpoint.OURS:
        return APNTConfig.from_dict(fields)
    if name not in NETWORKS:
        raise InputError(f"network must be one of {[checkpoint.OURS, *NETWORKS]}, got {name!r}")
    return NETWORKS[name].config_type.from_dict(fields)


def build(config: ComparedConfig) -> ComparedNetwork[Any]:
    """A fresh network of a configuration."""
    return next(n for n in NETWORKS.values() if n.config_type is type(config))(config)


def read_network(name: str, path: Path) -> ComparedNetwork[Any]:
    """A trained network, in evaluation mode.

    Args:
        name: of :data:`NETWORKS`.
        path: a checkpoint of ``apnt train``, or weights as they were published.

    Raises:
        InputError: weights of another network, or in a format that is not read.
    """
    kind = NETWORKS[name]
    if checkpoint.network_of(path) is None:
        network = kind()
        # Batch normalisation's counter is no weight, and published files lack it.
        own = network.state_dict()
        counters = {key: value for key, value in own.items() if key.endswith("num_batches_tracked")}
        state = {**counters, **read_published(name, path)}
        found = {key: tuple(value.shape) for key, value in state.items()}
        checkpoint.check_shapes(found, own, path, f"{name} as it was published")
    else:
        config, state = checkpoint.read_as(path, name, kind.config_type, partial(checkpoint.shapes_of, kind))
        network = kind(config)
    network.load_state_dict(state)
    return network.eval()
