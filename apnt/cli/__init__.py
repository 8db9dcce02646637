"""The ``apnt`` command: one file a command. Work is imported inside the commands, so that help is quick."""

from __future__ import annotations

import atexit
import gc
from typing import Annotated

import typer

import apnt
from apnt.cli.batch import batch
from apnt.cli.bench import bench
from apnt.cli.common import end_cleanly_on_signals
from apnt.cli.data import validate
from apnt.cli.demo import demo
from apnt.cli.evaluate import evaluate
from apnt.cli.examples import EXIT_CODES, epilog
from apnt.cli.experiment import fig5, fig6, fig7, fig8, table1, table2
from apnt.cli.export import export
from apnt.cli.fuse import fuse
from apnt.cli.info import info
from apnt.cli.response import response
from apnt.cli.train import train
from apnt.cli.ui import ui
from apnt.cli.usage import Commands
from apnt.cli.volume import with_volume
from apnt.memory import ask_for_large_pages, one_thread_for_small_matrices

app = typer.Typer(
    name="apnt",
    cls=Commands,
    help="Fuse differently exposed photographs of a moving scene into one HDR image, without ghosts.",
    no_args_is_help=True,
    epilog=EXIT_CODES,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    end_cleanly_on_signals()
    # Or Python would look for cycles in all of torch before it ends, for most of a second.
    atexit.register(gc.freeze)
    if context.invoked_subcommand != "bench":  # it measures the ops and their peers as PyTorch runs them
        if context.invoked_subcommand != "fuse":  # which has its own way
            ask_for_large_pages()
        one_thread_for_small_matrices()


for command in (fuse, batch, response, info, evaluate, train, export, demo, bench, ui):
    app.command(epilog=epilog(command.__name__))(with_volume(command))

experiment_app = typer.Typer(help="The paper's experiments.", no_args_is_help=True)
for experiment in (table1, table2, fig5, fig6, fig7, fig8):
    name = f"experiment {experiment.__name__}"
    experiment_app.command(epilog=epilog(name))(with_volume(experiment))
app.add_typer(experiment_app, name="experiment")

data_app = typer.Typer(help="Data sets of captured brackets.", no_args_is_help=True)
data_app.command(epilog=epilog("data validate"))(with_volume(validate))
app.add_typer(data_app, name="data")
