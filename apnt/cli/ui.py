"""``apnt ui``: a page on this machine for people who do not type."""

from __future__ import annotations

from typing import Annotated

import typer

from apnt import defaults
from apnt.cli.common import Device, NumberFormat, Precision, Weights, clear_errors


def ui(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Of the page; by default a free one from 7860 on.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    weights: Weights = defaults.WEIGHTS,
    device: Device = None,
    precision: NumberFormat = Precision.auto,
) -> None:
    """Open a page that fuses photographs which are dropped on it.

    It answers this machine alone, loads nothing from elsewhere and keeps nothing: results are downloaded, or
    gone when the command ends. Needs `pip install 'apnt[ui]'`.
    """
    with clear_errors():
        from apnt.device import choose_device, use_bf16
        from apnt.ui.app import serve
        from apnt.ui.work import Settings

        use_bf16(precision.value, choose_device(device))  # what is wrong with them is found before the page
        serve(Settings(weights, device, precision.value), port, browser=browser)
