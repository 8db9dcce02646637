"""When setup.py builds the compiled library again: with a compiler and a PyTorch that say who they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from apnt import _ext, info

ROOT = Path(__file__).parents[2]

# Its objects are its sources, and a library is its objects; every call with -o is a line of the log.
COMPILER = """#!/bin/sh
[ "$*" != "${*%--version}" ] && echo "a compiler $VERSION" && exit
objects=
for each; do
  case "$before" in -o) out=$each;; -c) source=$each;; esac
  case "$each" in *.o) objects="$objects $each";; esac
  before=$each
done
echo "$out" >> "$LOG"
if [ -n "$source" ]; then cat "$source" > "$out"; else cat $objects > "$out"; fi
"""
TORCH = """
from types import SimpleNamespace
__version__ = "{version}"
version = SimpleNamespace(cuda=None, hip=None)
"""


class Builds:
    """``setup.py build_ext`` into one build folder, again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.library = folder / "lib" / "apnt" / "lib" / _ext.LIBRARY.name
        compiler = folder / "c++"
        compiler.write_text(COMPILER)
        compiler.chmod(0o755)
        self.environment = {
            "CC": str(compiler), "CXX": str(compiler), "LOG": str(self.log), "VERSION": "1", "APNT_CUDA": "0",
            "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip

    def build(self, version: str = "2.14.1", headers: str = "there", **environment: str) -> int:
        """Build against a version of PyTorch; how often the compiler was called."""
        package = self.folder / "torch"
        (package / "utils").mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(TORCH.format(version=version))
        folders = f"def include_paths(): return [{headers!r}]\ndef library_paths(): return [{headers!r}]\n"
        (package / "utils" / "cpp_extension.py").write_text(folders)
        self.log.write_text("")
        where = [f"--build-lib={self.folder / 'lib'}", f"--build-temp={self.folder / 'temp'}"]
        done = subprocess.run(
            [sys.executable, "setup.py", "-q", "build_ext", *where],
            capture_output=True, text=True, cwd=ROOT, check=False,
            env={**os.environ, **self.environment, **environment},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return len(self.log.read_text().splitlines())


@pytest.fixture
def builds(tmp_path: Path) -> Builds:
    return Builds(tmp_path)


def test_a_library_is_taken_again_only_where_it_was_built_alike(builds: Builds) -> None:
    calls = builds.build()
    assert calls > 10
    assert b"apnt was built with PyTorch 2.14.1 [" in builds.library.read_bytes()
    assert builds.build() == 0
    assert builds.build(headers="elsewhere") == 0  # where pip unpacks PyTorch for a build
    for changed in (
        {"version": "2.13.0"},
        {"version": "2.13.0+cpu"},
        {"CFLAGS": "-DX", "CXXFLAGS": "-DX"},
        {"LDFLAGS": "-s"},
        {"VERSION": "2"},
    ):
        assert builds.build(**changed) == calls, changed
        assert builds.build(**changed) == 0, changed
    assert builds.build() == calls
    assert b"apnt was built with PyTorch 2.14.1 [" in builds.library.read_bytes()


def test_a_library_that_says_nothing_is_built_again(builds: Builds) -> None:
    calls = builds.build()
    builds.library.write_bytes(b"of a version before")
    assert builds.build() == calls


def test_the_cuda_library_of_another_build_is_not_installed(builds: Builds) -> None:
    builds.build()
    left = builds.library.with_name(_ext.CUDA_LIBRARY.name)
    left.write_bytes(b"of APNT_CUDA=1")
    assert builds.build() == 0
    assert not left.exists()
    assert builds.library.exists()


def test_what_the_sentence_depends_on(setup_py: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(cuda: str | None = None, tools: str = "c++ 1", command: str = "-O3") -> str:
        version = SimpleNamespace(cuda=cuda, hip=None)
        fake = SimpleNamespace(__version__="2.14.1", version=version)
        return str(setup_py.built_with(fake, [tools], {"a.cpp": ["c++", command]}))

    assert said() == said()
    found = {said(), said(cuda="13.0"), said(tools="c++ 2"), said(command="-O2")}
    monkeypatch.setattr(setup_py.sysconfig, "get_config_var", lambda name: "cpython-399")
    assert len(found | {said()}) == 5


@pytest.mark.skipif(not _ext.LIBRARY.is_file(), reason="the compiled library is missing")
def test_info_says_what_the_library_was_built_with() -> None:
    built = _ext.built_with()
    assert built is not None
    assert _ext._release(built) >= _ext._OLDEST
    assert info.backends()["library_built_with"] == f"torch {built}"
    assert f"built with: PyTorch {built}\n" in _ext.show_config() or not _ext.LOADED


def test_a_library_for_another_pytorch_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "libapnt_cpu.so"
    library.write_bytes(b"\x7fELF\0apnt was built with PyTorch 2.99.1+cpu [0123456789abcdef]\0")
    assert _ext.built_with(library) == "2.99.1+cpu"
    found = str(_ext._register(library, "the compiled library"))
    wanted = "because it was built with PyTorch 2.99.1+cpu; build it again with: pip install ."
    assert found.startswith(f"the compiled library does not load with PyTorch {torch.__version__}, {wanted}")
    same = f"\x7fELF\0apnt was built with PyTorch {torch.__version__} [0123456789abcdef]\0"
    library.write_bytes(same.encode())
    assert "because" not in str(_ext._register(library, "the compiled library"))
    monkeypatch.setattr(_ext.torch, "__version__", "2.9.1+cu128")
    monkeypatch.setattr(_ext.torch.ops, "load_library", lambda path: pytest.fail("may end the process"))
    assert str(_ext._register(library, "it")).startswith("it does not load with PyTorch 2.9.1+cu128, because")
    assert str(_ext._register(library, "it")).endswith("it needs 2.10 or later")
