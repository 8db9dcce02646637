"""``apnt experiment``: the paper's experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from apnt import defaults
from apnt.cli.common import (
    Device,
    Exact,
    Limit,
    Methods,
    Precision,
    SetData,
    SetName,
    Vgg19,
    Weights,
    clear_errors,
    names,
)


def table2(
    config: Annotated[Path, typer.Option(help="Recipe of the full model, such as configs/table2.toml.")],
    data: Annotated[Path, typer.Option(help="Folder of what training brackets are made from.")],
    out: Annotated[Path, typer.Option(help="Folder of the experiment; an interrupted one goes on from it.")],
    models: Annotated[
        str | None,
        typer.Option(help="Models, separated by commas; by default the full one and all ablations."),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of each model, instead of the recipe's.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Time of the full model; gives the number of steps of all.")
    ] = None,
    set_name: SetName = defaults.SET,
    set_data: SetData = None,
    limit: Limit = None,
    features: Annotated[
        str, typer.Option(help='Matching features: a file, or "default".')
    ] = defaults.WEIGHTS,
    vgg19: Vgg19 = None,
    device: Device = None,
) -> None:
    """Table II: train the full model and six ablations alike, and evaluate them on the same brackets."""
    with clear_errors():
        from apnt.experiments.table2 import run_table2

        run_table2(
            config,
            data,
            out,
            models=names("--models", models),
            steps=steps,
            minutes=minutes,
            set_name=set_name,
            set_data=set_data,
            limit=limit,
            features=features,
            vgg19=vgg19,
            device=device,
        )


def fig7(
    out: Annotated[Path, typer.Option(help="Folder for the table, the numbers and the plot.")],
    weights: Weights = defaults.WEIGHTS,
    set_name: SetName = defaults.SET,
    data: SetData = None,
    methods: Methods = None,
    limit: Limit = None,
    device: Device = None,
    precision: Exact = Precision.fp32,
) -> None:
    """Fig. 7: PSNR-mu where short and long exposure are translated by 0, 5, 10 and 20 pixels."""
    with clear_errors():
        from apnt.experiments.fig7 import run_fig7

        run_fig7(
            out,
            weights=weights,
            set_name=set_name,
            data=data,
            methods=names("--methods", methods),
            limit=limit,
            device=device,
            precision=precision.value,
        )
