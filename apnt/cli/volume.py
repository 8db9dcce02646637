"""How much commands say: ``--quiet`` and ``--verbose``, given to every command in one place."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from apnt import progress

_QUIET = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Say nothing but warnings and errors (and JSON that is asked for)."),
]
_VERBOSE = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say every step with its time, and where an error arose.")
]


def with_volume(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same command with ``-q`` and ``-v``: what it prints on stdout, and progress, keep to them."""

    @functools.wraps(command)
    def louder(*args: Any, quiet: bool, verbose: bool, **options: Any) -> Any:
        if quiet and verbose:
            typer.echo("Error: --quiet and --verbose exclude each other: give one of them", err=True)
            raise typer.Exit(2)
        before = progress.volume
        progress.volume = "quiet" if quiet else "verbose" if verbose else "normal"
        try:
            with _silent() if quiet and options.get("as_json") is not True else contextlib.nullcontext():
                return command(*args, **options)
        finally:
            progress.volume = before

    own = inspect.signature(command, eval_str=True)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in (("quiet", _QUIET), ("verbose", _VERBOSE))
    ]
    louder.__signature__ = own.replace(parameters=[*own.parameters.values(), *added])  # type: ignore[attr-defined]
    louder.__annotations__ = {name: p.annotation for name, p in louder.__signature__.parameters.items()}  # type: ignore[attr-defined]
    return louder


@contextmanager
def _silent() -> Iterator[None]:
    with open(os.devnull, "w", encoding="utf-8") as nothing, contextlib.redirect_stdout(nothing):
        yield
