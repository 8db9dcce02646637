"""``apnt fuse``: photographs in, an HDR image and a picture of it out."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from apnt import defaults
from apnt.cli.common import (
    PHOTOGRAPHS,
    PICTURE,
    Align,
    Alignment,
    Curve,
    Device,
    Force,
    GainMap,
    LookName,
    Memory,
    Metadata,
    Method,
    NoPreview,
    NumberFormat,
    PictureExposure,
    Precision,
    TrustExposures,
    Weights,
    WhiteBalance,
    clear_errors,
    only_result_on_stdout,
    say,
)
from apnt.errors import InputError
from apnt.text import duration

if TYPE_CHECKING:
    from apnt._fuse import Fused
    from apnt.methods import Method as Loaded
    from apnt.prepare.pipeline import Prepared

_STEPS = {
    "read": "Reading and checking the photographs",
    "weights": "Loading the network",
    "fuse": "Fusing",
    "write": "Writing",
}


def fuse(
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="IMAGES", help="2 to 15 exposures, in any order, or a folder of them."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The HDR image: .hdr, .exr, .tif; of methods that make pictures also .jpg, .png. Required.",
        ),
    ] = None,
    times: Annotated[
        str | None,
        typer.Option(
            help="Exposure times in seconds, in the images' order: 1/400,1/100,1/25; ? = not known.",
            rich_help_panel=PHOTOGRAPHS,
        ),
    ] = None,
    stops: Annotated[
        str | None,
        typer.Option(help="Exposures in stops instead: 0,2,4.", rich_help_panel=PHOTOGRAPHS),
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option(
            help="Tone-mapped picture: .jpg, .png, .tif, .avif; by default beside the output.",
            rich_help_panel=PICTURE,
        ),
    ] = None,
    no_preview: NoPreview = False,
    look: LookName = defaults.LOOK,
    exposure: PictureExposure = 0.0,
    white_balance: WhiteBalance = defaults.WHITE_BALANCE,
    gain_map: GainMap = False,
    report: Annotated[
        Path | None,
        typer.Option(help="A page to look at it with: .html, one file, opens without a network."),
    ] = None,
    metadata: Metadata = "all",
    force: Force = False,
    curve: Curve = defaults.CURVE,
    align: Alignment = Align.auto,
    reference: Annotated[
        int | None,
        typer.Option(
            help="The frame whose moment is shown, from 1 in the images' order.", rich_help_panel=PHOTOGRAPHS
        ),
    ] = None,
    trust_exposures: TrustExposures = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Refuse what would be a warning.", rich_help_panel=PHOTOGRAPHS),
    ] = False,
    adjust_tone: Annotated[
        bool, typer.Option(help="--no-adjust-tone is --curve gamma22.", hidden=True)
    ] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was found and done as JSON, and nothing else.")
    ] = False,
    method: Method = defaults.METHOD,
    device: Device = None,
    precision: NumberFormat = Precision.auto,
    weights: Weights = defaults.WEIGHTS,
    memory: Memory = None,
) -> None:
    """Fuse exposures into one HDR image.

    Exposures come from EXIF unless --times or --stops gives them; where nobody knows them, they are measured,
    with a warning. The result is linear RGB, 1.0 where the shortest exposure saturates. Most of a picture
    lies far below: look at the preview, or raise the exposure. The preview keeps the mood of the reference
    frame: --exposure, --look and --white-balance change it.
    """
    with clear_errors():
        from apnt import scratch
        from apnt._with_torch import import_ahead
        from apnt.budget import parse_bytes
        from apnt.doing import told
        from apnt.io import files
        from apnt.io.exposure import parse_stops, parse_times
        from apnt.io.folder import find_photographs
        from apnt.io.kept import check_policy
        from apnt.io.picture import PICTURE_SUFFIXES
        from apnt.io.radiance import RADIANCE_SUFFIXES
        from apnt.io.written import PREVIEW
        from apnt.memory import ask_for_large_pages, keep_freed
        from apnt.methods import Options, check_method, load_method
        from apnt.methods.registry import comes_with_package
        from apnt.outputs import Picture, is_picture
        from apnt.prepare.options import Options as Preparation
        from apnt.progress import progress
        from apnt.run import REPORT_SUFFIXES, Clock, Outputs, fuse_into

        start = time.perf_counter()
        # What can be wrong with the request is found before the work.
        if not images:
            raise InputError("fuse takes 2 to 15 photographs with different exposures, or a folder, got none")
        if output is None:
            raise InputError("fuse must know where the HDR image goes: add -o and a .hdr, .exr or .tif name")
        if times is not None and stops is not None:
            raise InputError("--times and --stops exclude each other: give one of them")
        if preview is not None and no_preview:
            raise InputError("--preview and --no-preview exclude each other: give one of them")
        budget = None if memory is None else parse_bytes(memory)
        display = check_method(method).kind == "display"
        seconds = None if times is None else parse_times(times)
        values = None if stops is None else parse_stops(stops)
        paths = find_photographs(images).paths
        if reference is not None and not 1 <= reference <= len(paths):
            raise InputError(f"--reference must be a frame from 1 to {len(paths)}, got {reference}")
        # A picture for a display goes into a picture's format, and there needs no preview, or into any other.
        suffixes = (
            tuple(dict.fromkeys(RADIANCE_SUFFIXES + PICTURE_SUFFIXES)) if display else RADIANCE_SUFFIXES
        )
        files.check_output(output, suffixes, paths, force=force)
        beside = None if display and is_picture(output) else output.with_name(f"{output.stem}{PREVIEW}.jpg")
        picture = None if no_preview else preview or beside
        if picture is not None:
            files.check_output(picture, PICTURE_SUFFIXES, [*paths, output], name="preview", force=force)
            if picture.resolve() == output.resolve():
                raise InputError(f"preview must be another file than the output, got {picture} for both")
        if report is not None:
            outputs = [each for each in (output, picture) if each is not None]
            files.check_output(report, REPORT_SUFFIXES, [*paths, *outputs], name="report", force=force)
        shown = Picture(picture, look, exposure, white_balance, gain_map)
        shown.check_method(method, display=display)
        check_policy(metadata)
        options = Preparation(
            curve if adjust_tone else "gamma22",
            align.value,
            trust_exposures,
            strict,
            None if reference is None else reference - 1,
            rendered=display,
        )

        # Large pages lie at places of their own, where less that is freed fits what asks next.
        if budget is None:
            keep_freed()
        else:
            ask_for_large_pages()
        steps = {**_STEPS, "report": "Writing the report"} if report is not None else _STEPS
        early = not comes_with_package(method, weights)
        count = len(steps) + early
        with (
            only_result_on_stdout(),
            progress(count, alike=None) as begin,
            scratch.within(budget),
            told(begin),
        ):
            clock = Clock(lambda step: begin(steps[step]))
            loading = Options(weights, device, precision.value, None, budget, begin)
            with_torch = import_ahead()

            def load() -> Loaded:
                import_module("apnt._fuse")  # which fuse_into needs next
                return load_method(method, loading)

            @cache  # begins when it is first called
            def loaded() -> Callable[[], Loaded]:
                if not early:
                    return with_torch(load)
                # A download may take minutes: signals end the main thread, and wait for others.
                with_torch(lambda: None)()
                ready = load()
                return lambda: ready

            if early:
                clock("weights")
                loaded()
            run = fuse_into(
                images,
                lambda: loaded()(),
                Outputs(output, shown, metadata, report),
                options,
                times=seconds,
                stops=values,
                clock=clock,
                maps=as_json,
                read=begin.read,
                usable=loaded,
            )
        prepared = run.prepared
        if display:
            prepared.report.corrections.append(
                f"{method} makes a picture for a display and no radiance: {output.name} holds that."
            )

        if as_json:
            typer.echo(
                json.dumps(_as_json(prepared, run.fused, output, picture, report, paths, display), indent=1)
            )
        else:
            _print(prepared, output, picture, report, paths, display, time.perf_counter() - start)


def _print(
    prepared: Prepared,
    output: Path,
    picture: Path | None,
    page: Path | None,
    paths: list[Path],
    display: bool,
    seconds: float,
) -> None:
    height, width = prepared.bracket.size
    report = prepared.report
    title, meaning = ("Picture  ", "for a display") if display else ("HDR      ", "linear")
    say(f"{title}{output}  ({width} x {height}, {meaning})")
    if picture is not None:
        say(f"Preview  {picture}")
    if page is not None:
        say(f"Report   {page}")
    source = {"times": "--times", "stops": "--stops", "pixels": "the pixels"}.get(
        report.exposures, report.exposures
    )
    order = prepared.bracket.order
    frames = ", ".join(f"{paths[n].name} {report.stops[n]:+.3g} EV" for n in order)
    moment = paths[report.reference].name
    say(f"Frames   {frames}  (exposures from {source}; moment of {moment})")
    for sentence in report.corrections:
        say(f"Note     {sentence}")
    for sentence in report.warnings:
        say(f"Warning  {sentence}", err=True)
    say(f"Time     {duration(seconds)}")


def _as_json(
    prepared: Prepared,
    fused: Fused,
    output: Path,
    picture: Path | None,
    page: Path | None,
    paths: list[Path],
    display: bool,
) -> dict[str, Any]:
    return {
        "output": str(output),
        "kind": "display" if display else "radiance",
        "preview": None if picture is None else str(picture),
        "report": None if page is None else str(page),
        "size": list(prepared.bracket.size[::-1]),
        "images": [str(path) for path in paths],
        **dataclasses.asdict(prepared.report),
        "reference_name": paths[prepared.report.reference].name,
        "shares": fused.shares,
    }
