"""csrc/cuda as nvcc compiles it: PTX of the kernels, and their host code beside a stand-in of the CUDA
runtime.

The host code is the product's own: it chooses kernels, sizes and parameters, and every launch it makes is
written down. So nothing here knows a kernel's name or parameters.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .parse import Kernel, Module

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
BUILD = ROOT / "build" / "ptx"
FLAGS = ("-std=c++17", "-O3", "-Xcompiler=-fPIC,-fvisibility=hidden")  # as setup.py has them
TARGET = "-gencode=arch=compute_80,code=compute_80"


def unavailable() -> str | None:
    """Why the kernels cannot be compiled here; None if they can."""
    return None if shutil.which("nvcc") and shutil.which("g++") else "nvcc and g++ are needed on PATH"


@dataclass(frozen=True)
class Launch:
    """One launch: the kernel's name in its PTX, sizes, and the bytes of each parameter."""

    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    dynamic: int  # bytes of shared memory
    parameters: tuple[bytes, ...]


@dataclass(frozen=True)
class Zero:
    """Device memory that is cleared."""

    address: int
    size: int


@dataclass
class Compiled:
    path: Path  # of the library
    modules: list[Module]
    library: ctypes.CDLL = field(init=False)
    kernels: dict[str, Kernel] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.library = ctypes.CDLL(str(self.path))
        for name in ("match", "match_backward", "swap", "swap_backward", "refusal"):
            getattr(self.library, name).restype = ctypes.c_char_p
        for name in ("match_workspace", "match_backward_workspace", "swap_backward_workspace"):
            getattr(self.library, name).restype = ctypes.c_int64
        self.library.takes_channels_last.restype = ctypes.c_bool
        self.listen()

    def kernel(self, name: str) -> Kernel:
        if name not in self.kernels:
            module = next(module for module in self.modules if name in module.entries)
            self.kernels[name] = module.kernel(name)
        return self.kernels[name]

    def again(self, folder: Path) -> Compiled:
        """The same once more, as in a fresh process: nothing has been asked of the runtime yet."""
        return Compiled(shutil.copy(self.path, folder / "again.so"), self.modules)

    def record(self, call: Callable[[], None]) -> list[Launch | Zero]:
        """What ``call`` launches and clears, in its order; of this thread alone.

        An error while a launch is written down is raised when the call has ended: C cannot pass it on.
        """
        found: list[Launch | Zero] = []
        _recording.found, _recording.error = found, None
        try:
            call()
        finally:
            _recording.found = None
        if _recording.error is not None:
            raise _recording.error
        return found

    def listen(self, attribute: Callable[[bytes, int], None] | None = None) -> None:
        """``attribute`` (kernel, bytes) is called whenever the host code has set a kernel's shared memory."""

        def launched(name, sizes, shared, arguments):  # type: ignore[no-untyped-def]
            found = getattr(_recording, "found", None)
            if found is None:
                return
            kernel = name.decode()
            try:
                sized = enumerate(self.kernel(kernel).parameter_bytes())
                values = tuple(ctypes.string_at(arguments[i], size) for i, size in sized)
            except Exception as error:
                _recording.error = _recording.error or error
                return
            found.append(Launch(kernel, tuple(sizes[:3]), tuple(sizes[3:6]), shared, values))

        def cleared(address, size):  # type: ignore[no-untyped-def]
            if getattr(_recording, "found", None) is not None:
                _recording.found.append(Zero(address, size))

        # Kept, because C has pointers to them.
        self.hooks = (
            _LAUNCHED(launched),
            _CLEARED(cleared),
            _ATTRIBUTE(attribute) if attribute else _ATTRIBUTE(),
        )
        self.library.ptx_hooks(*self.hooks)


_LAUNCHED = ctypes.CFUNCTYPE(
    None, ctypes.c_char_p, ctypes.POINTER(ctypes.c_uint), ctypes.c_size_t, ctypes.POINTER(ctypes.c_void_p)
)
_CLEARED = ctypes.CFUNCTYPE(None, ctypes.c_size_t, ctypes.c_size_t)
_ATTRIBUTE = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int)
_recording = threading.local()


@functools.cache
def compiled(csrc: Path = ROOT / "csrc") -> Compiled:
    """The kernels of ``csrc``; compiled where a source has changed since the last time.

    Raises:
        RuntimeError: a compiler's message, be it a warning.
    """
    sources = [*sorted(csrc.glob("cuda/*.cu")), HERE / "operators.cpp", HERE / "runtime.cpp"]
    with ThreadPoolExecutor(int(os.environ.get("MAX_JOBS", os.cpu_count() or 1))) as pool:
        folders = list(pool.map(lambda source: compile_one(source, csrc), sources))
    objects = [str(folder / "object.o") for folder in folders]
    modules = [Module(path.read_text()) for folder in folders for path in folder.glob("*.ptx")]
    name = hashlib.sha256(" ".join(objects).encode()).hexdigest()[:20]
    library = BUILD / f"host-{name}.so"
    if not library.exists():
        part = library.with_suffix(f".{os.getpid()}")
        _execute(["g++", "-shared", "-Wl,-z,defs", *objects, "-o", str(part)])
        part.replace(library)
    return Compiled(library, modules)


def compile_one(source: Path, csrc: Path) -> Path:
    """A folder with the object file and, of kernels, the PTX; it is kept until a source or a flag changes."""
    key = hashlib.sha256(_version() + " ".join([*FLAGS, TARGET]).encode())
    for path in _included(source, csrc):
        key.update(path.read_bytes())
    folder = BUILD / f"{source.stem}-{key.hexdigest()[:20]}"
    BUILD.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        # Of several processes one compiles, and the others wait: tests run side by side.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            part = folder.with_name(f"{folder.name}.{os.getpid()}")
            part.mkdir(exist_ok=True)
            keep = ["--keep", "--keep-dir", str(part), "-o", str(part / "object.o")]
            _execute(["nvcc", *FLAGS, TARGET, f"-I{csrc}", "-c", str(source), *keep])
            part.rename(folder)
    return folder


@functools.cache
def _version() -> bytes:
    return subprocess.run(["nvcc", "--version"], capture_output=True, check=True).stdout


def _included(source: Path, csrc: Path) -> list[Path]:
    found = [source]
    for path in found:  # grows on the way
        for name in re.findall(r'^#include "(.+?)"', path.read_text(), re.MULTILINE):
            header = csrc / name
            if header.exists() and header not in found:
                found.append(header)
    return found


def _execute(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or "warning" in done.stderr:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
