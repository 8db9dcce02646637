"""``apnt train``: matching features, then the network, from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from apnt.cli.common import Device, Vgg19, clear_errors, say


def train(
    config: Annotated[Path, typer.Option(help="Recipe, a TOML file such as configs/default.toml.")],
    data: Annotated[Path, typer.Option(help="Folder of radiance maps, .hdr or .exr, to make brackets from.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; an interrupted run goes on from it.")],
    features: Annotated[
        str | None, typer.Option(help='Matching features trained before: a file, or "default".')
    ] = None,
    vgg19: Vgg19 = None,
    device: Device = None,
    validation_data: Annotated[
        Path | None, typer.Option(help="Folder of what the recipe validates on.")
    ] = None,
    tensorboard: Annotated[
        bool | None, typer.Option(help="Write TensorBoard's files; by default where it is installed.")
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(help='Weights a new run begins from, as far as they fit: a checkpoint, or "default".'),
    ] = None,
) -> None:
    """Train the matching features, then the network.

    Several GPUs: torchrun --nproc_per_node=2 -m apnt train ...
    """
    with clear_errors():
        from apnt.train.command import train_from_recipe

        path = train_from_recipe(
            config, data, out, features, vgg19, device, validation_data, tensorboard, init
        )
        if path is not None:
            say(path)
