"""``apnt batch``: a folder of photographs in, an HDR image of every bracket in it out."""

from __future__ import annotations

import time
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from apnt import defaults
from apnt.cli.common import (
    FAILED,
    Align,
    Alignment,
    Curve,
    Device,
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

if TYPE_CHECKING:
    from apnt.batch.journal import Journal
    from apnt.batch.plan import Plan
    from apnt.batch.run import Engine as Running
    from apnt.batch.run import Summary
    from apnt.batch.settings import Settings


class Engine(str, Enum):
    """Where brackets are fused."""

    local = "local"
    ray = "ray"


def batch(
    folders: Annotated[
        list[str] | None,
        typer.Argument(metavar="FOLDERS", help="Folders, with all below them, photographs or patterns."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the results; made if it is missing.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the brackets and what is left out; fuse nothing.")
    ] = False,
    groups: Annotated[
        Path | None,
        typer.Option(help="Your own grouping, .toml or .jsonl; what it names is taken as it says."),
    ] = None,
    suffix: Annotated[str, typer.Option("--format", help="Of the HDR images: .exr, .hdr, .tif.")] = ".exr",
    preview: Annotated[str, typer.Option(help="Format of the pictures: .jpg, .png, .tif, .avif.")] = ".jpg",
    no_preview: NoPreview = False,
    report: Annotated[
        bool,
        typer.Option("--report", help="Also write the page of `apnt fuse --report` of each: NAME.html."),
    ] = False,
    look: LookName = defaults.LOOK,
    exposure: PictureExposure = 0.0,
    white_balance: WhiteBalance = defaults.WHITE_BALANCE,
    gain_map: GainMap = False,
    metadata: Metadata = "all",
    force: Annotated[
        bool, typer.Option("--force", help="Do all again, and replace files that exist.")
    ] = False,
    curve: Curve = defaults.CURVE,
    align: Alignment = Align.auto,
    trust_exposures: TrustExposures = False,
    strict: Annotated[bool, typer.Option("--strict", help="Let fail what would be a warning.")] = False,
    engine: Annotated[
        Engine, typer.Option(help="local, or ray: on the nodes of a Ray cluster.")
    ] = Engine.local,
    ray_address: Annotated[
        str | None, typer.Option(help="Of the cluster; by default RAY_ADDRESS, or one on this machine.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="Workers on the cluster; by default one a GPU, or else one a node.")
    ] = None,
    method: Method = defaults.METHOD,
    device: Device = None,
    precision: NumberFormat = Precision.auto,
    weights: Weights = defaults.WEIGHTS,
    memory: Memory = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON a bracket and file.")
    ] = False,
) -> None:
    """Find the brackets among photographs and fuse each into one HDR image.

    Photographs belong together by camera, time, exposures and what they show. Every file that belongs to no
    bracket is listed with its reason. The same command goes on where an earlier one was stopped: what is
    done, of the same content with the same options, is skipped. A bracket that fails holds up no other; the
    exit code is 1 then.
    """
    with clear_errors():
        from apnt.batch.journal import looked_at
        from apnt.batch.plan import make_plan
        from apnt.batch.settings import Settings
        from apnt.budget import parse_bytes

        begun = time.monotonic()
        if not folders:
            raise InputError("batch takes folders of photographs, got none")
        if output is None and not dry_run:
            raise InputError("batch must know where results go: add -o and a folder, or --dry-run")
        settings = Settings(
            suffix, None if no_preview else preview, method, weights, device, precision.value, curve,
            align.value, strict, look, exposure, white_balance, gain_map, metadata,
            None if memory is None else parse_bytes(memory), trust_exposures, report,
        )  # fmt: skip
        settings.check()
        run = _engine(engine, settings, ray_address, jobs)
        with only_result_on_stdout():
            plan = make_plan(folders, output, groups)
        if output is None or dry_run:
            _show(plan, settings, run, output, looked_at(None if force else output), as_json)
            return
        summary = _carry_out(plan, settings, run, output, force, as_json, begun)
        if summary.failed:
            raise typer.Exit(FAILED)


def _engine(engine: Engine, settings: Settings, address: str | None, jobs: int | None) -> Running:
    if engine is Engine.ray:
        from apnt.batch.on_ray import RayEngine

        return RayEngine(settings, address, jobs)
    if address is not None or jobs is not None:
        raise InputError("--ray-address and --jobs are for --engine ray: add it, or leave them out")
    from apnt.batch.local import LocalEngine

    return LocalEngine(settings)


def _show(
    plan: Plan,
    settings: Settings,
    engine: Running,
    output: Path | None,
    journal: Journal | None,
    as_json: bool,
) -> None:
    from apnt.batch.facts import facts_of
    from apnt.batch.run import make_task, make_tasks
    from apnt.batch.show import facts_line, plan_lines, print_plan

    tasks = [make_task(bracket, settings, output or Path()) for bracket in plan.brackets]
    if journal is not None:
        try:
            make_tasks(plan, settings, journal, force=False)
        except InputError as error:
            say(f"Warning  without --dry-run this is refused: {error}", err=True)
        tasks = [task for task in tasks if not journal.is_done(task.key, task.files)]
    with only_result_on_stdout():
        facts = facts_of(tasks, len(plan.brackets) - len(tasks), settings, engine, journal)
    if as_json:
        for line in [facts_line(facts), *plan_lines(plan)]:
            typer.echo(line)
    else:
        print_plan(plan, facts)


def _carry_out(
    plan: Plan, settings: Settings, engine: Running, output: Path, force: bool, as_json: bool, begun: float
) -> Summary:
    from apnt.batch.facts import facts_of
    from apnt.batch.journal import opened
    from apnt.batch.run import make_tasks, run
    from apnt.batch.show import facts_line, left_out_lines, print_summary, record_line, summary_line
    from apnt.io.files import make_folder
    from apnt.progress import ends_told, progress, say_plan
    from apnt.text import duration

    ended = 0
    with opened(make_folder(output)) as journal, only_result_on_stdout() as result:

        def show(record: dict[str, Any]) -> None:
            nonlocal ended
            ended += record["status"] != "skipped"
            if as_json:
                result(record_line(record))
            elif record["status"] == "failed":
                say(f"Failed   {record['bracket']}: {record['error']}", err=True)
            elif record["status"] == "done" and ends_told():
                count = f"{ended} of {len(todo)}"
                say(f"Done     {record['bracket']}, {count}; {duration(record['seconds'])}", err=True)

        todo, done = make_tasks(plan, settings, journal, force)
        facts = facts_of(todo, len(done), settings, engine, None if force else journal)
        if as_json:
            result(facts_line(facts))
        else:
            for sentence in facts.sentences():
                say_plan(sentence)
        with progress(len(todo), alike=None) as bar:
            summary = run(todo, done, journal, settings, engine, show, bar, facts.expected)
    seconds = time.monotonic() - begun
    if as_json:
        for line in [*left_out_lines(plan.left_out), summary_line(plan, summary, seconds)]:
            typer.echo(line)
    else:
        print_summary(plan, summary, seconds)
    return summary
