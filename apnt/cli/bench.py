"""``apnt bench``: the ops and a fuse beside their floors and peers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from apnt import defaults
from apnt.cli.common import FAILED, Device, Force, Json, Markdown, clear_errors, names


def bench(
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[IMAGES]", help="Three photographs whose motion is taken; or a made scene."),
    ] = None,
    stops: Annotated[str | None, typer.Option(help="The photographs' exposures, 0,3,6; else EXIF.")] = None,
    only: Annotated[
        str | None, typer.Option(help="Of window_match, patch_swap, fuse, methods, separated by commas.")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help="A commit to time this build beside, in a clone of apnt's repository; builds it."),
    ] = None,
    device: Device = None,
    json_path: Json = None,
    markdown_path: Markdown = None,
    force: Force = False,
) -> None:
    """Measure the ops and a fuse beside their floors and peers; exit code 1 if a target is missed.

    Takes minutes. No time is reported for an op that is not right on small inputs.
    """
    with clear_errors():
        from apnt.benchmarks.command import run_benchmarks
        from apnt.io.exposure import parse_stops

        chosen = names("--only", only) or defaults.BENCHMARKS
        exposures = None if stops is None else parse_stops(stops)
        if not run_benchmarks(chosen, images or [], exposures, device, json_path, markdown_path, base, force):
            raise typer.Exit(FAILED)
