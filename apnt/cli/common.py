"""What several commands share: options, lists of names, and errors."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from apnt import defaults, progress
from apnt.cli import complete
from apnt.cli.stdout import give_up
from apnt.errors import InputError
from apnt.memory import SMALLER, explained
from apnt.text import printable, reason

BAD_INPUT = 2
"""Exit code of input that a user can correct."""

FAILED = 1
"""Exit code of everything else that went wrong, and of checks that did not pass."""


class Precision(str, Enum):
    """Number format of the network."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class Align(str, Enum):
    """Whether frames are aligned."""

    auto = "auto"
    off = "off"


PHOTOGRAPHS, PICTURE = "The photographs", "The picture"
"""Headings of options in a command's help."""

Weights = Annotated[
    str,
    typer.Option(
        autocompletion=complete.weights, help='"default", "fast", a .safetensors file, a folder or a Hub id.'
    ),
]
SeveralWeights = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        help='"default", "fast", a .safetensors file, folder or Hub id of a network; repeat it for several.',
        show_default=defaults.WEIGHTS,
    ),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; by default CUDA where there is one.")]
NumberFormat = Annotated[Precision, typer.Option(help="auto: bf16 where the hardware has it.")]
Method = Annotated[
    str,
    typer.Option(
        autocompletion=complete.methods,
        help="How to fuse: apnt, or a method that it is compared with, such as weighted.",
    ),
]
Curve = Annotated[
    str,
    typer.Option(
        help="The camera's response: auto, gamma22, srgb, bt709, linear, or a file.",
        rich_help_panel=PHOTOGRAPHS,
    ),
]
Alignment = Annotated[
    Align,
    typer.Option(help="Bring all frames to the reference's geometry.", rich_help_panel=PHOTOGRAPHS),
]
TrustExposures = Annotated[
    bool,
    typer.Option(
        "--trust-exposures",
        help="Take exposures as they are: none is refused or corrected.",
        rich_help_panel=PHOTOGRAPHS,
    ),
]
LookName = Annotated[
    str,
    typer.Option(
        autocompletion=complete.looks,
        help="How the picture is made: local, filmic, display, reinhard or none.",
        rich_help_panel=PICTURE,
    ),
]
PictureExposure = Annotated[
    float,
    typer.Option(
        metavar="EV",
        help="Stops by which the picture is brighter than the reference.",
        rich_help_panel=PICTURE,
    ),
]
WhiteBalance = Annotated[
    str,
    typer.Option(
        help="Of the picture: as-shot, grey-world, 5200K, or red,green,blue gains.", rich_help_panel=PICTURE
    ),
]
GainMap = Annotated[
    bool,
    typer.Option(
        "--gain-map", help="A .jpg that HDR displays show brighter (Ultra HDR).", rich_help_panel=PICTURE
    ),
]
NoPreview = Annotated[
    bool, typer.Option("--no-preview", help="Write no tone-mapped picture.", rich_help_panel=PICTURE)
]
Metadata = Annotated[
    str,
    typer.Option(
        autocompletion=complete.metadata,
        help="Kept of the reference frame: all, anonymous (no place, people, numbers), none.",
    ),
]
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
Memory = Annotated[
    str | None,
    typer.Option(help="Most that fusing may take, such as 2GB; by default most of what is free."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]
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


_NO_NAME = (errno.ENAMETOOLONG, errno.ELOOP)
"""What the system says of a name that no file can have: another one can be given."""

_ENDED_BY: list[int] = []
"""Signals that have ended this process."""


@contextmanager
def clear_errors() -> Iterator[None]:
    """End the command with one line on stderr, and the exit code, for errors that have a sentence."""
    try:
        with _sentences():
            yield
    except BaseException:
        if _ENDED_BY:  # whatever has become of its SystemExit: an import can make a RuntimeError of it
            raise SystemExit(128 + _ENDED_BY[0]) from None
        raise


@contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except InputError as error:
        _fail(error, BAD_INPUT)
    except KeyboardInterrupt:
        say("Interrupted: unfinished files are removed.", err=True)
        raise typer.Exit(128 + signal.SIGINT) from None
    except BrokenPipeError:  # the reader of stdout has closed it, as in `| head`; typer ends quietly
        raise
    except OSError as error:
        if error.errno in _NO_NAME:
            _fail(InputError(f"names of files must be such as the system takes: {reason(error)}"), BAD_INPUT)
        _fail(error, FAILED)
    except FloatingPointError as error:
        _fail(error, FAILED)
    except (MemoryError, RuntimeError, ImportError, SystemError) as error:
        # Kinds of too little memory, of torch, of Python and of imports, where nothing has named what asked.
        try:
            with explained("this command", SMALLER):
                raise error
        except MemoryError as known:
            _fail(known, FAILED)


def _fail(error: Exception, code: int) -> NoReturn:
    if _ENDED_BY:  # what follows from a signal is no error of its own
        raise error
    if progress.volume == "verbose":
        say("".join(traceback.format_exception(error)).rstrip(), err=True)
    say("Error: " + (" ".join(str(error).split()) or type(error).__name__), err=True)
    give_up(error)
    raise typer.Exit(code)


def say(line: object, err: bool = False) -> None:
    """Print one line, in which names of files that came from elsewhere cannot steer the terminal."""
    typer.echo(printable(str(line)), err=err)


@contextmanager
def only_result_on_stdout() -> Iterator[Callable[[str], None]]:
    """Send to stderr whatever libraries print on stdout, from Python or C, while a result is made.

    Yields:
        What prints a line of the result meanwhile.
    """
    stdout = sys.stdout
    stdout.flush()
    try:
        kept, errors = os.dup(1), sys.stderr
    except OSError:  # there is no stdout
        yield lambda line: None
        return

    def result(line: str) -> None:
        os.dup2(kept, 1)
        try:
            print(line, file=stdout, flush=True)
        finally:
            os.dup2(2, 1)

    try:
        os.dup2(2, 1)
        with contextlib.redirect_stdout(errors):
            yield result
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def end_cleanly_on_signals() -> None:
    """Have SIGTERM, SIGHUP and Ctrl-C remove unfinished files and end the command; the code is 128 + signal.

    What Python or a library makes of that exception on its way changes nothing: see :func:`clear_errors`, and
    where it is dropped, in a destructor or a callback, the process ends there. A signal that is ignored, as
    nohup does with SIGHUP, stays ignored.
    """

    def end(number: int, _: object) -> NoReturn:
        # Nothing is imported here: the signal may have come amid that very import, before any file is begun.
        remove = getattr(sys.modules.get("apnt.io.files"), "remove_unfinished", None)
        if remove is not None:
            remove()
        _ENDED_BY.append(number)
        sys.unraisablehook = lambda _: os._exit(128 + number)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, end)
