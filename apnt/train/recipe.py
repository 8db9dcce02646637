"""Training recipes: what ``apnt train --config FILE.toml`` reads."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_type_hints

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from apnt.data.synthetic import BracketRecipe
from apnt.errors import InputError
from apnt.nn import APNTConfig

T = TypeVar("T", bound="FeatureRecipe | NetworkRecipe | BracketRecipe")


@dataclass(frozen=True)
class FeatureRecipe:
    """Training of the matching features (:mod:`apnt.train.features`)."""

    steps: int = 1200
    batch: int = 4
    crop: int = 192
    lr: float = 2e-3
    seed: int = 1
    brackets: BracketRecipe = field(
        default_factory=lambda: BracketRecipe(camera=0.8, shift=20.0, object_speed=(2.0, 30.0))
    )


@dataclass(frozen=True)
class NetworkRecipe:
    """Training of the network (:mod:`apnt.train.network`).

    Attributes:
        steps, minutes: the run, and with it the decay of the learning rate, ends at whichever comes first.
        batch, crop: brackets a step and their side in pixels.
        lr, warmup, clip: Adam's peak rate, the steps up to it, the largest gradient norm.
        average: decay of the weights' moving average, which is what is kept.
        l2_weight: of the squared error beside eq. 16's L1.
        precision: ``"fp32"``, ``"bf16"``, or ``"auto"``: bf16 where the processor computes in it.
        workers: processes that make brackets.
        save_minutes: how often the state of the run is saved.
    """

    steps: int = 10000
    minutes: float | None = None
    batch: int = 4
    crop: int = 128
    lr: float = 5e-4
    warmup: int = 200
    clip: float = 1.0
    average: float = 0.999
    l2_weight: float = 0.0
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    workers: int = 1
    save_minutes: float = 5.0
    seed: int = 2
    brackets: BracketRecipe = field(default_factory=BracketRecipe)


@dataclass(frozen=True)
class Recipe:
    """One file: the network's configuration and how its two parts are trained."""

    model: APNTConfig
    features: FeatureRecipe
    network: NetworkRecipe


def read_recipe(path: str | Path) -> Recipe:
    """Read a TOML recipe with the tables ``model``, ``features`` and ``network``, each optional.

    Raises:
        InputError: no such file, no TOML, or a key that does not exist.
    """
    path = Path(path)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"config must be a readable TOML file, and {path} is not one: {error}") from error
    unknown = sorted(set(tables) - {f.name for f in fields(Recipe)})
    if unknown:
        raise InputError(f"config must hold the tables model, features, network, got the unknown {unknown}")
    return Recipe(
        model=APNTConfig.from_dict(tables.get("model", {})),
        features=_build(FeatureRecipe(), "features", tables.get("features", {})),
        network=_build(NetworkRecipe(), "network", tables.get("network", {})),
    )


def _build(base: T, table: str, values: dict[str, Any]) -> T:
    known = {f.name for f in fields(base)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise InputError(f"config table {table} must hold {sorted(known)}, got the unknown {unknown}")
    # What a table leaves out keeps the value it has in this recipe, not in its type.
    changes = {}
    for key, value in values.items():
        before = getattr(base, key)
        if isinstance(before, BracketRecipe) and isinstance(value, dict):
            value = _build(before, f"{table}.{key}", value)
        elif isinstance(before, tuple) and isinstance(value, list) and value and all(map(_is_number, value)):
            value = tuple(value)
        elif isinstance(before, str):
            allowed = get_args(get_type_hints(type(base))[key])
            if value not in allowed:
                raise InputError(
                    f"{key} in config table {table} must be one of {list(allowed)}, got {value!r}"
                )
        elif (
            isinstance(before, tuple) or not _is_number(value) or (type(before) is int) > (type(value) is int)
        ):
            raise InputError(f"{key} in config table {table} must be like {before!r}, got {value!r}")
        changes[key] = value
    return replace(base, **changes)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
