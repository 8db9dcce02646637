"""Options and arguments that the parser refuses, in one line like all other errors."""

from __future__ import annotations

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from apnt.cli.common import FAILED, say
from apnt.cli.stdout import give_up

_UsageError: Any = typer.BadParameter.__mro__[1]  # typer has it from click, or brings it along


class Commands(TyperGroup):
    """The group of all commands."""

    def main(self, *args: Any, standalone_mode: bool = True, **options: Any) -> Any:
        """Parse and run; see click's ``Command.main``."""
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **options)  # type: ignore[misc]
        try:
            code = super().main(*args, standalone_mode=False, **options)  # type: ignore[misc]
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError as error:  # of what is printed: commands have sentences for all others
            if not isinstance(error, BrokenPipeError):  # whose reader wants no more, as in `| head`
                say(f"Error: {error}", err=True)
            give_up(error)
            sys.exit(FAILED)
        except _UsageError as error:
            if type(error).__name__ == "NoArgsIsHelpError":  # a group alone
                error.show()
            else:
                message = " ".join(error.format_message().split())
                where = error.ctx.command_path if error.ctx is not None else "apnt"
                say(f"Error: {message.rstrip('.')}: see {where} --help", err=True)
            sys.exit(error.exit_code)
        except typer.Abort:
            sys.exit(1)
        sys.exit(code if isinstance(code, int) else 0)
