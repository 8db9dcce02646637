"""The packages, and the compiled library of the ops.

The library is no Python module: it registers its operators with PyTorch when it is loaded, through PyTorch's
stable ABI. So one wheel serves every Python, and every PyTorch from 2.10 on.

Environment:
    APNT_CUDA: auto (default), 0 or 1: whether to build the CUDA kernels, a library of their own. auto does
        where there is an nvcc and PyTorch has CUDA; 1 does in any case, and what is missing is an error.
    TORCH_CUDA_ARCH_LIST: what to build them for, such as "8.0;9.0+PTX" (default); +PTX serves newer GPUs too.
    MAX_JOBS: how many files are compiled at once; as many as there are processors if it is not set.
    CXX, CFLAGS, CXXFLAGS, LDFLAGS: as usual; setuptools decides which of the two compiles C++: set both.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
X86 = platform.machine().lower() in ("x86_64", "amd64")

# PyTorch 2.10: nothing younger than its stable ABI may be used.
TORCH_TARGET = "0x020a000000000000"

AVX2 = ["-mavx2", "-mfma", "-mf16c"]
# GCC 12 takes the undefined registers in its own headers of AVX-512 for mistakes.
QUIET = ["-Wno-uninitialized", "-Wno-maybe-uninitialized"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", *QUIET]

# A source file says in the end of its name which instructions it may use; the others run on every machine.
INSTRUCTIONS = {
    "_avx2": AVX2,
    "_avx512": AVX512,
    "_avx512_bf16": [*AVX512, "-mavx512bf16"],
    "_amx_bf16": [*AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-bf16"],
}


def instructions(source: str) -> list[str] | None:
    """Flags of one source file; None if it runs on every machine."""
    stem = Path(source).stem
    return next((flags for ending, flags in INSTRUCTIONS.items() if stem.endswith(ending)), None)


ARCHITECTURES = "8.0;9.0+PTX"


def wants_cuda() -> bool:
    """Whether to build the CUDA kernels, from APNT_CUDA; prints why not."""
    choice = os.environ.get("APNT_CUDA", "auto")
    if choice not in ("auto", "0", "1"):
        raise SystemExit(f"APNT_CUDA must be auto, 0 or 1, got {choice!r}")
    if choice == "0":
        say("CUDA kernels: no, because APNT_CUDA=0")
        return False
    if shutil.which("nvcc") is None:
        if choice == "1":
            raise SystemExit("APNT_CUDA=1, but there is no nvcc: put the CUDA toolkit's bin folder on PATH")
        say("CUDA kernels: no, because there is no nvcc on PATH")
        return False
    if choice == "1":
        return True
    try:
        import torch
    except ImportError as error:
        say(f"CUDA kernels: no, because PyTorch cannot be imported: {error}")
        return False
    if torch.version.cuda is None:
        say(f"CUDA kernels: no, because PyTorch {torch.__version__} has no CUDA; APNT_CUDA=1 builds them")
        return False
    return True


def architectures() -> list[tuple[str, bool]]:
    """(compute capability without the dot, with PTX), from TORCH_CUDA_ARCH_LIST."""
    asked = os.environ.get("TORCH_CUDA_ARCH_LIST", "").strip() or ARCHITECTURES
    found = []
    for name in re.split(r"[\s;,]+", asked):
        match = re.fullmatch(r"(\d+)\.(\d[a-z]?)(\+PTX)?", name)
        if match is None:
            raise SystemExit(f"TORCH_CUDA_ARCH_LIST must hold numbers such as 8.0 or 9.0+PTX, got {name!r}")
        if int(match[1]) < 8:
            raise SystemExit(f"TORCH_CUDA_ARCH_LIST must hold 8.0 or more, for these kernels, got {name!r}")
        found.append((match[1] + match[2], match[3] is not None))
    return found


def cuda_home() -> Path:
    """The toolkit that nvcc belongs to; the one on PATH may be a wrapper outside of it."""
    nvcc = shutil.which("nvcc")
    assert nvcc is not None
    command = [nvcc, "--dryrun", "-x", "cu", os.devnull]
    dry = subprocess.run(command, capture_output=True, text=True, check=False)
    top = re.search(r"^#\$ TOP=(.*)$", dry.stderr + dry.stdout, re.MULTILINE)
    return Path(top[1].strip() if top else Path(nvcc).resolve().parents[1]).resolve()


def nvcc_flags() -> list[str]:
    """For every .cu file: C++ and optimisation as for the others, and the architectures."""
    flags = ["-std=c++17", "-O3", "-Xcompiler=-fPIC,-fvisibility=hidden"]
    if os.environ.get("CXX"):
        flags += ["-ccbin", shlex.split(os.environ["CXX"])[0]]
    for capability, ptx in architectures():
        flags.append(f"-gencode=arch=compute_{capability},code=sm_{capability}")
        if ptx:
            flags.append(f"-gencode=arch=compute_{capability},code=compute_{capability}")
    return flags


def say(line: str) -> None:
    """Print while building; pip shows it with -v."""
    print(f"apnt: {line}", flush=True)


def cpu_library() -> Extension:
    """The operators' schemas and their CPU kernels."""
    sources = [*ROOT.glob("csrc/*.cpp"), *ROOT.glob("csrc/common/*.cpp"), *ROOT.glob("csrc/cpu/*.cpp")]
    names = sorted(path.relative_to(ROOT).as_posix() for path in sources)
    if not X86:
        names = [name for name in names if instructions(name) is None]
    asked = os.environ.get("CFLAGS", "") + os.environ.get("CXXFLAGS", "")
    optimize = [] if "-O" in asked else ["-O3", "-g0"]
    headers = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("csrc/**/*.h"))
    return Extension(
        "apnt.lib.libapnt_cpu",
        names,
        depends=headers,
        include_dirs=["csrc"],
        libraries=["torch_cpu"],
        define_macros=[("TORCH_TARGET_VERSION", TORCH_TARGET), *([("APNT_X86", "1")] if X86 else [])],
        extra_compile_args=["-std=c++17", *optimize, "-Wall", "-Wextra", "-fvisibility=hidden"],
        language="c++",
    )


def cuda_library() -> Extension:
    """The CUDA kernels of the operators. Its runtime is linked in: PyTorch's may be of another version."""
    sources = [*ROOT.glob("csrc/cuda/*.cu"), ROOT / "csrc/cuda/ops.cpp"]
    home = cuda_home()
    built_for = " ".join(f"sm_{name}" + (" ptx" if ptx else "") for name, ptx in architectures())
    say(f"CUDA kernels: {built_for}, with {home}")
    headers = [*ROOT.glob("csrc/**/*.h"), *ROOT.glob("csrc/**/*.cuh")]
    return Extension(
        "apnt.lib.libapnt_cuda",
        sorted(path.relative_to(ROOT).as_posix() for path in sources),
        depends=sorted(path.relative_to(ROOT).as_posix() for path in headers),
        include_dirs=["csrc"],
        library_dirs=[str(home / "lib64"), str(home / "targets" / f"{platform.machine()}-linux" / "lib")],
        libraries=["torch_cpu", "torch_cuda", "cudart_static", "dl", "rt", "pthread"],
        define_macros=[
            ("TORCH_TARGET_VERSION", TORCH_TARGET),
            ("USE_CUDA", "1"),
            ("APNT_CUDA_ARCHITECTURES", f'"{built_for}"'),
        ],
        extra_compile_args=["-std=c++17", "-O3", "-g0", "-Wall", "-Wextra", "-fvisibility=hidden"],
        extra_link_args=["-Wl,--exclude-libs,ALL"],
        language="c++",
    )


# The one function of libtorch_cuda that the library uses.
STREAM = "aoti_torch_get_current_cuda_stream"


class BuildLibrary(build_ext):
    """Builds plain shared libraries, each source file with the instructions that its name allows."""

    def get_ext_filename(self, fullname: str) -> str:
        # No tag of a Python version: the library contains no Python.
        return os.path.join(*fullname.split(".")) + ".so"

    def build_extensions(self) -> None:
        import torch
        from torch.utils.cpp_extension import include_paths, library_paths

        for extension in self.extensions:
            # As system headers: their warnings are not ours.
            extension.extra_compile_args += [f"-isystem{path}" for path in include_paths()]
            extension.library_dirs += library_paths()
            if "torch_cuda" in extension.libraries and torch.version.cuda is None:
                extension.library_dirs.append(self.empty_torch_cuda())
        compiler = " ".join(getattr(self.compiler, "compiler_cxx", None) or ["?"])
        say(f"building against PyTorch {torch.__version__}, for 2.10 and later, with {compiler}")
        compile_one = self.compiler._compile

        def compile_with_instructions(obj, src, ext, cc_args, extra_postargs, pp_opts):  # type: ignore[no-untyped-def]
            if src.endswith(".cu"):
                say(f"{src}: nvcc")
                folders = [part for part in cc_args if part.startswith("-I")]
                subprocess.run(["nvcc", *nvcc_flags(), *folders, "-c", src, "-o", obj], check=True)
                return
            flags = instructions(src) or []
            say(f"{src}: {' '.join(flags) or 'every machine'}")
            compile_one(obj, src, ext, cc_args, [*extra_postargs, *flags], pp_opts)

        self.compiler.src_extensions = [*self.compiler.src_extensions, ".cu"]
        self.compiler._compile = compile_with_instructions
        self.compiler.compile = self.compile_at_once
        # Warnings that make sense for C alone.
        for attribute in ("compiler_so", "compiler_so_cxx"):
            command = getattr(self.compiler, attribute, None)
            if command:
                setattr(self.compiler, attribute, [flag for flag in command if flag != "-Wstrict-prototypes"])
        super().build_extensions()

    def empty_torch_cuda(self) -> str:
        """Folder with a libtorch_cuda.so to link against where PyTorch has none: the name is what counts."""
        folder = Path(self.build_temp) / "torch_cuda"
        folder.mkdir(parents=True, exist_ok=True)
        source, name = folder / "torch_cuda.c", "libtorch_cuda.so"
        source.write_text(f"int {STREAM}(int device, void** stream) {{ return device + !stream; }}\n")
        (stub,) = self.compiler.compile([str(source)], output_dir=str(folder), extra_postargs=["-fPIC"])
        self.compiler.link_shared_object([stub], str(folder / name), extra_postargs=[f"-Wl,-soname,{name}"])
        return str(folder)

    def compile_at_once(
        self,
        sources: list[str],
        output_dir: str | None = None,
        macros: Any = None,
        include_dirs: Any = None,
        debug: bool = False,
        extra_preargs: Any = None,
        extra_postargs: Any = None,
        depends: Any = None,
    ) -> list[str]:
        """``self.compiler.compile`` with a process for every processor."""
        compiler = self.compiler
        _, objects, postargs, options, build = compiler._setup_compile(
            output_dir, macros, include_dirs, sources, depends, extra_postargs
        )
        arguments = compiler._get_cc_args(options, debug, extra_preargs)

        def compile_object(name: str) -> None:
            source, extension = build[name]
            compiler._compile(name, source, extension, arguments, postargs, options)

        with ThreadPoolExecutor(int(os.environ.get("MAX_JOBS", os.cpu_count() or 1))) as pool:
            list(pool.map(compile_object, build))
        return objects

    def copy_extensions_to_source(self) -> None:
        (ROOT / "apnt" / "lib").mkdir(exist_ok=True)
        super().copy_extensions_to_source()


class TagWheel(bdist_wheel):
    """A wheel for one platform and every Python 3."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


def libraries() -> list[Extension]:
    """What to compile: nothing for commands that only describe the package."""
    if sys.platform == "win32":
        say("no compiled library on Windows yet; the ops run in plain PyTorch")
        return []
    return [cpu_library(), *([cuda_library()] if wants_cuda() else [])]


if __name__ == "__main__":
    setup(
        packages=[*find_packages(include=["apnt", "apnt.*"]), "apnt.kernels", "apnt.benchmarks"],
        package_dir={"apnt.kernels": "kernels", "apnt.benchmarks": "benchmarks"},
        ext_modules=libraries(),
        cmdclass={"build_ext": BuildLibrary, "bdist_wheel": TagWheel},
    )
