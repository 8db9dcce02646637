"""What this installation consists of and what it can use."""

from __future__ import annotations

import platform
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any


def collect() -> dict[str, Any]:
    """Versions, processor, GPU, packaged weights and the backend of the ops, ready for JSON."""
    import torch

    from apnt.device import has_bf16

    cuda = torch.cuda.is_available()
    return {
        "versions": versions(),
        "cpu": {
            "name": processor(),
            "machine": platform.machine(),
            "capability": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
            "bf16": has_bf16(torch.device("cpu")),
        },
        "cuda": {
            "available": cuda,
            "built_for": torch.version.cuda,
            "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
            if cuda
            else [],
        },
        "weights": packaged_weights(),
        "ops": backends(),
    }


def versions() -> dict[str, str]:
    """Of this package, of Python, and of the packages whose versions can change numbers."""
    import cv2
    import numpy
    import torch

    import apnt

    return {
        "apnt": apnt.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "opencv": cv2.__version__,
        "openexr": version("OpenEXR"),
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
        "instruction_sets": _ext.instruction_sets(),
        "instruction_set": _ext.instruction_set(),
        "cuda_architectures": _ext.cuda_architectures(),
    }


def packaged_weights() -> list[str]:
    """Names of the checkpoints that came with the package."""
    folder = files("apnt") / "weights"
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".safetensors"))


def as_text(info: dict[str, Any]) -> str:
    """:func:`collect`'s dictionary as aligned lines."""
    rows: list[tuple[str, object]] = []
    for key, value in info.items():
        if isinstance(value, dict):
            rows += [(name if key == "versions" else f"{key} {name}", entry) for name, entry in value.items()]
        else:
            rows.append((key, value))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name.replace('_', ' '):<{width}}  {_show(value)}" for name, value in rows)


def _show(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
