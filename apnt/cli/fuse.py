"""``apnt fuse``: photographs in, an HDR image and a picture of it out."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from apnt import defaults
from apnt.cli.common import Device, Precision, Weights, clear_errors
from apnt.errors import InputError

if TYPE_CHECKING:
    from apnt.bracket import Bracket

_STEPS = {
    "read": "Reading the photographs",
    "weights": "Loading the network",
    "fuse": "Fusing",
    "write": "Writing",
}


def fuse(
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IMAGES", help="Three exposures, in any order: JPEG, PNG or TIFF."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The HDR image: .hdr, .exr, .tif. Required.")
    ] = None,
    times: Annotated[
        str | None, typer.Option(help="Exposure times in seconds, in the images' order: 1/400,1/100,1/25.")
    ] = None,
    stops: Annotated[str | None, typer.Option(help="Exposures in stops instead: 0,2,4.")] = None,
    preview: Annotated[
        Path | None,
        typer.Option(help="Tone-mapped picture: .jpg or .png; by default beside the output."),
    ] = None,
    no_preview: Annotated[bool, typer.Option("--no-preview", help="Write no tone-mapped picture.")] = False,
    adjust_tone: Annotated[
        bool, typer.Option(help="Bring all frames to the tone curve of the medium one where they disagree.")
    ] = True,
    method: Annotated[
        str, typer.Option(help="How to fuse: apnt, or a method that it is compared with, such as weighted.")
    ] = defaults.METHOD,
    device: Device = None,
    precision: Annotated[
        Precision, typer.Option(help="auto: bf16 where the hardware has it.")
    ] = Precision.auto,
    weights: Weights = defaults.WEIGHTS,
) -> None:
    """Fuse three exposures into one HDR image.

    Exposures come from EXIF unless --times or --stops gives them. The result is linear RGB, 1.0 where the
    shortest exposure saturates. Most of a picture lies far below: look at the preview, or raise the exposure.
    """
    with clear_errors():
        from apnt.io import files
        from apnt.io.exposure import parse_stops, parse_times, relative_times
        from apnt.io.frames import read_frames
        from apnt.io.preview import PREVIEW_SUFFIXES, write_preview
        from apnt.io.radiance import RADIANCE_SUFFIXES, write_radiance
        from apnt.methods import Options, check_method, load_method
        from apnt.progress import progress

        start = time.perf_counter()
        # What can be wrong with the request is found before the work.
        images = images or []
        if len(images) != 3:
            raise InputError(f"fuse takes three photographs with different exposures, got {len(images)}")
        if output is None:
            raise InputError("fuse must know where the HDR image goes: add -o and a .hdr, .exr or .tif name")
        if times is not None and stops is not None:
            raise InputError("--times and --stops exclude each other: give one of them")
        if preview is not None and no_preview:
            raise InputError("--preview and --no-preview exclude each other: give one of them")
        check_method(method)
        seconds = None if times is None else parse_times(times)
        values = None if stops is None else parse_stops(stops)
        if seconds is not None or values is not None:
            relative_times(seconds, values)
        files.check_output(output, RADIANCE_SUFFIXES, images)
        picture = None if no_preview else preview or output.with_name(output.stem + "_preview.jpg")
        if picture is not None:
            files.check_output(picture, PREVIEW_SUFFIXES, [*images, output], name="preview")

        with progress(len(_STEPS)) as begin:

            def step(name: str) -> None:
                begin(_STEPS[name])

            step("read")
            bracket = read_frames(images, seconds, values)
            from apnt._fuse import fuse_bracket  # torch: after the photographs have been found good

            step("weights")
            chosen = load_method(method, Options(weights, device, precision.value))
            step("fuse")
            fused = fuse_bracket(bracket, chosen, adjust_tone=adjust_tone)
            step("write")
            write_radiance(output, fused.image)
            if picture is not None:
                write_preview(picture, fused.image)

        source = "--times" if times is not None else "--stops" if stops is not None else "EXIF"
        height, width = bracket.size
        typer.echo(f"HDR      {output}  ({width} x {height}, linear)")
        if picture is not None:
            typer.echo(f"Preview  {picture}")
        typer.echo(f"Frames   {_describe(images, bracket)}  (exposures from {source})")
        if fused.adjusted:
            typer.echo(
                f"Tone     frames differed by {fused.adjusted:.0%} where they show the same light: "
                "short and long were brought to the medium frame's curve"
            )
        typer.echo(f"Time     {time.perf_counter() - start:.1f} s")


def _describe(images: list[Path], bracket: Bracket) -> str:
    stops = [math.log2(t) for t in bracket.times]
    return ", ".join(f"{images[n].name} {s:+.3g} EV" for n, s in zip(bracket.order, stops, strict=True))
