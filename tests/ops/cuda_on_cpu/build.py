"""The CUDA kernels on the CPU: built with this folder's stand-in for the CUDA runtime, and made operators.

The operators ``apnt_cuda_on_cpu::*`` have the schemas, fakes and gradients of ``apnt::*``.

Environment:
    APNT_CUDA_ON_CPU_SANITIZE: 1 builds with AddressSanitizer and UndefinedBehaviorSanitizer; their libraries
        must then be loaded before Python (``make sanitize``).
    APNT_CUDA_ON_CPU_SOURCES: another copy of csrc.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import torch

from apnt import _ext

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
BUILD = ROOT / "build" / "cuda-on-cpu"
NAMESPACE = "apnt_cuda_on_cpu"
OPERATORS = ("window_match", "window_match_backward", "patch_swap", "patch_swap_backward")

TORCH_TARGET = "-DTORCH_TARGET_VERSION=0x020a000000000000"  # as in setup.py
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer")
WARNINGS = ("-Wall", "-Wextra", "-Wno-unknown-pragmas")
FLAGS = ("-std=c++17", "-fPIC", "-fvisibility=hidden", *WARNINGS, "-DAPNT_CUDA_ON_CPU")


def unavailable() -> str | None:
    """Why the kernels cannot run here; None if they can."""
    if not _ext.LOADED:
        return f"the operators' schemas come from the compiled library: {_ext.MISSING}"
    if shutil.which("g++") is None:
        return "g++ is not installed"
    if importlib.util.find_spec("pybind11") is None:
        return "pybind11 is not installed; it comes with pip install '.[dev]'"
    return None


def sanitized() -> bool:
    return os.environ.get("APNT_CUDA_ON_CPU_SANITIZE") == "1"


def compile_all(sources: Iterable[Path], csrc: Path, flags: tuple[str, ...], sanitize: bool) -> list[Path]:
    """Object files of ``sources``, from the last build where neither a file nor a flag has changed since."""
    from torch.utils.cpp_extension import include_paths

    optimize = ("-O1", "-g1", *SANITIZE) if sanitize else ("-O2", "-g0")
    versions = f"{torch.__version__} {sys.version}"

    def compile_one(source: Path) -> Path:
        command = ["g++", *FLAGS, *optimize, *flags, "-I", str(csrc), "-I", str(HERE)]
        if source.name == "ops.cpp":
            command += [TORCH_TARGET, *(f"-isystem{path}" for path in include_paths())]
        # Without the folder: a copy of csrc with the same text has the same objects.
        key = hashlib.sha256(" ".join([versions, *(part for part in command if part != str(csrc))]).encode())
        for path in included(source, csrc):
            key.update(path.read_bytes())
        target = BUILD / f"{source.stem}-{key.hexdigest()[:20]}.o"
        return execute([*command, "-x", "c++", "-c", str(source)], target)

    BUILD.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(int(os.environ.get("MAX_JOBS", os.cpu_count() or 1))) as pool:
        return list(pool.map(compile_one, sources))


def included(source: Path, csrc: Path) -> list[Path]:
    """``source`` and all files of ``csrc`` and of this folder that it includes, directly or not."""
    found = [source]
    for path in found:  # grows on the way
        for name in re.findall(r'^#include "(.+?)"', path.read_text(), re.MULTILINE):
            header = HERE / name if (HERE / name).exists() else csrc / name
            if header not in found:
                found.append(header)
    return found


def execute(command: list[str], target: Path) -> Path:
    """Run the compiler if there is no ``target``, which appears whole or not at all.

    Of several processes one does, and the others wait: tests run side by side.
    """
    part = target.with_name(f"{target.name}.{os.getpid()}")
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return target
        done = subprocess.run(
            [*command, "-o", str(part)], capture_output=True, text=True, env=environment, check=False
        )
        if done.returncode:
            part.unlink(missing_ok=True)
            raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
        return part.replace(target)


def link(objects: list[Path], target: Path, *flags: str) -> Path:
    return execute(["g++", *(str(path) for path in objects), *flags], target)


def build(csrc: Path, sanitize: bool = False) -> Path:
    """The module's file, from the kernels in ``csrc``."""
    import pybind11
    from torch.utils.cpp_extension import library_paths

    sources = [*sorted(csrc.glob("cuda/*.cu")), csrc / "cuda" / "ops.cpp", HERE / "on_cpu.cpp"]
    objects = compile_all(sources, csrc, (), sanitize)
    include = ("-isystem", pybind11.get_include(), "-isystem", sysconfig.get_path("include"))
    objects += compile_all([HERE / "module.cpp"], csrc, include, sanitize)
    name = hashlib.sha256(" ".join(path.name for path in objects).encode()).hexdigest()[:20]
    flags = ["-shared", *(f"-L{path}" for path in library_paths()), "-ltorch_cpu"]
    return link(objects, BUILD / f"module-{name}.so", *(SANITIZE if sanitize else ()), *flags)


def build_faults(sanitize: bool = False) -> Path:
    """The program of kernels with a mistake each: faults.cpp and the stand-in, without Python."""
    objects = compile_all([HERE / "on_cpu.cpp", HERE / "faults.cpp"], ROOT / "csrc", (), sanitize)
    return link(objects, BUILD / objects[-1].stem, *(SANITIZE if sanitize else ()))


@functools.cache
def load() -> ModuleType:
    """The stand-in's controls; ``torch.ops.apnt_cuda_on_cpu`` is there afterwards."""
    path = build(Path(os.environ.get("APNT_CUDA_ON_CPU_SOURCES", ROOT / "csrc")), sanitized())
    library = torch.library.Library(NAMESPACE, "DEF")
    for name in OPERATORS:
        schema = str(getattr(torch.ops.apnt, name).default._schema)
        library.define(schema.removeprefix("apnt::"))
    spec = importlib.util.spec_from_file_location(NAMESPACE, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.library = library  # the operators live as long as it does
    importlib.import_module("apnt.ops.patch_swap").attach(
        NAMESPACE, channels_last=("cpu",), channels_last_backward=("cpu",)
    )
    importlib.import_module("apnt.ops.window_match").attach(NAMESPACE)
    return module
