"""The compiled libraries: where they are, what they hold, and why they cannot be used where they cannot.

They are loaded when this module is imported. Nothing fails without them: the ops then run in plain PyTorch.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
from pathlib import Path

import torch

LIBRARY = Path(__file__).parent / "lib" / "libapnt_cpu.so"
"""The operators' schemas and their CPU kernels. ``apnt/lib`` has no ``__init__``: it is no Python package."""

CUDA_LIBRARY = LIBRARY.with_name("libapnt_cuda.so")
"""The operators' CUDA kernels; loaded only where PyTorch has CUDA, whose libraries it needs."""

_OLDEST = (2, 10)  # release of PyTorch whose stable ABI the libraries are built for: later ones have it, too


def _load() -> str | None:
    """Register the operators with PyTorch; the reason if that is impossible."""
    if not LIBRARY.is_file():
        return f"the compiled library is missing ({LIBRARY}); build it with: pip install ."
    return _register(LIBRARY, "the compiled library")


def _register(library: Path, name: str) -> str | None:
    # A PyTorch that lacks what the library calls may end the process, when it is called: it is not asked.
    if _release(torch.__version__) < _OLDEST:
        return f"{_other(library, name)}: it needs {_OLDEST[0]}.{_OLDEST[1]} or later"
    try:
        torch.ops.load_library(str(library))
    except (OSError, RuntimeError) as error:
        return f"{_other(library, name)}: {error}"
    return None


def _other(library: Path, name: str) -> str:
    """That a library does not load, and with which PyTorch it was built, where that is another release."""
    built = built_with(library)
    other = built is not None and _release(built) != _release(torch.__version__)
    why = f", because it was built with PyTorch {built}; build it again with: pip install ." if other else ""
    return f"{name} does not load with PyTorch {torch.__version__}{why}"


def _release(version: str) -> tuple[int, ...]:
    """(2, 13) of "2.13.0+cpu"."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def built_with(library: Path = LIBRARY) -> str | None:
    """The version of PyTorch that a library was built with, such as "2.13.0+cpu"; None where it does not say.

    It is read from the file, so that a library that does not load can be asked, too.
    """
    try:
        said = re.search(rb"apnt was built with PyTorch (\S+) \[\w+\]\0", library.read_bytes())
    except OSError:
        return None
    return None if said is None else said[1].decode(errors="replace")


MISSING: str | None = _load()
"""Why the compiled library is not there, or None."""

LOADED = MISSING is None


def _load_cuda() -> str | None:
    """Register the CUDA kernels with PyTorch; the reason if that is impossible."""
    if MISSING is not None:
        return MISSING
    if torch.version.hip is not None:
        return f"PyTorch {torch.__version__} is built for AMD GPUs"
    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} is built without CUDA"
    if not CUDA_LIBRARY.is_file():
        return "apnt was built without CUDA kernels; put nvcc on PATH and run: APNT_CUDA=1 pip install ."
    return _register(CUDA_LIBRARY, "the library of the CUDA kernels")


CUDA_MISSING: str | None = _load_cuda()
"""Why the CUDA kernels are not there, or None. Whether there is a GPU is another question."""


def _text(function: str, library: Path = LIBRARY, *arguments: int) -> str:
    call = getattr(ctypes.CDLL(str(library)), function)
    call.restype = ctypes.c_char_p
    return str(call(*arguments).decode())


def instruction_sets() -> list[str]:
    """The sets of instructions that the CPU kernels were built for, widest last."""
    return _text("apnt_instruction_sets").split() if LOADED else []


def instruction_set() -> str | None:
    """The one that the CPU kernels use on this machine, from ``APNT_CPU_ISA`` or the widest that it has."""
    return _text("apnt_instruction_set") if LOADED else None


def cuda_architectures() -> str | None:
    """What the CUDA kernels were built for, such as ``sm_80 sm_90 ptx``; None without them."""
    return _text("apnt_cuda_architectures", CUDA_LIBRARY) if CUDA_MISSING is None else None


@functools.cache
def cuda_refusal(device: int) -> str | None:
    """Why the CUDA kernels cannot run on GPU number ``device``, None if they can.

    They cannot where the library has no code for the GPU, or was built by a toolkit that is newer than the
    driver.
    """
    return _text("apnt_cuda_refusal", CUDA_LIBRARY, device) or None


def show_config() -> str:
    """What was built and what of it runs here, for people."""
    if not LOADED:
        return f"compiled library: {MISSING}"
    cuda = f"for {cuda_architectures()}" if CUDA_MISSING is None else f"no, {CUDA_MISSING}"
    forced = " (from APNT_CPU_ISA)" if os.environ.get("APNT_CPU_ISA") else ""
    return (
        f"compiled library: {LIBRARY}\n"
        f"built with: PyTorch {built_with() or 'unknown'}\n"
        f"CPU kernels for: {', '.join(instruction_sets())}\n"
        f"used here: {instruction_set()}{forced}\n"
        f"CUDA kernels: {cuda}"
    )
