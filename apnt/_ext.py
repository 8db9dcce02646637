"""The compiled library: where it is, what it holds, and why it cannot be used where it cannot.

It is loaded when this module is imported. Nothing fails without it: the ops then run in plain PyTorch.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import torch

LIBRARY = Path(__file__).parent / "lib" / "libapnt_cpu.so"
"""The operators' schemas and their CPU kernels. ``apnt/lib`` has no ``__init__``: it is no Python package."""


def _load() -> str | None:
    """Register the operators with PyTorch; the reason if that is impossible."""
    if not LIBRARY.is_file():
        return f"the compiled library is missing ({LIBRARY}); build it with: pip install ."
    try:
        torch.ops.load_library(str(LIBRARY))
    except (OSError, RuntimeError) as error:
        return f"the compiled library does not load with PyTorch {torch.__version__}: {error}"
    return None


MISSING: str | None = _load()
"""Why the compiled library is not there, or None."""

LOADED = MISSING is None


def _text(function: str) -> str:
    call = getattr(ctypes.CDLL(str(LIBRARY)), function)
    call.restype = ctypes.c_char_p
    return str(call().decode())


def instruction_sets() -> list[str]:
    """The sets of instructions that the CPU kernels were built for, widest last."""
    return _text("apnt_instruction_sets").split() if LOADED else []


def instruction_set() -> str | None:
    """The one that the CPU kernels use on this machine, from ``APNT_CPU_ISA`` or the widest that it has."""
    return _text("apnt_instruction_set") if LOADED else None


def show_config() -> str:
    """What was built and what of it runs here, for people."""
    if not LOADED:
        return f"compiled library: {MISSING}"
    forced = " (from APNT_CPU_ISA)" if os.environ.get("APNT_CPU_ISA") else ""
    return (
        f"compiled library: {LIBRARY}\n"
        f"CPU kernels for: {', '.join(instruction_sets())}\n"
        f"used here: {instruction_set()}{forced}"
    )
