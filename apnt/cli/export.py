"""``apnt export``: a network as one file for PyTorch's other runtimes and for ONNX's."""

from __future__ import annotations

import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from apnt.cli.common import clear_errors, say
from apnt.errors import InputError
from apnt.text import duration


class Format(str, Enum):
    """Kind of file."""

    pt2 = "pt2"
    aoti = "aoti"
    onnx = "onnx"


class ExportPrecision(str, Enum):
    """Number format of the graph."""

    fp32 = "fp32"
    bf16 = "bf16"


def export(
    weights: Annotated[
        str, typer.Argument(help='"default", "fast", a .safetensors file, a folder or a Hub id.')
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file: .pt2, or .onnx. Required.")
    ] = None,
    format: Annotated[
        Format,
        typer.Option("--format", help="A program of torch.export, a package of AOTInductor, or ONNX."),
    ] = Format.pt2,
    precision: Annotated[
        ExportPrecision, typer.Option(help="Of the graph's numbers; ONNX has fp32 alone.")
    ] = ExportPrecision.fp32,
    longest: Annotated[
        int | None, typer.Option(help="Longest side that the file takes, pixels.", show_default="16384")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write a network as one file that takes brackets of any height and width.

    Its inputs are ldr (1, 3, 3, H, W), the exposures short to long in [0, 1], and times (1, 3). Takes from
    half a minute to some minutes.
    """
    with clear_errors():
        from apnt.export.write import check
        from apnt.export.write import export as write
        from apnt.nn import APNTFusion

        if output is None:
            raise InputError("export must know where the file goes: add -o and a .pt2 or .onnx name")
        check(output, format.value, precision.value, force=force)
        start = time.perf_counter()
        network = APNTFusion.from_pretrained(weights)
        write(network, output, format=format.value, precision=precision.value, longest=longest)
        say(f"Exported  {output}  ({format.value}, {precision.value}, {output.stat().st_size / 1e6:.1f} MB)")
        say(f"Time      {duration(time.perf_counter() - start)}")
