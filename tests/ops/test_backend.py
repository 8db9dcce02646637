"""Which backend runs, what a refusal says, and what is left without the compiled library."""

from __future__ import annotations

import json
import os
import re
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
    why = f"({re.escape(str(_ext.CUDA_MISSING))}|PyTorch finds no NVIDIA GPU|it needs tensors on a GPU)"
    with pytest.raises(InputError, match=f"backend 'cuda' cannot run here: {why}"):
        both(backend="cuda")
    monkeypatch.setenv("APNT_BACKEND", "cuda")
    with pytest.raises(InputError, match="APNT_BACKEND 'cuda' cannot run here"):
        both()


class OnGpu(torch.Tensor):
    """A tensor that says it lies on a GPU."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("cuda", 0)


def test_tensors_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APNT_BACKEND", raising=False)
    x = X.as_subclass(OnGpu)
    capability = (8, 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "GPU X")
    monkeypatch.setattr(_ext, "CUDA_MISSING", None)
    monkeypatch.setattr(_ext, "cuda_refusal", lambda index: None)
    # Triton's operators are registered once per process: not with a GPU that does not exist.
    monkeypatch.setattr(_backend, "_triton_missing", lambda: "not in this test")
    assert _backend.choose(None, x) == "cuda"
    assert _backend.choose("reference", x) == "reference"
    with pytest.raises(InputError, match=r"'cpp' cannot run here: (it needs tensors on the CPU|the comp)"):
        _backend.choose("cpp", x)
    with pytest.raises(InputError, match="it needs tensors on a GPU, source is on cpu"):
        _backend.choose("cuda", X)

    capability = (7, 5)
    assert _backend.choose(None, x) != "cuda"
    with pytest.raises(InputError, match=r"it needs compute capability 8\.0, GPU X has 7\.5"):
        _backend.choose("cuda", x)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="PyTorch finds no NVIDIA GPU"):
        _backend.choose("cuda", x)
    monkeypatch.setattr(_ext, "CUDA_MISSING", "it was never built")
    with pytest.raises(InputError, match="backend 'cuda' cannot run here: it was never built"):
        _backend.choose("cuda", x)


def test_a_gpu_for_which_the_library_has_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton takes over, and both questions, of a tensor and of the machine, are answered with the reason."""
    monkeypatch.delenv("APNT_BACKEND", raising=False)
    refusals = {0: "it was built without code for compute capability 8.6", 1: None}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(refusals))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (8, 6))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
    monkeypatch.setattr(_ext, "CUDA_MISSING", None)
    monkeypatch.setattr(_ext, "cuda_refusal", refusals.get)
    monkeypatch.setattr(_backend, "_triton_missing", lambda: None)
    x = X.as_subclass(OnGpu)
    assert _backend.unavailable("cuda") is None  # the other GPU can
    assert _backend.choose(None, x) == "triton"
    with pytest.raises(InputError, match=r"'cuda' cannot run here: GPU 0: it was built without code .* 8\.6"):
        _backend.choose("cuda", x)
    refusals[1] = "the driver is for CUDA 12.4"
    assert str(_backend.unavailable("cuda")).startswith("GPU 0: it was built without code")


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ({"cuda": None, "hip": None}, "is built without CUDA"),
        ({"cuda": None, "hip": "7.0"}, "is built for AMD GPUs"),
        ({"cuda": "13.0", "hip": None}, "APNT_CUDA=1 pip install"),
    ],
)
def test_why_the_cuda_kernels_are_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: dict[str, str | None], reason: str
) -> None:
    monkeypatch.setattr(_ext, "MISSING", None)
    for name, value in version.items():
        monkeypatch.setattr(torch.version, name, value)
    monkeypatch.setattr(_ext, "CUDA_LIBRARY", tmp_path / "libapnt_cuda.so")
    assert reason in str(_ext._load_cuda())
    if version["cuda"]:
        _ext.CUDA_LIBRARY.write_bytes(b"no library")
        assert "does not load with PyTorch" in str(_ext._load_cuda())


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
    with pytest.raises(InputError, match="APNT_CPU_ISA must be portable"):
        window_match(X, X, radius=1, backend="cpp")
    assert "APNT_CPU_ISA must be portable" in str(_ext.instruction_set())


def test_info_tells_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APNT_BACKEND", raising=False)
    found = info.backends()
    assert found["backend_on_cpu"] == ("cpp" if _ext.LOADED else "reference")
    assert found["backend_reference"] == "yes"
    if not torch.cuda.is_available():
        assert found["backend_cuda"].startswith("no: ")
        assert found["backend_on_gpu"] is None
    assert (found["cuda_architectures"] is None) == (_ext.CUDA_MISSING is not None)
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
