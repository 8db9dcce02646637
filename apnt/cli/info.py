"""``apnt info``: what is installed and what runs."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def info(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show versions, processor, GPU, packaged weights and the backend of the ops."""
    from apnt.info import as_text, collect

    found = collect()
    typer.echo(json.dumps(found, indent=1) if as_json else as_text(found))
