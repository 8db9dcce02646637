"""The ``apnt`` command. Work is imported inside the commands, so that help does not wait for torch."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

import apnt
from apnt.errors import InputError
from apnt.memory import ask_for_large_pages

if TYPE_CHECKING:
    from apnt.io.frames import Frames

app = typer.Typer(
    name="apnt",
    help="Fuse three differently exposed photographs of a moving scene into one HDR image, without ghosts.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

data_app = typer.Typer(help="Data sets of captured brackets.", no_args_is_help=True)
app.add_typer(data_app, name="data")

BAD_INPUT = 2
FAILED = 1


class Precision(str, Enum):
    """Number format of the network."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


Weights = Annotated[str, typer.Option(help='"default", "fast", a .safetensors file, a folder or a Hub id.')]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; by default CUDA where there is one.")]
Exact = Annotated[
    Precision, typer.Option(help="fp32 gives the same numbers everywhere; auto is what fuse takes.")
]
SetName = Annotated[
    str,
    typer.Option(
        "--set", help="The brackets: val-v1, procedural (which needs no data), or the folder of a data set."
    ),
]
SetData = Annotated[Path | None, typer.Option(help="The folder that the set is made from.")]
Limit = Annotated[int | None, typer.Option(help="Only the first so many brackets.")]
Methods = Annotated[str | None, typer.Option(help="Names, separated by commas; by default all methods.")]
Vgg19 = Annotated[Path | None, typer.Option(help="VGG19's weights, for recipes that match with it.")]
Json = Annotated[Path | None, typer.Option("--json", help="Also write every number here.")]
Markdown = Annotated[Path | None, typer.Option("--markdown", help="Also write the tables here.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(apnt.__version__)
        raise typer.Exit()


@app.callback()
def main(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand != "bench":  # it measures the ops and their peers as PyTorch runs them
        ask_for_large_pages()


@app.command("fuse")
def fuse_command(
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
    device: Device = None,
    precision: Annotated[
        Precision, typer.Option(help="auto: bf16 where the hardware has it.")
    ] = Precision.auto,
    weights: Weights = "default",
) -> None:
    """Fuse three exposures into one HDR image.

    Exposures come from EXIF unless --times or --stops gives them. The result is linear RGB, 1.0 where the
    shortest exposure saturates. Most of a picture lies far below: look at the preview, or raise the exposure.
    """
    with _clear_errors():
        from apnt.io import files
        from apnt.io.exposure import parse_stops, parse_times, relative_times
        from apnt.io.frames import read_frames
        from apnt.io.preview import PREVIEW_SUFFIXES, write_preview
        from apnt.io.radiance import RADIANCE_SUFFIXES, write_radiance
        from apnt.io.tone import match_tone

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
        seconds = None if times is None else parse_times(times)
        values = None if stops is None else parse_stops(stops)
        if seconds is not None or values is not None:
            relative_times(seconds, values)
        files.check_output(output, RADIANCE_SUFFIXES, images)
        picture = None if no_preview else preview or output.with_name(output.stem + "_preview.jpg")
        if picture is not None:
            files.check_output(picture, PREVIEW_SUFFIXES, [*images, output], name="preview")

        with _progress() as step:
            step("read")
            frames = read_frames(images, seconds, values)
            frames, adjusted = match_tone(frames) if adjust_tone else (frames, 0.0)
            step("weights")
            from apnt._fuse import fuse_frames

            hdr = fuse_frames(
                frames, weights=weights, device=device, precision=precision.value, progress=step
            )
            step("write")
            write_radiance(output, hdr)
            if picture is not None:
                write_preview(picture, hdr)

        source = "--times" if times is not None else "--stops" if stops is not None else "EXIF"
        typer.echo(f"HDR      {output}  ({hdr.shape[1]} x {hdr.shape[0]}, linear)")
        if picture is not None:
            typer.echo(f"Preview  {picture}")
        typer.echo(f"Frames   {_describe(images, frames)}  (exposures from {source})")
        if adjusted:
            typer.echo(
                f"Tone     frames differed by {adjusted:.0%} where they show the same light: "
                "short and long were brought to the medium frame's curve"
            )
        typer.echo(f"Time     {time.perf_counter() - start:.1f} s")


@app.command()
def info(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show versions, processor, GPU, packaged weights and the backend of the ops."""
    from apnt.info import as_text, collect

    found = collect()
    typer.echo(json.dumps(found, indent=1) if as_json else as_text(found))


@app.command()
def evaluate(
    set_name: SetName = "val-v1",
    data: SetData = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help='"default", "fast", a .safetensors file, folder or Hub id; repeat it to compare several.',
            show_default="default",
        ),
    ] = None,
    methods: Methods = None,
    protocols: Annotated[
        str, typer.Option(help="What is measured: peers, pu21, cvvdp, separated by commas.")
    ] = "peers,pu21",
    peak_luminance: Annotated[
        float, typer.Option(help="cd/m² at which pu21 and cvvdp show radiance 1.")
    ] = 4000.0,
    json_path: Json = None,
    markdown_path: Markdown = None,
    html_path: Annotated[
        Path | None, typer.Option("--html", help="Also write scores and pictures here, as one page.")
    ] = None,
    html_scenes: Annotated[
        int, typer.Option(help="Scenes that the page shows; of more, those where the network is worst.")
    ] = 6,
    device: Device = None,
    precision: Exact = Precision.fp32,
    limit: Limit = None,
    per_scene: Annotated[bool, typer.Option("--per-scene", help="Also print every scene.")] = False,
) -> None:
    """Compare methods on a set of brackets with known truth and print the tables."""
    with _clear_errors():
        from apnt.evaluate.command import run

        run(
            set_name,
            data=data,
            weights=weights or "default",
            methods=_names("--methods", methods),
            protocols=_names("--protocols", protocols) or [],
            peak_luminance=peak_luminance,
            json_path=json_path,
            markdown_path=markdown_path,
            html_path=html_path,
            html_scenes=html_scenes,
            device=device,
            precision=precision.value,
            limit=limit,
            per_scene=per_scene,
        )


@app.command()
def train(
    config: Annotated[Path, typer.Option(help="Recipe, a TOML file such as configs/default.toml.")],
    data: Annotated[Path, typer.Option(help="Folder of radiance maps, .hdr or .exr, to make brackets from.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; an interrupted run goes on from it.")],
    features: Annotated[
        str | None, typer.Option(help='Matching features trained before: a file, or "default".')
    ] = None,
    vgg19: Vgg19 = None,
    device: Device = None,
    validation_data: Annotated[
        Path | None, typer.Option(help="Folder of what the recipe validates on.")
    ] = None,
    tensorboard: Annotated[
        bool | None, typer.Option(help="Write TensorBoard's files; by default where it is installed.")
    ] = None,
) -> None:
    """Train the matching features, then the network.

    Several GPUs: torchrun --nproc_per_node=2 -m apnt train ...
    """
    with _clear_errors():
        from apnt.train.command import train_from_recipe

        path = train_from_recipe(config, data, out, features, vgg19, device, validation_data, tensorboard)
        if path is not None:
            typer.echo(path)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pictures; made if it is missing.")] = Path("demo"),
    weights: Weights = "default",
) -> None:
    """Fuse a bracket that the package makes itself, with a moving object and a shifted camera."""
    with _clear_errors():
        from apnt.demo import run

        run(out, weights)


experiment_app = typer.Typer(help="The paper's experiments.", no_args_is_help=True)
app.add_typer(experiment_app, name="experiment")


@experiment_app.command("table2")
def experiment_table2(
    config: Annotated[Path, typer.Option(help="Recipe of the full model, such as configs/table2.toml.")],
    data: Annotated[Path, typer.Option(help="Folder of what training brackets are made from.")],
    out: Annotated[Path, typer.Option(help="Folder of the experiment; an interrupted one goes on from it.")],
    models: Annotated[
        str | None,
        typer.Option(help="Models, separated by commas; by default the full one and all ablations."),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of each model, instead of the recipe's.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Time of the full model; gives the number of steps of all.")
    ] = None,
    set_name: SetName = "val-v1",
    set_data: SetData = None,
    limit: Limit = None,
    features: Annotated[str, typer.Option(help='Matching features: a file, or "default".')] = "default",
    vgg19: Vgg19 = None,
    device: Device = None,
) -> None:
    """Table II: train the full model and six ablations alike, and evaluate them on the same brackets."""
    with _clear_errors():
        from apnt.experiments.table2 import run

        run(
            config,
            data,
            out,
            models=_names("--models", models),
            steps=steps,
            minutes=minutes,
            set_name=set_name,
            set_data=set_data,
            limit=limit,
            features=features,
            vgg19=vgg19,
            device=device,
        )


@experiment_app.command("fig7")
def experiment_fig7(
    out: Annotated[Path, typer.Option(help="Folder for the table, the numbers and the plot.")],
    weights: Weights = "default",
    set_name: SetName = "val-v1",
    data: SetData = None,
    methods: Methods = None,
    limit: Limit = None,
    device: Device = None,
    precision: Exact = Precision.fp32,
) -> None:
    """Fig. 7: PSNR-mu where short and long exposure are translated by 0, 5, 10 and 20 pixels."""
    with _clear_errors():
        from apnt.experiments.fig7 import run

        run(
            out,
            weights=weights,
            set_name=set_name,
            data=data,
            methods=_names("--methods", methods),
            limit=limit,
            device=device,
            precision=precision.value,
        )


@data_app.command("validate")
def data_validate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a data set, as downloaded.")],
    layout: Annotated[
        str | None, typer.Option(help="Its layout, where it is not recognised: deephdr, tel2023, ...")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a data set holds, what is missing and what is odd.

    Reads every file. The exit code is 1 where a scene cannot be used.
    """
    with _clear_errors():
        from apnt.data.command import print_validation

        if not print_validation(folder, layout, as_json):
            raise typer.Exit(FAILED)


@app.command()
def bench(
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[IMAGES]", help="Three photographs whose motion is taken; or a made scene."),
    ] = None,
    stops: Annotated[str | None, typer.Option(help="The photographs' exposures, 0,3,6; else EXIF.")] = None,
    only: Annotated[
        str | None, typer.Option(help="Of window_match, patch_swap, fuse, separated by commas.")
    ] = None,
    device: Device = None,
    json_path: Json = None,
    markdown_path: Markdown = None,
) -> None:
    """Measure the ops and a fuse beside their floors and peers; exit code 1 if a target is missed.

    Takes minutes. No time is reported for an op that is not right on small questions.
    """
    with _clear_errors():
        from apnt.benchmarks.command import NAMES, run
        from apnt.io.exposure import parse_stops

        names = _names("--only", only) or NAMES
        exposures = None if stops is None else parse_stops(stops)
        if not run(names, images or [], exposures, device, json_path, markdown_path):
            raise typer.Exit(FAILED)


_STEPS = {
    "read": "Reading the photographs",
    "weights": "Loading the network",
    "fuse": "Fusing",
    "write": "Writing",
}


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A bar on stderr, where that is a terminal, that moves when a step of ``_STEPS`` begins."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(_STEPS))
        yield lambda name: bar.update(task, description=_STEPS[name], completed=list(_STEPS).index(name))


def _names(option: str, text: str | None) -> list[str] | None:
    """``"a, b"`` -> ``["a", "b"]``; None, an option that was not given, stays None."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InputError(
            f"{option} must be names, separated by commas, got {text!r}: leave it out for the default"
        )
    return names


def _describe(images: list[Path], frames: Frames) -> str:
    stops = [math.log2(t) for t in frames.times]
    return ", ".join(f"{images[n].name} {s:+.3g} EV" for n, s in zip(frames.order, stops, strict=True))


@contextmanager
def _clear_errors() -> Iterator[None]:
    try:
        yield
    except InputError as error:
        _fail(error, BAD_INPUT)
    except BrokenPipeError:  # whoever read stdout has seen enough, as in `| head`; typer ends quietly
        raise
    except (OSError, MemoryError, FloatingPointError) as error:
        _fail(error, FAILED)


def _fail(error: Exception, code: int) -> NoReturn:
    typer.echo("Error: " + " ".join(str(error).split()), err=True)
    raise typer.Exit(code)
