"""Which backend runs, what a refusal says, and what is left without the compiled library."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import apnt
from apnt import _ext, info, reference
from apnt.errors import InputError
from apnt.ops import _backend, patch_swap, window_match

X = torch.arange(40.0).view(1, 2, 4, 5)
V = torch.ones(1, 2, 4, 5, dtype=torch.int32)

needs_library = pytest.mark.skipif(not _ext.LOADED, reason=str(_ext.MISSING))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the ops that ran in plain PyTorch."""
    seen: list[str] = []

    def record(name: str) -> None:
        original = getattr(reference, name)
        monkeypatch.setattr(reference, name, lambda *a, **k: (seen.append(name), original(*a, **k))[1])

    record("patch_swap")
    record("window_match")
    return seen


def both(**options: str) -> None:
    patch_swap(X, V, **options)
    window_match(X, X, V, radius=1, **options)


@needs_library
def test_the_library_is_the_default(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APNT_BACKEND", raising=False)
    both()
    assert calls == []


def test_the_reference_on_request(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APNT_BACKEND", raising=False)
    both(backend="reference")
    assert calls == ["patch_swap", "window_match"]
    monkeypatch.setenv("APNT_BACKEND", "reference")
    both()
    assert calls == ["patch_swap", "window_match"] * 2


@needs_library
def test_the_argument_comes_before_the_environment(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APNT_BACKEND", "reference")
    both(backend="cpp")
    assert calls == []


def test_the_reference_takes_over_where_the_library_is_missing(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("APNT_BACKEND", raising=False)
    monkeypatch.setattr(_ext, "MISSING", "it was never built")
    both()
    assert calls == ["patch_swap", "window_match"]
    with pytest.raises(InputError, match="backend 'cpp' cannot run here: it was never built"):
        both(backend="cpp")


def test_a_refusal_says_why(monkeypatch: pytest.MonkeyPatch) -> None:  # Triton's: test_triton.py
    with pytest.raises(InputError, match="backend 'cuda' cannot run here: this version of apnt has no"):
        both(backend="cuda")
    monkeypatch.setenv("APNT_BACKEND", "cuda")
    with pytest.raises(InputError, match="APNT_BACKEND 'cuda' cannot run here"):
        both()


@needs_library
def test_a_tensor_elsewhere_is_refused() -> None:
    with pytest.raises(InputError, match="it needs tensors on the CPU, source is on meta"):
        patch_swap(X.to("meta"), V.to("meta"), backend="cpp")


def test_unknown_names(monkeypatch: pytest.MonkeyPatch) -> None:
    message = "must be one of cpp, cuda, triton, reference, got 'c'"
    with pytest.raises(InputError, match=f"backend {message}"):
        both(backend="c")
    monkeypatch.setenv("APNT_BACKEND", "c")
    with pytest.raises(InputError, match=f"APNT_BACKEND {message}"):
        both()


@needs_library
def test_a_forced_set_of_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = _ext.instruction_sets()
    assert sets[0] == "portable"
    monkeypatch.delenv("APNT_CPU_ISA", raising=False)
    assert _ext.instruction_set() in sets
    monkeypatch.setenv("APNT_CPU_ISA", "portable")
    assert _ext.instruction_set() == "portable"
    assert "portable (from APNT_CPU_ISA)" in _ext.show_config()
    monkeypatch.setenv("APNT_CPU_ISA", "mmx")
    with pytest.raises(RuntimeError, match="APNT_CPU_ISA must be portable"):
        window_match(X, X, radius=1, backend="cpp")
    assert "APNT_CPU_ISA must be portable" in str(_ext.instruction_set())


def test_info_tells_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APNT_BACKEND", raising=False)
    found = info.backends()
    assert found["backend_on_cpu"] == ("cpp" if _ext.LOADED else "reference")
    assert found["backend_reference"] == "yes"
    assert found["backend_cuda"].startswith("no: ")
    assert found["instruction_sets"] == _ext.instruction_sets()
    monkeypatch.setattr(_ext, "MISSING", "it was never built")
    assert info.backends()["backend_cpp"] == "no: it was never built"
    monkeypatch.setenv("APNT_BACKEND", "triton")
    assert "APNT_BACKEND 'triton' cannot run here" in info.backends()["backend_on_cpu"]
    assert list(_backend.BACKENDS) == ["cpp", "cuda", "triton", "reference"]


@pytest.mark.parametrize("broken", [False, True], ids=["missing", "broken"])
def test_a_source_tree_without_the_library_works(tmp_path: Path, broken: bool) -> None:
    package = Path(apnt.__file__).parent
    shutil.copytree(
        package, tmp_path / "apnt", ignore=shutil.ignore_patterns("lib", "weights", "__pycache__")
    )
    if broken:
        (tmp_path / "apnt" / "lib").mkdir()
        (tmp_path / "apnt" / "lib" / _ext.LIBRARY.name).write_bytes(b"no library")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import json, torch, apnt\n"
        "from apnt import _ext, info\n"
        "x = torch.ones(1, 1, 3, 3)\n"
        "offset, score = apnt.ops.window_match(x, x, radius=1)\n"
        "out = apnt.ops.patch_swap(x, offset)\n"
        "print(json.dumps([apnt.__file__, info.backends(), _ext.show_config(), torch.equal(out, x)]))"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("APNT_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    where, found, config, same = json.loads(done.stdout)
    assert where.startswith(str(tmp_path))
    assert same
    assert found["backend_on_cpu"] == "reference"
    reason = "does not load with PyTorch" if broken else "is missing"
    assert reason in found["backend_cpp"]
    assert reason in config
    assert found["library"] is None
