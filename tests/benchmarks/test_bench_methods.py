"""The row of every method: it fuses, and says with which weights."""

from __future__ import annotations

import pytest
import torch

from apnt.methods.registry import METHODS

pytest.importorskip(
    "apnt.benchmarks", reason="the benchmarks are mapped into the package when it is installed"
)

from apnt.benchmarks import bench_methods


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_row(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_methods, "HEIGHT", 64)
    monkeypatch.setattr(bench_methods, "WIDTH", 96)
    # Memory is measured in a process of its own, which would take longer than all else here.
    monkeypatch.setattr(bench_methods.measure, "extra_memory", lambda work, *arguments: 0)
    row = bench_methods.row(name, [], None, torch.device("cpu"))
    assert row.name == f"{name}, 64 x 96"
    assert row.seconds is not None
    assert row.seconds.median > 0
    assert ("weights" in row.note or "untrained" in row.note) == METHODS[name].has_weights
