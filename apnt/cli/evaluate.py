"""``apnt evaluate``: methods compared on brackets with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from apnt import defaults
from apnt.cli.common import (
    Device,
    Exact,
    Force,
    Json,
    Limit,
    Markdown,
    Methods,
    Precision,
    SetData,
    SetName,
    SeveralWeights,
    clear_errors,
    names,
)


def evaluate(
    set_name: SetName = defaults.SET,
    data: SetData = None,
    weights: SeveralWeights = None,
    methods: Methods = None,
    protocols: Annotated[
        str, typer.Option(help="What is measured: peers, pu21, cvvdp, separated by commas.")
    ] = ",".join(defaults.PROTOCOLS),
    peak_luminance: Annotated[
        float, typer.Option(help="cd/m² at which pu21 and cvvdp show radiance 1.")
    ] = defaults.PEAK_LUMINANCE,
    json_path: Json = None,
    markdown_path: Markdown = None,
    html_path: Annotated[
        Path | None, typer.Option("--html", help="Also write scores and pictures here, as one page.")
    ] = None,
    html_scenes: Annotated[
        int, typer.Option(help="Scenes that the page shows; of more, those where the network is worst.")
    ] = defaults.REPORT_SCENES,
    force: Force = False,
    device: Device = None,
    precision: Exact = Precision.fp32,
    limit: Limit = None,
    per_scene: Annotated[bool, typer.Option("--per-scene", help="Also print every scene.")] = False,
) -> None:
    """Compare methods on a set of brackets with known truth and print the tables."""
    with clear_errors():
        from apnt.evaluate.command import evaluate_set

        evaluate_set(
            set_name,
            data=data,
            weights=weights or defaults.WEIGHTS,
            methods=names("--methods", methods),
            protocols=names("--protocols", protocols) or [],
            peak_luminance=peak_luminance,
            json_path=json_path,
            markdown_path=markdown_path,
            html_path=html_path,
            html_scenes=html_scenes,
            device=device,
            precision=precision.value,
            limit=limit,
            per_scene=per_scene,
            force=force,
        )
