"""``apnt train``: the matching features first, then the network, from one recipe."""

from __future__ import annotations

from pathlib import Path

import safetensors
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors.torch import load_file

from apnt.errors import InputError
from apnt.nn import APNTFusion
from apnt.nn.features import VGG19Features
from apnt.nn.vgg import vgg19_state
from apnt.train.features import train_features
from apnt.train.network import train_network
from apnt.train.recipe import read_recipe


def run(config: Path, data: Path, out: Path, features: Path | None = None, vgg19: Path | None = None) -> Path:
    """Train what a recipe describes; a network whose training was interrupted goes on from ``out``.

    Args:
        config: TOML recipe, see :mod:`apnt.train.recipe`.
        data: folder of radiance maps to make brackets from.
        out: folder for the state of the run and ``model.safetensors``.
        features: matching features trained before; None trains them, or takes those of an earlier run in
            ``out``.
        vgg19: VGG19's weights, for a recipe with ``match_features = "vgg19"``; None fetches them.

    Returns:
        The trained checkpoint.
    """
    recipe = read_recipe(config)
    if features is not None and not features.is_file():
        raise InputError(
            f"features must be a file of matching features, got {features}: leave it out to train them"
        )
    console = Console(stderr=True)
    network = APNTFusion(recipe.model)
    if recipe.model.transfer and recipe.model.match_features == "learned":
        path = features or out / "features.safetensors"
        if not path.is_file():
            console.print(f"Training matching features, {recipe.features.steps} steps")
            train_features(data, path, recipe.features, lambda line: console.print(line))
        try:
            network.match_features.load_state_dict(load_file(path))
        except (safetensors.SafetensorError, RuntimeError) as error:  # no such file format, other tensors
            raise InputError(f"features must be matching features, and {path} is not: {error}") from error
    elif recipe.model.transfer and recipe.model.match_features == "vgg19":
        psi = network.match_features
        assert isinstance(psi, VGG19Features)
        psi.load_vgg19(vgg19_state(vgg19))
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, refresh_per_second=1) as progress:
        task = progress.add_task("training", total=1.0)

        def log(step: int, done: float, loss: float, psnr: float) -> None:
            text = f"step {step}  loss {loss:.4f}  PSNR-mu {psnr:.2f} dB"
            progress.update(task, completed=done, description=text)
            if not console.is_terminal:
                console.print(f"{done:6.1%}  {text}")

        return train_network(network, data, out, recipe.network, log)
