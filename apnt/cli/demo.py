"""``apnt demo``: a bracket that the package makes itself, fused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from apnt import defaults
from apnt.cli.common import Force, Weights, clear_errors


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pictures; made if it is missing.")] = Path(
        defaults.DEMO_FOLDER
    ),
    weights: Weights = defaults.WEIGHTS,
    force: Force = False,
) -> None:
    """Fuse a bracket that the package makes itself, with a moving object and a shifted camera."""
    with clear_errors():
        from apnt.demo import make_demo
        from apnt.progress import progress

        with progress(1) as begin:
            begin("Making a bracket and fusing it")
            make_demo(out, weights, force=force)
