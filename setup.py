"""The packages, and the compiled library of the ops.

The library is no Python module: it registers its operators with PyTorch when it is loaded, through PyTorch's
stable ABI. So one wheel serves every Python, and every PyTorch from 2.10 on.

Each library holds a sentence that says with which PyTorch it was built, and a digest of that, of Python, of
the compilers and of their commands. One that lies in the build folder is taken again only if it holds the
same, and no source is newer.

Environment:
    APNT_CUDA: auto (default), 0 or 1: whether to build the CUDA kernels, a library of their own. auto does
        where there is an nvcc and PyTorch has CUDA; 1 does in any case, and what is missing is an error.
    TORCH_CUDA_ARCH_LIST: what to build them for, such as "8.0;9.0+PTX;12.0" (default; without 12.0 where nvcc
        is older than CUDA 12.8); +PTX serves newer GPUs too.
    MAX_JOBS: how many files are compiled at once; as many as there are processors if it is not set.
    CXX, CFLAGS, CXXFLAGS, LDFLAGS: as usual; setuptools decides which of the two compiles C++: set both.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path
from types import ModuleType

from setuptools import Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.modified import newer_group

X86 = platform.machine().lower() in ("x86_64", "amd64")

# PyTorch 2.10: nothing younger than its stable ABI may be used.
FLAGS = ["-std=c++17", "-Wall", "-Wextra", "-fvisibility=hidden", "-DTORCH_TARGET_VERSION=0x020a000000000000"]
AVX2 = ["-mavx2", "-mfma", "-mf16c"]
# Without the warnings of GCC 12 about its own headers.
QUIET = ["-Wno-uninitialized", "-Wno-maybe-uninitialized"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", *QUIET]
AVX512_BF16 = [*AVX512, "-mavx512bf16"]
AMX_BF16 = [*AVX512_BF16, "-mamx-tile", "-mamx-bf16"]

# The end of a source file's name says which instructions it may use; the others run on every machine.
INSTRUCTIONS = {"_avx2": AVX2, "_avx512": AVX512, "_avx512_bf16": AVX512_BF16, "_amx_bf16": AMX_BF16}


def say(line: str) -> None:
    """Print while building; pip shows it with -v."""
    print(f"apnt: {line}", flush=True)


def instructions(source: str) -> list[str]:
    """Flags of one source file; none if it runs on every machine."""
    return next((flags for end, flags in INSTRUCTIONS.items() if Path(source).stem.endswith(end)), [])


def wants_cuda() -> bool:
    """Whether to build the CUDA kernels, from APNT_CUDA; prints why not."""
    choice = os.environ.get("APNT_CUDA", "auto")
    if choice not in ("auto", "0", "1"):
        raise SystemExit(f"APNT_CUDA must be auto, 0 or 1, got {choice!r}")
    reason = None
    if choice == "0":
        reason = "APNT_CUDA=0"
    elif shutil.which("nvcc") is None:
        if choice == "1":
            raise SystemExit("APNT_CUDA=1, but there is no nvcc: put the CUDA toolkit's bin folder on PATH")
        reason = "there is no nvcc on PATH"
    elif choice == "auto":
        import torch

        if torch.version.cuda is None:
            reason = f"PyTorch {torch.__version__} has no CUDA; APNT_CUDA=1 builds them"
    if reason:
        say(f"CUDA kernels: no, because {reason}")
    return not reason


@functools.cache
def default_architectures() -> str:
    """For every GPU from 8.0 on; with code for 12.0, since what its driver makes of 9.0's PTX spills."""
    command = [shutil.which("nvcc") or "nvcc", "--list-gpu-code"]
    known = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return "8.0;9.0+PTX;12.0" if "sm_120" in known else "8.0;9.0+PTX"


def architectures() -> list[tuple[str, bool]]:
    """(compute capability without the dot, with PTX), from TORCH_CUDA_ARCH_LIST."""
    names = os.environ.get("TORCH_CUDA_ARCH_LIST", "").strip() or default_architectures()
    found = []
    for name in re.split(r"[\s;,]+", names):
        match = re.fullmatch(r"(\d+)\.(\d[a-z]?)(\+PTX)?", name)
        if match is None:
            raise SystemExit(f"TORCH_CUDA_ARCH_LIST must hold numbers such as 8.0 or 9.0+PTX, got {name!r}")
        if int(match[1]) < 8:
            raise SystemExit(f"TORCH_CUDA_ARCH_LIST must hold 8.0 or more, for these kernels, got {name!r}")
        found.append((match[1] + match[2], match[3] is not None))
    return found


def cuda_home() -> Path:
    """The toolkit that nvcc belongs to; the one on PATH may be a wrapper outside of it."""
    nvcc = shutil.which("nvcc") or "nvcc"
    command = [nvcc, "--dryrun", "-x", "cu", os.devnull]
    dry = subprocess.run(command, capture_output=True, text=True, check=False)
    top = re.search(r"^#\$ TOP=(.*)$", dry.stderr + dry.stdout, re.MULTILINE)
    return Path(top[1].strip() if top else Path(nvcc).resolve().parents[1]).resolve()


def nvcc_flags() -> list[str]:
    """For every .cu file: C++ and optimisation as for the others, and the architectures."""
    flags = ["-std=c++17", "-O3", "-Xcompiler=-fPIC,-fvisibility=hidden", "-Icsrc"]
    flags += [f"-ccbin={name}" for name in shlex.split(os.environ.get("CXX", ""))[:1]]
    for name, ptx in architectures():
        flags += [f"-gencode=arch=compute_{name},code={kind}_{name}" for kind in ("sm", "compute")[: 1 + ptx]]
    return flags


def version_of(command: Sequence[str]) -> str:
    """What a compiler says of itself."""
    return subprocess.run([*command, "--version"], capture_output=True, text=True, check=False).stdout


def built_with(torch: ModuleType, tools: Sequence[str], commands: Mapping[str, Sequence[str]]) -> str:
    """The sentence that a library holds, which differs wherever a build may give another library.

    Args:
        torch: what it is built against.
        tools: compilers with their versions.
        commands: how every source is compiled and how they are linked, without folders of PyTorch, which pip
            puts elsewhere in every build.
    """
    python = [sys.implementation.cache_tag, sysconfig.get_config_var("SOABI")]
    known = [
        torch.__version__,
        torch.version.cuda,
        torch.version.hip,
        python,
        tools,
        sorted(commands.items()),
    ]
    digest = hashlib.sha256(json.dumps(known).encode()).hexdigest()
    return f"apnt was built with PyTorch {torch.__version__} [{digest[:16]}]"  # apnt/_ext.py reads it


def up_to_date(library: str | Path, files: Sequence[str], sentence: str) -> bool:
    """Whether a library is newer than all files and was built as the sentence says."""
    return not newer_group(files, library) and sentence.encode() in Path(library).read_bytes()


def remove_others(folder: Path, names: Set[str]) -> None:
    """Remove what a build with CUDA has left where one without it puts its library: it would be installed."""
    for path in folder.glob("libapnt_*.so"):
        if path.name not in names:
            say(f"{path} is of another build: removed")
            path.unlink()


def cpu_library() -> Extension:
    """The operators' schemas and their CPU kernels."""
    sources = sorted(n for n in glob("csrc/*.cpp") + glob("csrc/cpu/*.cpp") if X86 or not instructions(n))
    return Extension("apnt.lib.libapnt_cpu", sources, libraries=["torch_cpu"])


def cuda_library() -> Extension:
    """The CUDA kernels of the operators. Its runtime is linked in: PyTorch's may be of another version."""
    home = cuda_home()
    built_for = " ".join(f"sm_{name}" + (" ptx" if ptx else "") for name, ptx in architectures())
    say(f"CUDA kernels: {built_for}, with {home}")
    return Extension(
        "apnt.lib.libapnt_cuda",
        sorted(glob("csrc/cuda/*.cu") + glob("csrc/cuda/*.cpp")),
        library_dirs=[f"{home}/lib64", f"{home}/targets/{platform.machine()}-linux/lib"],
        libraries=["torch_cpu", "torch_cuda", "cudart_static", "dl", "rt", "pthread"],
        extra_compile_args=["-DUSE_CUDA=1", f'-DAPNT_CUDA_ARCHITECTURES="{built_for}"'],
        extra_link_args=["-Wl,--exclude-libs,ALL"],
    )


class BuildLibrary(build_ext):
    """Builds plain shared libraries, several files at a time, each with flags of its own; .cu with nvcc."""

    def get_ext_filename(self, fullname: str) -> str:
        # No tag of a Python version: the library contains no Python.
        return os.path.join(*fullname.split(".")) + ".so"

    def run(self) -> None:
        remove_others(Path(self.build_lib, "apnt", "lib"), self._names())
        super().run()

    def _names(self) -> set[str]:
        return {Path(self.get_ext_filename(ext.name)).name for ext in self.extensions}

    def build_extension(self, ext: Extension) -> None:
        import torch
        from torch.utils.cpp_extension import include_paths, library_paths

        target, headers = self.get_ext_fullpath(ext.name), glob("csrc/**/*.*h", recursive=True)
        cxx = self.compiler.compiler_so_cxx
        given = os.environ.get("CFLAGS", "") + os.environ.get("CXXFLAGS", "")
        flags = [*FLAGS, *([] if "-O" in given else ["-O3", "-g0"]), *ext.extra_compile_args, "-Icsrc"]
        system = [f"-isystem{path}" for path in include_paths()]  # their warnings are not ours
        commands = {
            source: ["nvcc", *nvcc_flags()]
            if source.endswith(".cu")
            else [*cxx, *flags, *instructions(source)]
            for source in ext.sources
        }
        link = {"": [*self.compiler.linker_so_cxx, *ext.libraries, *ext.library_dirs, *ext.extra_link_args]}
        cuda = any(source.endswith(".cu") for source in ext.sources)
        tools = [version_of(command) for command in (cxx, *([["nvcc"]] if cuda else []))]
        sentence = built_with(torch, tools, commands | link)
        if not self.force and up_to_date(target, ["setup.py", *ext.sources, *headers], sentence):
            say(f"{ext.name} is there, built alike")
            return
        say(f"{ext.name} against PyTorch {torch.__version__}, for 2.10 and later, with {cxx[0]}")

        def compile_one(source: str) -> str:
            result = Path(self.build_temp, source).with_suffix(".o")
            result.parent.mkdir(parents=True, exist_ok=True)
            command = commands[source]
            say(f"{source}: {' '.join([command[0], *instructions(source)])}")
            self.spawn(
                [*command, *([] if source.endswith(".cu") else system), "-c", source, "-o", str(result)]
            )
            return str(result)

        said = Path(self.build_temp, f"{ext.name}.cpp")
        said.parent.mkdir(parents=True, exist_ok=True)
        said.write_text(
            'extern "C" {\n__attribute__((visibility("default"))) extern const char apnt_built_with[];\n'
            f'const char apnt_built_with[] = "{sentence}";\n}}\n'
        )
        commands[str(said)] = [*cxx, *flags]
        # The matches take longest: begun first, none is left to one compiler at the end.
        order = sorted([*ext.sources, str(said)], key=lambda source: "window_match" not in source)
        with ThreadPoolExecutor(int(os.environ.get("MAX_JOBS", os.cpu_count() or 1))) as pool:
            objects = list(pool.map(compile_one, order))
        folders = [*ext.library_dirs, *library_paths(), self.build_temp]
        if "torch_cuda" in ext.libraries and torch.version.cuda is None:
            # An empty library to link against, for its name and the one function that is used.
            names = "-Wl,-soname,libtorch_cuda.so,--defsym=aoti_torch_get_current_cuda_stream=0"
            stub = ["-x", "c", os.devnull, "-o", f"{self.build_temp}/libtorch_cuda.so"]
            self.spawn([*cxx, "-shared", names, *stub])
        self.compiler.link_shared_object(
            objects, target, libraries=ext.libraries, library_dirs=folders,
            extra_postargs=ext.extra_link_args, target_lang="c++",
        )  # fmt: skip

    def copy_extensions_to_source(self) -> None:
        Path("apnt/lib").mkdir(exist_ok=True)
        remove_others(Path("apnt/lib"), self._names())
        super().copy_extensions_to_source()


class TagWheel(bdist_wheel):
    """A wheel for one platform and every Python 3."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


def libraries() -> list[Extension]:
    if sys.platform == "win32":
        say("no compiled library on Windows yet; the ops run in plain PyTorch")
        return []
    return [cpu_library(), cuda_library()] if wants_cuda() else [cpu_library()]


if __name__ == "__main__":
    setup(
        packages=[*find_packages(include=["apnt", "apnt.*"]), "apnt.kernels", "apnt.benchmarks"],
        package_dir={"apnt.kernels": "kernels", "apnt.benchmarks": "benchmarks"},
        ext_modules=libraries(),
        cmdclass={"build_ext": BuildLibrary, "bdist_wheel": TagWheel},
    )
