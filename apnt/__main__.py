"""The program ``apnt``, also as ``python -m apnt``, which is how ``torchrun`` starts it."""

from __future__ import annotations

import signal


def run() -> None:
    """Run :data:`apnt.cli.app` in a process of its own, where signals before and after it are quiet, too.

    Python itself prints a traceback for Ctrl-C while modules are imported, and while it waits for threads as
    it ends. The system's own way ends the process there: nothing is unfinished then. Between,
    :func:`apnt.cli.common.end_cleanly_on_signals` takes signals over.
    """
    _leave_to_the_system(signal.SIGINT)
    from apnt.cli import app
    from apnt.cli.stdout import name_stdout

    name_stdout()
    try:
        app(prog_name="apnt")
    finally:
        _leave_to_the_system(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _leave_to_the_system(*numbers: signal.Signals) -> None:
    """But for those that are ignored, as a shell has it in the background."""
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    run()
