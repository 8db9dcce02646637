"""The table of memory under budgets, and the network on the first rows of tiles alone."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from apnt.nn import APNTConfig, APNTFusion
from apnt.nn.tiled import Part, Tiled, crop_of

pytest.importorskip(
    "apnt.benchmarks", reason="the benchmarks are mapped into the package when it is installed"
)

from apnt.benchmarks import memory
from apnt.benchmarks.first_rows import only


@pytest.mark.parametrize("border", [0, 8])
def test_first_rows_are_the_networks_and_the_rest_is_the_references_light(
    monkeypatch: pytest.MonkeyPatch, border: int
) -> None:
    frames = np.random.default_rng(0).random((3, 90, 140, 3), np.float32)
    torch.manual_seed(0)
    network = APNTFusion(
        APNTConfig(channels=(8, 12, 16), mef_blocks=1, radii=(1, 1, 1), border=border)
    ).eval()
    times = torch.tensor([1.0, 4.0, 16.0])

    def parts() -> list[Part]:
        with torch.inference_mode():
            picture = Tiled(network, crop_of(frames, torch.device("cpu"), border), times, (90, 140))
            return list(picture.run(64, 64))

    whole = parts()
    monkeypatch.setattr(Tiled, "run", Tiled.run)  # is put back afterwards
    only(1)
    found = parts()
    assert [part.box for part in found] == [part.box for part in whole]
    first = [part.box.top == 0 for part in whole]
    assert 0 < sum(first) < len(first)
    for is_first, own, other in zip(first, found, whole, strict=True):
        if is_first:
            assert torch.equal(own.radiance, other.radiance)
        else:
            light = torch.from_numpy(frames[1][own.box.rows, own.box.columns]).permute(2, 0, 1) ** 2.2 / 4
            torch.testing.assert_close(own.radiance, light, rtol=1e-4, atol=1e-6)


def test_a_row_is_measured_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rows that a table has stay, others join it in order; a peak above its budget is a failure."""
    asked: list[str] = []

    def fused(paths: list[Path], stops: str, out: Path, weights: str, budget: str, **_: object) -> memory.Run:
        asked.append(budget)
        return memory.Run(0, 2_030_000_000, 12.3, 11.0, "Plan     in 6 tiles of at most 512 pixels a side")

    monkeypatch.setattr(memory, "fused", fused)
    monkeypatch.setattr(memory, "bracket", lambda *_: ([], ""))
    table = tmp_path / "table.md"

    def run(budgets: str, *more: str) -> int:
        command = ["memory.py", "--megapixels", "12", "--frames", "3", "--weights", "fast"]
        monkeypatch.setattr(sys, "argv", [*command, "--budgets", budgets, "--markdown", str(table), *more])
        return memory.main()

    assert run("4GB", "--rows", "1") == 0
    assert run("2GB,4GB") == 0
    assert run("1GB,2GB,4GB") == 1
    assert asked == ["4GB", "2GB", "1GB"]
    shown = [memory.cells(line) for line in table.read_text().splitlines()[2:]]
    assert [line[3:8] for line in shown] == [
        ["1GB", "2.03 GB", "203.0%", "12", "11"],
        ["2GB", "2.03 GB", "101.5%", "12", "11"],
        ["4GB", "2.03 GB", "50.7%", "*", "11"],
    ]
