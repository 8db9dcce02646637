"""The backends that the tests of the ops run on."""

from __future__ import annotations

import pytest

from apnt import _ext, testing
from apnt.ops import _backend

# After the dash: the instructions that the CPU kernels are held to.
VARIANTS = ("reference", "cpp-portable", "cpp-avx2", "cpp-avx512", "cpp-avx512_bf16", "triton")


@pytest.fixture(params=VARIANTS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> testing.Backend:
    """One implementation of both ops; skipped with the reason where it cannot run."""
    name, _, instructions = request.param.partition("-")
    reason = _backend.unavailable(name)
    if reason is None and instructions:
        monkeypatch.setenv("APNT_CPU_ISA", instructions)
        used = _ext.instruction_set()
        reason = None if used == instructions else used
    if reason is not None:
        pytest.skip(reason)
    return testing.Backend(name)
