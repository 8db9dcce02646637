"""Several methods ready to run, each network with the weights that are its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from apnt import defaults
from apnt.errors import InputError
from apnt.methods.registry import ALIASES, Method, Options, check_method, load_method


def load_methods(
    names: Iterable[str],
    weights: Sequence[str] = (defaults.WEIGHTS,),
    device: str | None = None,
    precision: str = "fp32",
) -> dict[str, Method]:
    """Make methods ready to run.

    Args:
        names: of :data:`apnt.methods.METHODS`, or other names of these.
        weights: of the networks among them, in any order: the header of a file, or the names of its tensors
            as they were published, say whose they are, and what neither says belongs to the only network
            that is named. A network that gets several is there once for each, one that gets none takes its
            packaged ones.
        device, precision: of the networks, see :class:`Options`.

    Returns:
        Name -> method; of a network with several weights ``NAME:WEIGHTS``.

    Raises:
        InputError: no such method, weights, device or precision, or weights of no network that is named.
    """
    names = list(dict.fromkeys(ALIASES.get(name, name) for name in names))
    owned = share(names, weights)
    loaded: dict[str, Method] = {}
    for name in names:
        own = owned.get(name) or [defaults.WEIGHTS]
        # The last part of a path tells the weights apart, unless two are alike.
        stems = [Path(each).name.removesuffix(".safetensors") for each in own]
        for each, stem in zip(own, stems, strict=True):
            method = load_method(name, Options(each, device, precision))
            if len(own) == 1:
                loaded[name] = method
                continue
            label = stem if stems.count(stem) == 1 else each
            loaded[f"{name}:{label}"] = replace(method, title=f"{method.title}, {label}")
    return loaded


def share(names: Sequence[str], weights: Sequence[str]) -> dict[str, list[str]]:
    """The weights that each network among the methods has got; arguments as for :func:`load_methods`."""
    if not weights:
        raise InputError("weights must name at least one set of weights, got none")
    owned: dict[str, list[str]] = {name: [] for name in names if check_method(name).has_weights}
    for each in dict.fromkeys(weights):
        owner = _owner(each, list(owned))
        if owner in owned:
            owned[owner].append(each)
        elif each != defaults.WEIGHTS:
            raise InputError(f"methods must name {owner}, of which the weights {each} are, got {list(names)}")
    return owned


def _owner(weights: str, with_weights: Sequence[str]) -> str:
    """The network that weights are of."""
    from apnt.nn import checkpoint  # torch: not before it is needed
    from apnt.nn.compared.published import published_network

    try:
        path = checkpoint.find(weights)
    except InputError:  # who loads them says it
        path = None
    found = None if path is None else checkpoint.network_of(path) or published_network(path)
    if found is not None:
        return found
    return with_weights[0] if len(with_weights) == 1 else checkpoint.OURS
