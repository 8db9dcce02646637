"""``apnt train``: the matching features first, then the network, from one recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors.torch import load as from_bytes
from torch import Tensor

from apnt.errors import InputError
from apnt.nn import APNTConfig, APNTFusion, checkpoint
from apnt.nn.compared.base import ComparedConfig, ComparedNetwork
from apnt.nn.compared.registry import build
from apnt.nn.config import Config
from apnt.nn.features import VGG19Features, dilated
from apnt.nn.vgg import vgg19_state
from apnt.packaged import packaged
from apnt.text import printable
from apnt.train import features as match_features
from apnt.train.log import INSTALL, tensorboard_writer
from apnt.train.loop import Status
from apnt.train.network import Network, train_network
from apnt.train.processes import Processes, join
from apnt.train.recipe import FeatureRecipe, read_recipe
from apnt.train.state import seed_everything

Report = Callable[[Status, dict[str, float]], None]
_FEATURES = "match_features."  # names of their weights in a checkpoint


def train_from_recipe(
    config: Path,
    data: Path,
    out: Path,
    features: str | Path | None = None,
    vgg19: Path | None = None,
    device: str | None = None,
    validation_data: Path | None = None,
    tensorboard: bool | None = None,
    init: str | Path | None = None,
) -> Path | None:
    """Train the network of a recipe, its matching features first where it has such.

    Where a run was interrupted it goes on from ``out``.

    Args:
        config: TOML recipe, see :mod:`apnt.train.recipe`.
        data: folder of captured brackets or radiance maps, see :func:`apnt.train.brackets.brackets_for`.
        out: folder for the state of the run, its log and ``model.safetensors``.
        features: matching features trained before: a file of them, a checkpoint of apnt that holds them, or
            ``"default"`` for the packaged ones; None reads ``out/features.safetensors`` where an earlier
            run has trained them, and trains them elsewhere.
        vgg19: VGG19's weights, for a recipe with ``match_features = "vgg19"``; None downloads them.
        device: ``"cpu"``, ``"cuda"``, ...; None = CUDA where there is one.
        validation_data: folder of the brackets that the recipe validates on.
        tensorboard: write TensorBoard's files; None = where it is installed.
        init: a checkpoint of apnt, or the name of packaged weights, from which a new run begins as far as it
            fits (:func:`apnt.nn.checkpoint.fit`); its matching features, too, but where others are given or
            the recipe says what theirs begin from. None = random weights.

    Returns:
        The trained checkpoint; None in all but the first of several processes.

    Raises:
        InputError: an argument that cannot be used.
        FloatingPointError: the loss is not finite.
    """
    recipe = read_recipe(config)
    if tensorboard and tensorboard_writer() is None:
        raise InputError(f"tensorboard must be installed to be written: {INSTALL}")
    console = Console(stderr=True)
    with join(device) as processes:
        if processes.first and tensorboard is None and tensorboard_writer() is None:
            console.print(printable(f"{INSTALL} to the log in {out}"), markup=False)

        def matching_features() -> dict[str, Tensor]:
            if features is not None or (init is not None and not recipe.features.init):
                return read_features(features if features is not None else str(init))
            assert isinstance(recipe.model, APNTConfig)
            return _features_of_run(data, out, recipe.features, recipe.model, processes, tensorboard, console)

        network: Network
        if isinstance(recipe.model, APNTConfig):
            network = build_network(recipe.model, recipe.network.seed, matching_features, vgg19)
            kept = features is not None or bool(recipe.features.init)
            if init is not None:
                for sentence in begin_from(network, init, keep_features=kept):
                    if processes.first:
                        console.print(printable(sentence), markup=False, highlight=False, soft_wrap=True)
        else:
            _refuse_features(features=features, vgg19=vgg19, init=init)
            network = build_compared(recipe.model, recipe.network.seed)
        with progress_bar(console, processes, "training") as report:
            path = train_network(
                network,
                data,
                out,
                recipe.network,
                processes=processes,
                validation_data=validation_data,
                tensorboard=tensorboard,
                report=report,
            )
        return path if processes.first else None


def build_compared(model: Config, seed: int) -> ComparedNetwork[Any]:
    """A fresh network to compare with."""
    assert isinstance(model, ComparedConfig)
    seed_everything(seed)
    return build(model)


def _refuse_features(**given: str | Path | None) -> None:
    """A compared network has no matching features, and begins from random weights."""
    for name, value in given.items():
        if value is not None:
            raise InputError(f"{name} must be left out for a network that apnt is compared with, got {value}")


def build_network(
    model: APNTConfig,
    seed: int,
    features: Callable[[], dict[str, Tensor]],
    vgg19: Path | None = None,
) -> APNTFusion:
    """A fresh network with the matching features of its configuration.

    Args:
        model: the configuration.
        seed: of its weights.
        features: returns learned matching features; called where the configuration has them.
        vgg19: see :func:`train_from_recipe`.

    Raises:
        InputError: the tensors are not matching features, or do not fit.
    """
    state: dict[str, Tensor] | None = None
    if model.transfer and model.match_features == "learned":
        state = features()
    seed_everything(seed)  # a resumed run must begin with the same weights, too
    network = APNTFusion(model)
    if state is not None:
        count = dilated(state)
        if count and count != len(model.match_dilations):
            raise InputError(
                f"match_dilations of the recipe must be {count} numbers for these matching features, "
                f"got {list(model.match_dilations)}"
            )
        state = _with_flow(state, model.flow)
        try:
            network.match_features.load_state_dict(state)
        except RuntimeError as error:  # missing, unknown or misshapen tensors
            raise InputError(f"features must be matching features, and these are not: {error}") from error
    elif model.transfer and model.match_features == "vgg19":
        vgg19_features = network.match_features
        assert isinstance(vgg19_features, VGG19Features)
        vgg19_features.load_vgg19(vgg19_state(vgg19))
    return network


def _with_flow(state: dict[str, Tensor], wanted: bool) -> dict[str, Tensor]:
    """Matching features with the weights of their flow, which have to be there, or without them."""
    has = any(key.startswith("flow.") for key in state)
    if wanted and not has:
        raise InputError(
            "flow of the recipe must be false for matching features that were trained without, got true"
        )
    return state if wanted else {key: value for key, value in state.items() if not key.startswith("flow.")}


def begin_from(network: APNTFusion, init: str | Path, keep_features: bool = False) -> list[str]:
    """Load what fits of a checkpoint into a network, and say what did not simply fit, a sentence each.

    Args:
        network: changed in place.
        init: see :func:`train_from_recipe`.
        keep_features: leave its matching features as they are.

    Raises:
        InputError: not a checkpoint.
    """
    path = checkpoint.find(init)
    if path is None:
        raise InputError(
            f"init must be a checkpoint's file or the name of packaged weights, got {str(init)!r}"
        )
    _, found = checkpoint.read(path)
    own = network.state_dict()
    if keep_features:
        features = {key: value for key, value in own.items() if key.startswith(_FEATURES)}
        found = {key: value for key, value in found.items() if not key.startswith(_FEATURES)} | features
    state, sentences = checkpoint.fit(found, own)
    network.load_state_dict(state)
    return [f"begins from {path.name}: {len(own)} tensors, all but these as they are:", *sentences]


def read_features(name: str | Path) -> dict[str, Tensor]:
    """Read matching features from their own file, from a checkpoint of apnt, or the packaged ones by name.

    Raises:
        InputError: no such file, or not of this kind.
    """
    path = Path(name) if Path(name).is_file() else None
    path = path or packaged().get(str(name))
    if path is None:
        raise InputError(
            f"features must be a file of matching features or 'default', got {name}: "
            "leave it out to train them"
        )
    return _parse_features(path.read_bytes(), path)


def _features_of_run(
    data: Path,
    out: Path,
    recipe: FeatureRecipe,
    model: APNTConfig,
    processes: Processes,
    tensorboard: bool | None,
    console: Console,
) -> dict[str, Tensor]:
    """The matching features that an earlier run has left in ``out``; trains them where there are none."""
    path = out / match_features.FILE
    if not processes.broadcast_number(float(processes.first and path.is_file())):
        init = read_features(recipe.init) if recipe.init else None
        search = {
            "radii": model.radii, "patch_size": model.patch_size,
            "normalize": model.normalize, "propagate": model.propagate,
        } if model.flow else None  # fmt: skip
        with progress_bar(console, processes, "matching features") as report:
            match_features.train_features(
                data,
                out,
                recipe,
                dilations=model.match_dilations,
                search=search,
                init=init,
                processes=processes,
                tensorboard=tensorboard,
                report=report,
            )
    content = processes.broadcast_bytes(path.read_bytes() if processes.first else None)
    assert content is not None
    return _parse_features(content, path)


def _parse_features(content: bytes, path: Path) -> dict[str, Tensor]:
    """Matching features, float32, from the bytes of a safetensors file; ``path`` is for the message."""
    try:
        state = from_bytes(content)
    except safetensors.SafetensorError as error:
        raise InputError(f"features must be matching features, and {path} is not: {error}") from error
    inside = {key.removeprefix(_FEATURES): value for key, value in state.items() if key.startswith(_FEATURES)}
    return {key: value.to(torch.float32) for key, value in (inside or state).items()}


@contextmanager
def progress_bar(console: Console, processes: Processes, title: str) -> Iterator[Report]:
    """A progress bar in the first process; plain lines where the console is not a terminal."""
    if not processes.first:
        yield lambda *_: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, refresh_per_second=1, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=1.0)

        def report(status: Status, line: dict[str, float]) -> None:
            numbers = "  ".join(f"{key} {value:.4g}" for key, value in line.items())
            text = f"{title}: step {status.step}  {numbers}"
            bar.update(task, completed=status.progress, description=text)
            if not console.is_terminal:
                console.print(f"{status.progress:6.1%}  {text}", highlight=False, soft_wrap=True)

        yield report
