"""Training recipes: the TOML files of ``apnt train --config``."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_type_hints

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from apnt.data.crops import CropRecipe
from apnt.data.photographs import PhotographRecipe
from apnt.data.synthetic import BracketRecipe
from apnt.errors import InputError
from apnt.io.inputs import read_text
from apnt.nn.compared.registry import network_config
from apnt.nn.config import Config

T = TypeVar("T")


@dataclass(frozen=True)
class ToneRecipe:
    """Tone curves of cameras (:mod:`apnt.train.tone`).

    Attributes:
        probability: of a curve for a bracket; 0 leaves all frames on gamma 2.2.
        strength: of the curve that the frames share, see :func:`apnt.data.tone_curves.tone_curve`.
        residual: strength of a curve that each frame but the reference has for itself, before the shared one.
    """

    probability: float = 0.0
    strength: float = 0.5
    residual: float = 0.03

    def __post_init__(self) -> None:
        _between(self, ("probability",), 0, 1)
        _between(self, ("strength", "residual"), 0, 2)


@dataclass(frozen=True)
class ValidationRecipe:
    """Brackets on which the network is validated while it trains.

    Attributes:
        set: ``"train"``: brackets made like those of the training, with another seed, or those in the folder
            that is named beside the recipe; or the name of a set that ``apnt evaluate`` knows.
        brackets: how many of them.
        minutes, steps: between two validations; 0 = not by this measure. Both 0 = never.
    """

    set: str = "train"
    brackets: int = 4
    minutes: float = 0.0
    steps: int = 0

    def __post_init__(self) -> None:
        _at_least(self, ("brackets",), 1)
        _at_least(self, ("minutes", "steps"), 0)


@dataclass(frozen=True)
class LoopRecipe:
    """Fields that both trainings have (:mod:`apnt.train.loop`).

    Attributes:
        steps, minutes: the run and its learning rate schedule end at whichever comes first. A run that the
            clock ends cannot be repeated bit by bit.
        batch: brackets a step, over all processes.
        accumulate: number of parts in which a process computes its share of a step, to save memory.
        crop: side of a bracket, pixels.
        optimiser: ``"adam"`` (AdamW for the features), or ``"muon"`` (:class:`apnt.train.muon.Muon`).
        lr, clip: peak learning rate, and largest norm of the gradient; 0 does not clip.
        precision: ``"fp32"``, ``"bf16"``, ``"fp16"`` with scaled losses, or ``"auto"``: bf16 where the
            hardware computes in it.
        workers: processes that make brackets, for each process that trains.
        save_minutes: how often the state of the run is saved; 0 = after every step.
        log_steps: how often a line is logged.
        seed: of every random choice.
        brackets, tone: how brackets are made.
    """

    steps: int = 1000
    minutes: float | None = None
    batch: int = 4
    accumulate: int = 1
    crop: int = 128
    optimiser: Literal["adam", "muon"] = "adam"
    lr: float = 5e-4
    clip: float = 1.0
    precision: Literal["fp32", "bf16", "fp16", "auto"] = "fp32"
    workers: int = 1
    save_minutes: float = 5.0
    log_steps: int = 20
    seed: int = 1
    brackets: BracketRecipe = field(default_factory=BracketRecipe)
    tone: ToneRecipe = field(default_factory=ToneRecipe)

    def __post_init__(self) -> None:
        _at_least(self, ("steps", "batch", "accumulate", "log_steps"), 1)
        _at_least(self, ("crop",), 16)
        _at_least(self, ("clip", "workers", "save_minutes", "seed"), 0)
        if not self.lr > 0:
            raise InputError(f"lr must be positive, got {self.lr}")
        if self.minutes is not None and not self.minutes > 0:
            raise InputError(f"minutes must be positive, got {self.minutes}: leave it out for no limit")


@dataclass(frozen=True)
class FarRecipe:
    """Steps of the features' training whose brackets are larger, for long ways and large saturated areas.

    Attributes:
        every: of how many steps one is such; 0 = none.
        crop: side of a bracket, pixels.
        zoom: by which radiance maps are enlarged to have room for it.
        brackets: how they are made.
    """

    every: int = 0
    crop: int = 384
    zoom: float = 1.42
    brackets: BracketRecipe = field(default_factory=BracketRecipe)

    def __post_init__(self) -> None:
        _at_least(self, ("every",), 0)
        _at_least(self, ("crop",), 16)
        _between(self, ("zoom",), 1, 8)


@dataclass(frozen=True)
class FeatureRecipe(LoopRecipe):
    """Training of the matching features (:mod:`apnt.train.features`).

    Attributes:
        part: ``"flow"`` trains the flow of the matches alone (:class:`apnt.nn.flow.MatchFlow`), for features
            from ``init``; empty = all.
        init: features that it begins from, as ``apnt train --features`` takes them; empty = random weights.
        exposures: what the medium exposure is matched with: the short one alone, or the long one as well.
        saturated: share of the patches of a window that saturated areas give, where they are so large; 0 =
            patches of all areas alike.
        halved: share of the steps whose pictures have half the size.
        far: steps with larger brackets.
        photographs: brackets like prepared photographs, a share of all; 0 by default.
    """

    steps: int = 1200
    crop: int = 192
    lr: float = 2e-3
    log_steps: int = 50
    part: Literal["", "flow"] = ""
    init: str = ""
    exposures: Literal["short", "both"] = "short"
    saturated: float = 0.0
    halved: float = 0.0
    far: FarRecipe = field(default_factory=FarRecipe)
    photographs: PhotographRecipe = field(default_factory=PhotographRecipe)
    brackets: BracketRecipe = field(
        default_factory=lambda: BracketRecipe(camera=0.8, shift=20.0, object_speed=(2.0, 30.0))
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _between(self, ("saturated", "halved"), 0, 1)


@dataclass(frozen=True)
class NetworkRecipe(LoopRecipe):
    """Training of the network (:mod:`apnt.train.network`).

    Attributes:
        warmup: steps in which the learning rate rises to its peak.
        schedule: ``"cosine"``: down to a hundredth of the peak along half a cosine; or ``"constant"``.
        betas: of Adam, and of the weights to which Muon applies Adam.
        average: decay of the weights' moving average, which is the result; 0 = the last weights are.
        l2_weight: of the squared error beside eq. 16's L1.
        part: trains only the weights whose names begin so, such as "confidence"; empty = all.
        captured: how brackets of a captured data set are cropped.
        photographs: brackets like prepared photographs, a share of all; 0 by default.
        validation: during the training.
    """

    steps: int = 10000
    warmup: int = 200
    schedule: Literal["cosine", "constant"] = "cosine"
    betas: tuple[float, float] = (0.9, 0.99)
    average: float = 0.999
    l2_weight: float = 0.0
    part: str = ""
    seed: int = 2
    captured: CropRecipe = field(default_factory=CropRecipe)
    photographs: PhotographRecipe = field(default_factory=PhotographRecipe)
    validation: ValidationRecipe = field(default_factory=ValidationRecipe)

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least(self, ("warmup", "l2_weight"), 0)
        _between(self, ("average",), 0, 1)
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(f"betas must be two numbers from 0 up to but not 1, got {self.betas}")


@dataclass(frozen=True)
class Recipe:
    """One file: the network's configuration and how its two parts are trained."""

    model: Config
    features: FeatureRecipe
    network: NetworkRecipe


def read_recipe(path: str | Path) -> Recipe:
    """Read a TOML recipe with the tables ``model``, ``features`` and ``network``, each optional.

    Raises:
        InputError: no such file, no TOML, a key that does not exist, or a value that cannot be.
    """
    path = Path(path)
    try:
        tables = tomllib.loads(read_text(path, "config"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"config must be a readable TOML file, and {path} is not one: {error}") from error
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise InputError(f"config must hold tables, and {name} of {path} is {table!r}")
    unknown = sorted(set(tables) - {f.name for f in fields(Recipe)})
    if unknown:
        raise InputError(f"config must hold the tables model, features, network, got the unknown {unknown}")
    return Recipe(
        model=network_config(tables.get("model", {})),
        features=_build(FeatureRecipe(), "features", tables.get("features", {})),
        network=_build(NetworkRecipe(), "network", tables.get("network", {})),
    )


def _build(base: T, table: str, values: dict[str, Any]) -> T:
    assert is_dataclass(base)
    known = {f.name for f in fields(base)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise InputError(f"config table {table} must hold {sorted(known)}, got the unknown {unknown}")
    hints = get_type_hints(type(base))
    # A key that a table leaves out has the value of this recipe, not the default of its type.
    changes = {}
    for key, value in values.items():
        before = getattr(base, key)
        if is_dataclass(before) and isinstance(value, dict):
            value = _build(before, f"{table}.{key}", value)
        elif isinstance(before, tuple) and isinstance(value, list) and value and all(map(_is_number, value)):
            count = get_args(hints[key])
            if ... not in count and len(value) != len(count):
                raise InputError(f"{key} in config table {table} must be {len(count)} numbers, got {value!r}")
            value = tuple(value)
        elif isinstance(before, str) and isinstance(value, str):
            allowed = get_args(hints[key])
            if allowed and value not in allowed:
                raise InputError(
                    f"{key} in config table {table} must be one of {list(allowed)}, got {value!r}"
                )
        elif (
            isinstance(before, tuple) or not _is_number(value) or (type(before) is int) > (type(value) is int)
            or isinstance(before, str) or is_dataclass(before)
        ):  # fmt: skip
            raise InputError(f"{key} in config table {table} must be like {before!r}, got {value!r}")
        changes[key] = value
    try:
        return replace(base, **changes)  # type: ignore[type-var]
    except InputError as error:
        raise InputError(f"config table {table}: {error}") from error


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _at_least(recipe: object, names: tuple[str, ...], least: int) -> None:
    for name in names:
        if not getattr(recipe, name) >= least:
            raise InputError(f"{name} must be at least {least}, got {getattr(recipe, name)}")


def _between(recipe: object, names: tuple[str, ...], low: int, high: int) -> None:
    for name in names:
        if not low <= getattr(recipe, name) <= high:
            raise InputError(f"{name} must lie between {low} and {high}, got {getattr(recipe, name)}")
