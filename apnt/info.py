"""What this installation consists of and what it can use, also where a part of it is broken."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import apnt
from apnt.packaged import packaged

# Packages whose versions can change numbers: what tables call them -> (module, distribution).
_PACKAGES = {
    "torch": ("torch", "torch"),
    "numpy": ("numpy", "numpy"),
    "opencv": ("cv2", "opencv-python"),
    "openexr": ("OpenEXR", "OpenEXR"),
}


# The readers of photographs in the same way; the second line is the extra apnt[photo].
_READERS = {
    "pillow": ("PIL", "pillow"), "tifffile": ("tifffile", "tifffile"),
    "rawpy": ("rawpy", "rawpy"), "pillow-heif": ("pillow_heif", "pillow-heif"),
    "imagecodecs": ("imagecodecs", "imagecodecs"),
}  # fmt: skip
_EXTRA = "not installed: pip install 'apnt[photo]'"


def collect() -> dict[str, Any]:
    """Versions, processor, GPU, packaged weights, readers and the backend of the ops, ready for JSON.

    A part that cannot be asked, because a package is missing or broken, says why under ``error``.
    """
    return {
        "versions": versions(),
        "cpu": _guarded(_cpu),
        "cuda": _guarded(_cuda),
        "weights": packaged_weights(),
        "readers": readers(),
        "ops": _guarded(backends),
    }


def versions() -> dict[str, str]:
    """Of this package, of Python, and of the packages whose versions can change numbers."""
    found = {"apnt": apnt.__version__, "python": platform.python_version()}
    return found | {name: _version(*names) for name, names in _PACKAGES.items()}


def readers() -> dict[str, str]:
    """What reads photographs: versions, or that the extra ``apnt[photo]`` is missing (docs/formats.md)."""
    return {
        name: _EXTRA if find_spec(module) is None else _version(module, distribution)
        for name, (module, distribution) in _READERS.items()
    }


def _version(module: str, distribution: str) -> str:
    try:
        with redirect_stdout(
            sys.stderr
        ):  # OpenCV prints there when NumPy is missing, and --json must stay JSON
            imported = import_module(module)
        return getattr(imported, "__version__", None) or version(distribution)
    except PackageNotFoundError:
        return "unknown"
    except Exception as error:  # a broken library raises whatever its loader does
        return f"cannot be imported: {_reason(error)}"


def _guarded(section: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return section()
    except Exception as error:  # as above
        return {"error": _reason(error)}


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _cpu() -> dict[str, Any]:
    import torch

    from apnt.device import has_bf16

    return {
        "name": processor(),
        "machine": platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "bf16": has_bf16(torch.device("cpu")),
    }


def _cuda() -> dict[str, Any]:
    import torch

    devices = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    return {
        "available": torch.cuda.is_available(),
        "built_for": torch.version.cuda,
        "devices": [torch.cuda.get_device_name(index) for index in devices],
    }


def processor() -> str:
    """The processor's name as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # no Linux
        pass
    return platform.processor() or platform.machine()


def backends() -> dict[str, Any]:
    """Which implementations of the ops run on this machine, and why the others do not."""
    import torch

    from apnt import _ext
    from apnt.errors import InputError
    from apnt.ops import _backend

    def used(device: str) -> str:
        try:
            return _backend.choose(None, torch.empty(1, 1, 1, 1, device=device))
        except InputError as error:
            return str(error)

    states = {name: _backend.unavailable(name) for name in _backend.BACKENDS}
    return {
        "backend_on_cpu": used("cpu"),
        "backend_on_gpu": used("cuda") if torch.cuda.is_available() else None,
        **{f"backend_{name}": "yes" if why is None else f"no: {why}" for name, why in states.items()},
        "library": str(_ext.LIBRARY) if _ext.LOADED else None,
        "library_built_with": f"torch {_ext.built_with() or 'unknown'}" if _ext.LIBRARY.is_file() else None,
        "instruction_sets": _ext.instruction_sets(),
        "instruction_set": _ext.instruction_set(),
        "cuda_architectures": _ext.cuda_architectures(),
    }


def packaged_weights() -> list[str]:
    """Names of the checkpoints that came with the package."""
    return sorted(path.name for path in packaged().values())


def as_text(info: dict[str, Any]) -> str:
    """:func:`collect`'s dictionary as aligned lines."""
    rows: list[tuple[str, object]] = []
    for key, value in info.items():
        if isinstance(value, dict):
            rows += [(name if key == "versions" else f"{key} {name}", entry) for name, entry in value.items()]
        else:
            rows.append((key, value))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name.replace('_', ' '):<{width}}  {_text(value)}" for name, value in rows)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
