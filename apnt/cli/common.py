"""What several commands share: options, lists of names, and errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from apnt import defaults
from apnt.errors import InputError

BAD_INPUT = 2
"""Exit code of input that a user can correct."""

FAILED = 1
"""Exit code of everything else that went wrong, and of checks that did not pass."""


class Precision(str, Enum):
    """Number format of the network."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


Weights = Annotated[str, typer.Option(help='"default", "fast", a .safetensors file, a folder or a Hub id.')]
SeveralWeights = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        help='"default", "fast", a .safetensors file, folder or Hub id of a network; repeat it for several.',
        show_default=defaults.WEIGHTS,
    ),
]
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


def names(option: str, text: str | None) -> list[str] | None:
    """``"a, b"`` -> ``["a", "b"]``; None, an option that was not given, stays None."""
    if text is None:
        return None
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise InputError(
            f"{option} must be names, separated by commas, got {text!r}: leave it out for the default"
        )
    return found


@contextmanager
def clear_errors() -> Iterator[None]:
    """End the command with one line on stderr, and the exit code, for errors that have a sentence."""
    try:
        yield
    except InputError as error:
        _fail(error, BAD_INPUT)
    except BrokenPipeError:  # the reader of stdout has closed it, as in `| head`; typer ends quietly
        raise
    except (OSError, MemoryError, FloatingPointError) as error:
        _fail(error, FAILED)


def _fail(error: Exception, code: int) -> NoReturn:
    typer.echo("Error: " + " ".join(str(error).split()), err=True)
    raise typer.Exit(code)
