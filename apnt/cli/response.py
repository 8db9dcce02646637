"""``apnt response``: the response of a camera, measured on brackets that it took."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from apnt.cli.common import Force, clear_errors, say
from apnt.errors import InputError


def response(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="FOLDERS", help="Folders of photographs, one bracket each.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: the response, and each bracket.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The response, a .toml file. Required.")
    ] = None,
    force: Force = False,
) -> None:
    """Measure a camera's response on brackets and write it, for `apnt fuse --curve FILE`.

    The more brackets of one camera and picture style, and the wider their exposures, the better. A bracket
    needs exposures that are known.
    """
    with clear_errors():
        from apnt.io.files import check_output
        from apnt.prepare.calibrate import calibrate

        if not folders:
            raise InputError("response takes folders of photographs, one bracket each, got none")
        if output is None:
            raise InputError("response must know where to write: add -o and a .toml name")
        check_output(output, (".toml",), force=force)
        found = calibrate(folders)
        found.response.save(output)
        brackets = {
            str(folder): estimate.note
            or f"{estimate.response.name}, light expected to be right to {estimate.error:.1%}"
            for folder, estimate in zip(folders, found.estimates, strict=True)
        }
        if as_json:
            said = {"output": str(output), "response": found.response.name, "brackets": brackets}
            typer.echo(json.dumps(said, indent=1))
            return
        say(f"Response  {output}  ({found.response.name})")
        for folder, words in brackets.items():
            say(f"Bracket   {folder}: {words}")
