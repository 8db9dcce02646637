"""The CUDA kernels as nvcc sees them: they compile for every promised GPU, without spills, and they load.

What a library holds by default is code for sm_80, sm_90 and sm_120, and PTX of sm_90; sm_100 gets what its
driver makes of that PTX, with the same assembler as here.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "csrc" / "cuda").glob("*.cu"))
GPUS = {"sm_80": 163, "sm_90": 227, "sm_100": 227, "sm_120": 99}  # KB of shared memory that a block may have

needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not on PATH")


@dataclass(frozen=True)
class Kernel:
    """What the compiler reports of one kernel for one architecture."""

    name: str
    architecture: str
    registers: int
    shared: int
    spilled: int


def kernels(report: str) -> list[Kernel]:
    """From the output of ``nvcc -Xptxas -v``."""
    found = []
    for part in re.split(r"^ptxas info\s*: Compiling entry function ", report, flags=re.MULTILINE)[1:]:
        head = re.match(r"'(\w+)' for '(\w+)'", part)
        spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", part)
        used = re.search(r"Used (\d+) registers", part)
        assert head is not None, part
        assert spills is not None, part
        assert used is not None, part
        shared = re.search(r"(\d+) bytes smem", part)
        spilled = int(spills[1]) + int(spills[2])
        found.append(Kernel(head[1], head[2], int(used[1]), int(shared[1]) if shared else 0, spilled))
    return found


@pytest.fixture(scope="module")
def reports(setup_py: ModuleType) -> dict[str, str]:
    """nvcc's report for every source file; kept in build/nvcc until a source, a header or a flag changes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)
        flags = [*setup_py.nvcc_flags(), "-gencode=arch=compute_90,code=sm_100", "-Xptxas=-v"]
    headers = sorted((ROOT / "csrc").glob("**/*.h")) + sorted((ROOT / "csrc").glob("**/*.cuh"))
    version = subprocess.run(["nvcc", "--version"], capture_output=True, check=True).stdout
    known = hashlib.sha256(version + " ".join(flags).encode())
    for header in headers:
        known.update(header.read_bytes())
    folder = ROOT / "build" / "nvcc"
    folder.mkdir(parents=True, exist_ok=True)

    def report(source: Path) -> str:
        key = known.copy()
        key.update(source.read_bytes())
        kept = folder / f"{source.stem}-{key.hexdigest()[:20]}.txt"
        with kept.with_name(f"{kept.name}.lock").open("w") as lock:
            # Of several processes one compiles, and the others wait: tests run side by side.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                part = kept.with_name(f"{kept.name}.{os.getpid()}")
                # The code of the CPU, the same for every GPU, is compiled in tests/ptx.
                command = ["nvcc", *flags, "-fatbin", str(source.relative_to(ROOT)), "-o", str(part)]
                done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
                part.unlink(missing_ok=True)
                assert done.returncode == 0, done.stderr
                part.write_text(done.stderr + done.stdout)
                part.replace(kept)
        return kept.read_text()

    with ThreadPoolExecutor(int(os.environ.get("MAX_JOBS", os.cpu_count() or 1))) as pool:
        return dict(zip((path.name for path in SOURCES), pool.map(report, SOURCES), strict=True))


@needs_nvcc
@pytest.mark.parametrize("source", [path.name for path in SOURCES])
def test_compiles_for_every_gpu_without_spills(reports: dict[str, str], source: str) -> None:
    report = reports[source]
    assert "warning" not in report
    found = kernels(report)
    holds_kernels = "__global__" in (ROOT / "csrc" / "cuda" / source).read_text()
    assert {kernel.architecture for kernel in found} == (GPUS.keys() if holds_kernels else set())
    for kernel in found:
        assert kernel.shared <= GPUS[kernel.architecture] * 1024, kernel
        assert not kernel.spilled, kernel


def test_the_report_is_read_right() -> None:
    report = (
        "ptxas info    : 0 bytes gmem\n"
        "ptxas info    : Compiling entry function '_Z1fPf' for 'sm_80'\n"
        "ptxas info    : Function properties for _Z1fPf\n"
        "    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads\n"
        "ptxas info    : Used 64 registers, used 1 barriers, 2720 bytes smem, 400 bytes cmem[0]\n"
        "ptxas info    : Compiling entry function '_Z1gPf' for 'sm_90'\n"
        "ptxas info    : Function properties for _Z1gPf\n"
        "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
        "ptxas info    : Used 10 registers, used 0 barriers, 400 bytes cmem[0]\n"
    )
    assert kernels(report) == [Kernel("_Z1fPf", "sm_80", 64, 2720, 16), Kernel("_Z1gPf", "sm_90", 10, 0, 0)]


def test_every_kernel_source_is_there() -> None:
    assert {path.stem for path in SOURCES} >= {"patch_swap", "window_match"}


def test_architectures(setup_py: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, "", " "):
        if value is None:
            monkeypatch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)
        else:
            monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", value)
        monkeypatch.setattr(setup_py, "default_architectures", lambda: "8.0;9.0+PTX;12.0")
        assert setup_py.architectures() == [("80", False), ("90", True), ("120", False)]
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "8.6 9.0a;10.0+PTX")
    assert setup_py.architectures() == [("86", False), ("90a", False), ("100", True)]
    flags = setup_py.nvcc_flags()
    assert "-gencode=arch=compute_90a,code=sm_90a" in flags
    assert flags[-1] == "-gencode=arch=compute_100,code=compute_100"
    for value, message in (("Ampere", "must hold numbers such as 8.0"), ("7.5", "must hold 8.0 or more")):
        monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", value)
        with pytest.raises(SystemExit, match=message):
            setup_py.architectures()


@pytest.mark.parametrize(
    ("known", "names"), [("sm_90 sm_100 sm_120", "8.0;9.0+PTX;12.0"), ("sm_90", "8.0;9.0+PTX")]
)
def test_an_older_toolkit_builds_for_what_it_knows(
    setup_py: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, known: str, names: str
) -> None:
    nvcc = tmp_path / "nvcc"
    nvcc.write_text(f'#!/bin/sh\n[ "$1" = --list-gpu-code ] && printf "%s\\n" {known}\n')
    nvcc.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert setup_py.default_architectures.__wrapped__() == names


def test_whether_cuda_is_built(
    setup_py: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    nvcc = tmp_path / "nvcc"
    nvcc.write_text("#!/bin/sh\n")
    nvcc.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    for version, choice, expected, said in (
        ("13.0", "auto", True, ""),
        (None, "auto", False, "has no CUDA; APNT_CUDA=1 builds them"),
        (None, "1", True, ""),
        ("13.0", "0", False, "because APNT_CUDA=0"),
    ):
        monkeypatch.setattr(torch.version, "cuda", version)
        monkeypatch.setenv("APNT_CUDA", choice)
        assert setup_py.wants_cuda() is expected
        assert said in capsys.readouterr().out
    nvcc.unlink()
    monkeypatch.setenv("APNT_CUDA", "auto")
    assert setup_py.wants_cuda() is False
    assert "no nvcc on PATH" in capsys.readouterr().out
    monkeypatch.setenv("APNT_CUDA", "1")
    with pytest.raises(SystemExit, match="APNT_CUDA=1, but there is no nvcc"):
        setup_py.wants_cuda()
    monkeypatch.setenv("APNT_CUDA", "yes")
    with pytest.raises(SystemExit, match="APNT_CUDA must be auto, 0 or 1, got 'yes'"):
        setup_py.wants_cuda()


def test_the_toolkit_behind_a_wrapper(
    setup_py: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "toolkit" / "bin").mkdir(parents=True)
    nvcc = tmp_path / "nvcc"
    nvcc.write_text(f"#!/bin/sh\necho '#$ _HERE_=x' >&2\necho '#$ TOP={tmp_path}/toolkit/bin/..' >&2\n")
    nvcc.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert setup_py.cuda_home() == tmp_path / "toolkit"


def test_gpu_check_says_what_it_lacks(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available() and shutil.which("nvcc"):
        pytest.skip("there is a GPU, on which it takes ten minutes")
    done = subprocess.run(
        [ROOT / "benchmarks" / "gpu_check.sh", tmp_path],
        capture_output=True, text=True, env={**os.environ, "PYTHON": sys.executable}, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert re.search("gpu_check: (there is no nvcc on PATH|PyTorch finds no NVIDIA GPU: .+)", done.stderr)
    assert (tmp_path / "summary.txt").read_text() == done.stderr


LOAD = """
import ctypes, sys, torch
torch.version.cuda = "13.0"
from apnt import _ext
print(_ext.CUDA_MISSING)
print(_ext.cuda_architectures())
names = "window_match", "window_match_backward", "patch_swap", "patch_swap_backward"
print(all(torch._C._dispatch_has_kernel_for_dispatch_key("apnt::" + name, "CUDA") for name in names))
from apnt.ops import _backend
print(_backend.unavailable("cuda"))
"""


@needs_nvcc
@pytest.mark.skipif(os.environ.get("APNT_TEST_CUDA_LIBRARY") != "1", reason="a build, which `make cuda` runs")
def test_the_built_library_registers_its_kernels(tmp_path: Path) -> None:
    """Built and loaded where PyTorch has no CUDA: beside an empty libtorch_cuda.so."""
    folders = ["--build-base", str(tmp_path), "--build-lib", str(tmp_path / "lib")]
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build", *folders],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, "APNT_CUDA": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (stub,) = tmp_path.glob("**/libtorch_cuda.so")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "lib"), "LD_LIBRARY_PATH": str(stub.parent)}
    found = subprocess.run(
        [sys.executable, "-c", LOAD],
        capture_output=True, text=True, cwd=tmp_path, env=environment, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    missing, architectures, registered, why = found.stdout.splitlines()
    assert missing == "None"
    assert architectures == "sm_80 sm_90 ptx sm_120"
    assert registered == "True"
    assert why == "PyTorch finds no NVIDIA GPU"
