"""The benchmarks: peers compute what the ops compute, memory is measured, and a run on a small scene."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from apnt import ops, reference
from apnt.errors import InputError
from apnt.reference.window_match import visit_order

pytest.importorskip(
    "apnt.benchmarks", reason="the benchmarks are mapped into the package when it is installed"
)

from apnt.benchmarks import backends, bench_patch_swap, bench_window_match, command, measure, peers, scenes


def features(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(shape), torch.randn(shape)


@pytest.mark.parametrize(
    "peer",
    [
        lambda s, t, r: peers.displacement_loop(s, t, r)[1],
        peers.tiles_through_bmm,
        peers.unfolded_patches,
    ],
    ids=["displacement loop", "tiles through bmm", "unfolded patches"],
)
@pytest.mark.parametrize("size", [(17, 22), (16, 24)])
def test_peers_find_the_same_scores(peer: Callable[..., torch.Tensor], size: tuple[int, int]) -> None:
    source, target = features(1, 6, *size)
    _, score = ops.window_match(source, target, radius=3)
    torch.testing.assert_close(peer(source, target, 3), score, rtol=1e-5, atol=1e-5)


def test_the_loop_finds_the_same_offsets() -> None:
    source, target = features(2, 6, 17, 22)
    offset, _ = ops.window_match(source, target, radius=2)
    choice, _ = peers.displacement_loop(source, target, 2)
    table = torch.tensor(visit_order(2))
    assert torch.equal(table[choice].permute(0, 3, 1, 2).int(), offset)


def test_grid_samples_swap_the_same() -> None:
    source, _ = features(1, 5, 17, 22)
    offset = scenes.random_centers(17, 22, 25, 1)  # also beyond the border
    expected = ops.patch_swap(source, offset)
    torch.testing.assert_close(peers.nine_grid_samples(source, offset), expected, rtol=1e-5, atol=1e-5)


def test_coherence_counts_equal_neighbours() -> None:
    offset = torch.zeros(1, 2, 4, 4, dtype=torch.int32)
    assert scenes.coherence(offset) == 1
    offset[0, 1, 3, 3] = 1  # no pixel's right or lower neighbour but of the last row and column
    assert scenes.coherence(offset) == 1
    offset[0, 1, 1, 1] = 1
    assert scenes.coherence(offset) == pytest.approx(6 / 9)


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="needs Linux's peak of resident memory"
)
def test_memory_is_what_work_takes_beside_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference holds the image twice more and its sum; its output of 16 MiB does not count."""
    monkeypatch.setenv("APNT_BACKEND", "reference")
    extra = measure.extra_memory(bench_patch_swap.forward_alone, "cpu", (1, 64, 256, 256), 4)
    assert 30 << 20 < extra < 120 << 20


def test_targets_are_judged() -> None:
    assert measure.Row("a").at_least("share", 0.6, 0.5).met is True
    assert measure.Row("a").at_least("share", 0.4, 0.5).met is False
    assert measure.Row("a").at_most("share", 0.4, 0.5).met is True
    row = measure.Row("a", measure.summary([3.0, 1.0, 2.0]), {"MiB": 2.0}).at_most("ratio", 4, 3)
    assert row.seconds is not None
    assert row.seconds.median == 2.0
    text = measure.as_markdown("title", [row], torch.device("cpu"))
    assert "| a | 2.0 s | MiB 2 | ratio <= 3 | 4 | **no** |" in text


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (bench_window_match, bench_patch_swap):
        monkeypatch.setattr(module, "HEIGHT", 64)
        monkeypatch.setattr(module, "WIDTH", 96)
        monkeypatch.setattr(module, "gate", lambda *_: None)
    monkeypatch.setattr(bench_window_match, "SHARED", (1, 8, 16, 24))
    monkeypatch.setattr(bench_window_match, "SMALL", (12, 16))
    monkeypatch.setattr(bench_patch_swap, "CHANNELS", 8)
    monkeypatch.setattr(measure, "extra_memory", lambda *_: 1 << 20)
    real = measure.matrix_product
    monkeypatch.setattr(measure, "matrix_product", lambda device, dtype: real(device, dtype, 64))
    monkeypatch.setattr(
        measure, "copy", lambda device, count, real=measure.copy: real(device, min(count, 1 << 16))
    )
    together = measure.time_together
    monkeypatch.setattr(
        measure, "time_together", lambda works, device, budget=0.0: together(works, device, 0.0)
    )


@pytest.mark.usefixtures("small")
def test_a_run_writes_tables_and_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers, table = tmp_path / "a.json", tmp_path / "a.md"
    command.run_benchmarks(
        ["window_match", "patch_swap"], device="cpu", json_path=numbers, markdown_path=table
    )
    found: dict[str, Any] = json.loads(numbers.read_text())
    assert set(found) == {"window_match", "patch_swap"}
    for part in found.values():
        assert part["machine"]["torch"] == torch.__version__
        names = [row["name"] for row in part["rows"]]
        assert len(set(names)) == len(names)
    assert any(row["met"] is not None for row in found["patch_swap"]["rows"])
    assert table.read_text().count("## ") == 2
    assert "level 2" in capsys.readouterr().out


def test_a_wrong_op_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*args: Any, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        offset, score = reference.window_match(*args, **{k: v for k, v in options.items() if k != "backend"})
        return offset, score + 1

    monkeypatch.setattr(ops, "window_match", wrong)
    with pytest.raises(AssertionError, match="score"):
        bench_window_match.gate("reference")


def test_a_wrong_backend_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Numbers are in the file when they are measured, in whatever way the run ends."""
    numbers = tmp_path / "a.json"

    def gate(backend: str) -> None:
        if backend == "cpp":
            raise AssertionError("score: worst at (0, 1)\nand more")
        row, *_ = json.loads(numbers.read_text())["patch_swap"]["rows"]
        assert (row["name"], row["met"]) == ("cpp fails", False)
        assert row["note"] == "AssertionError: score: worst at (0, 1)"

    def memory(device: torch.device) -> list[measure.Row]:
        if os.environ["APNT_BACKEND"] == "cuda":
            raise RuntimeError("an illegal address")
        return [measure.Row("extra")]

    monkeypatch.setattr(backends, "can_run", lambda *_: True)
    monkeypatch.setattr(bench_patch_swap, "gate", gate)
    monkeypatch.setattr(bench_patch_swap, "bandwidth", lambda *_: [measure.Row("share")])
    monkeypatch.setattr(bench_patch_swap, "memory", memory)
    monkeypatch.setattr(scenes, "pyramids", lambda _: SimpleNamespace(offsets=[]))
    monkeypatch.setattr(scenes, "photographs", lambda *_: None)
    assert not command.run_benchmarks(["patch_swap"], device="cpu", json_path=numbers)
    rows = json.loads(numbers.read_text())["patch_swap"]["rows"]
    names = ["cpp fails", "cuda: share", "cuda fails", "triton: share", "triton: extra"]
    assert [row["name"] for row in rows] == names
    assert rows[2]["note"] == "RuntimeError: an illegal address"


def test_bad_requests_are_refused(tmp_path: Path) -> None:
    for name, path in (("json", tmp_path / "a.txt"), ("markdown", tmp_path / "missing" / "a.md")):
        with pytest.raises(InputError, match=f"{name} must"):  # before anything is measured
            command.run_benchmarks(["fuse"], **{f"{name}_path": path})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="window_match, patch_swap, fuse, methods, got 'fast'"):
        command.run_benchmarks(["fast"])
    with pytest.raises(InputError, match="images must be three photographs, or none, got 2"):
        command.run_benchmarks(["fuse"], [Path("a"), Path("b")])
