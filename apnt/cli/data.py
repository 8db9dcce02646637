"""``apnt data``: data sets of captured brackets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from apnt.cli.common import FAILED, clear_errors, only_result_on_stdout


def validate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a data set, as downloaded.")],
    layout: Annotated[
        str | None, typer.Option(help="Its layout, where it is not recognised: deephdr, tel2023, ...")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a data set holds, what is missing and what is odd.

    Reads every file. The exit code is 1 where a scene cannot be used.
    """
    with clear_errors():
        from apnt.data.command import print_validation, validated

        with only_result_on_stdout():
            report = validated(folder, layout)
        print_validation(report, as_json)
        if not report.good:
            raise typer.Exit(FAILED)
