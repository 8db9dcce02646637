"""``apnt experiment``: the paper's experiments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from apnt import defaults
from apnt.cli.common import (
    Device,
    Exact,
    Force,
    Limit,
    Methods,
    Precision,
    SetData,
    SetName,
    SeveralWeights,
    Vgg19,
    clear_errors,
    names,
)
from apnt.errors import InputError


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


def table1(
    out: Annotated[Path, typer.Option(help="Folder for the table and the numbers.")],
    sets: Annotated[
        str | None,
        typer.Option(
            "--sets",
            help="Sets and folders such as DeepHDR's, separated by commas; by default the validation sets.",
        ),
    ] = None,
    data: SetData = None,
    weights: SeveralWeights = None,
    methods: Methods = None,
    limit: Limit = None,
    device: Device = None,
    precision: Exact = Precision.fp32,
    force: Force = False,
) -> None:
    """Table I: networks and classical methods on sets with truth, the paper's figures beside ours."""
    with clear_errors():
        from apnt.experiments.table1 import run_table1

        run_table1(
            out,
            sets=names("--sets", sets),
            data=data,
            weights=weights or (defaults.WEIGHTS,),
            methods=names("--methods", methods),
            limit=limit,
            device=device,
            precision=precision.value,
            force=force,
        )


Folders = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FOLDERS]", help="Brackets of photographs, a folder each; or a set."),
]
Boxes = Annotated[
    list[str] | None,
    typer.Option(
        "--box", help="LEFT,TOP,SIDE of a square to enlarge; twice for two; else where methods differ most."
    ),
]
Width = Annotated[int, typer.Option(help="Of a method's picture, pixels.")]
Pictures = Annotated[Path, typer.Option(help="Folder for the pictures.")]


def _figure(name: str, what: str) -> Callable[..., None]:
    """The command of a figure of pictures; all of them have the same options."""

    def command(
        out: Pictures,
        folders: Folders = None,
        set_name: SetName = defaults.SET,
        data: SetData = None,
        weights: SeveralWeights = None,
        methods: Methods = None,
        box: Boxes = None,
        limit: Limit = 3,
        width: Width = 320,
        device: Device = None,
        precision: Exact = Precision.fp32,
        force: Force = False,
    ) -> None:
        with clear_errors():
            from apnt.experiments.grid import run_grid

            paths = run_grid(
                name,
                out,
                folders or (),
                set_name=set_name,
                data=data,
                weights=weights or (defaults.WEIGHTS,),
                methods=names("--methods", methods),
                boxes=[_box(text) for text in box or ()],
                limit=limit,
                width=width,
                device=device,
                precision=precision.value,
                force=force,
            )
            for path in paths:
                typer.echo(path)

    command.__name__, command.__doc__ = name, what
    return command


fig5 = _figure("fig5", "Fig. 5: Kalantari 2017, Yan 2019 and APNT-Fusion on scenes that move, as pictures.")
fig6 = _figure("fig6", "Fig. 6: exposure fusion by four methods and APNT-Fusion, as pictures.")
fig8 = _figure("fig8", "Fig. 8: Li 2021 and APNT-Fusion on scenes that move, as pictures.")


def _box(text: str) -> tuple[int, int, int]:
    try:
        left, top, side = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--box must be LEFT,TOP,SIDE in whole pixels, got {text!r}") from None
    return left, top, side


def fig7(
    out: Annotated[Path, typer.Option(help="Folder for the table, the numbers and the plot.")],
    weights: SeveralWeights = None,
    set_name: SetName = defaults.SET,
    data: SetData = None,
    methods: Methods = None,
    limit: Limit = None,
    device: Device = None,
    precision: Exact = Precision.fp32,
    force: Force = False,
) -> None:
    """Fig. 7: PSNR-mu where short and long exposure are translated by 0, 5, 10 and 20 pixels."""
    with clear_errors():
        from apnt.experiments.fig7 import run_fig7

        run_fig7(
            out,
            weights=weights or (defaults.WEIGHTS,),
            set_name=set_name,
            data=data,
            methods=names("--methods", methods),
            limit=limit,
            device=device,
            precision=precision.value,
            force=force,
        )
