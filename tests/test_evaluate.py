"""Tables: means, empty masks, counts, the files that the command writes."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from apnt.data.bracket import Bracket
from apnt.errors import InputError
from apnt.evaluate import command, methods, report, sets
from apnt.evaluate.methods import TITLES, load_method
from apnt.evaluate.table import COLUMNS, Table, evaluate
from apnt.metrics import PROTOCOL, psnr_linear, psnr_mu, ssim_linear, ssim_mu

SIZE = (20, 24)


def _bracket(name: str, moving: bool | None, seed: int = 0) -> Bracket:
    """Random truth, saturated in the medium's left half; a moving block on it, elsewhere, or unknown."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 0.2, (*SIZE, 3)).astype(np.float32)
    truth[:, :12] += 0.5
    times = np.array([1.0, 4.0, 16.0])
    ldr = np.clip(truth * times[:, None, None, None], 0, 1) ** (1 / 2.2)
    mask = np.zeros(SIZE, dtype=bool)
    mask[5:12, 6:11] = bool(moving)
    mask[5:12, 14:20] = True
    return Bracket(name, ldr.astype(np.float32), times, truth, None if moving is None else mask)


def _truth(bracket: Bracket) -> np.ndarray:
    assert bracket.truth is not None
    return bracket.truth


def _half(bracket: Bracket) -> np.ndarray:
    return _truth(bracket) / 2


def test_every_score_is_its_metric() -> None:
    bracket = _bracket("a", moving=True)
    truth, result = _truth(bracket), _half(bracket)
    saturated = np.zeros(SIZE, dtype=bool)
    saturated[:, :12] = True
    moving = np.zeros(SIZE, dtype=bool)
    moving[5:12, 6:11] = True
    scores = evaluate({"half": _half}, [bracket]).scores["half"]
    assert scores == {
        "psnr_mu": [psnr_mu(result, truth)],
        "psnr_linear": [psnr_linear(result, truth)],
        "ssim_mu": [ssim_mu(result, truth)],
        "ssim_linear": [ssim_linear(result, truth)],
        "psnr_mu_saturated": [psnr_mu(result, truth, saturated)],
        "psnr_mu_moving_saturated": [psnr_mu(result, truth, moving)],
    }


def test_images_without_such_pixels_are_left_out_of_their_mean() -> None:
    brackets = [_bracket("a", True, 1), _bracket("b", False, 2), _bracket("c", None, 3)]
    table = evaluate({"half": _half}, iter(brackets))
    assert table.scenes == ["a", "b", "c"]
    moving = table.scores["half"]["psnr_mu_moving_saturated"]
    assert [math.isnan(value) for value in moving] == [False, True, True]
    assert table.mean("half", "psnr_mu_moving_saturated") == moving[0]
    assert table.count("psnr_mu_moving_saturated") == 1
    assert table.count("psnr_mu_saturated") == table.count("psnr_mu") == 3
    assert table.mean("half", "psnr_mu") == pytest.approx(np.mean(table.scores["half"]["psnr_mu"]))


def test_a_column_that_no_image_has() -> None:
    table = evaluate({"half": _half}, [_bracket("a", None)])
    assert math.isnan(table.mean("half", "psnr_mu_moving_saturated"))
    assert table.count("psnr_mu_moving_saturated") == 0


def test_evaluate_refuses_what_cannot_be_compared() -> None:
    bracket = _bracket("a", True)
    with pytest.raises(InputError, match="'blind' has none"):
        evaluate({"half": _half}, [Bracket("blind", bracket.ldr, bracket.times)])
    with pytest.raises(InputError, match="method 'nan' on bracket 'a': prediction must be finite"):
        evaluate({"nan": lambda b: _truth(b) * np.nan}, [bracket])
    with pytest.raises(InputError, match="at least one bracket"):
        evaluate({"half": _half}, [])
    with pytest.raises(InputError, match="at least one method"):
        evaluate({}, [bracket])


def test_rows_show_gain_counts_and_missing_values() -> None:
    missing = [math.nan, math.nan]
    values = {
        "medium": ([30, 31], [20, 21], [0.9, 0.8], [0.7, 0.8], [25, 26], missing),
        "apnt": ([37, 38], [math.inf, math.inf], [1, 1], [1, 1], [30, 31], missing),
    }
    keys = [column.key for column in COLUMNS]
    table = Table(["a", "b"], {name: dict(zip(keys, v, strict=True)) for name, v in values.items()})
    loaded = {name: methods.Method(TITLES[name], _half) for name in table.scores}
    head, medium, apnt = report.mean_rows(table, loaded)
    assert head[-2:] == ["PSNR-µ sat. (2)", "PSNR-µ moving sat. (0)"]
    assert medium == ["medium exposure", "30.50", "+0.00", "20.50", "0.8500", "0.7500", "25.50", "-"]
    assert apnt == ["APNT-Fusion", "37.50", "+7.00", "inf", "1.0000", "1.0000", "30.50", "-"]
    assert report.scene_rows(table, loaded) == [
        ["PSNR-µ", "medium exposure", "APNT-Fusion"],
        ["a", "30.00", "37.00"],
        ["b", "31.00", "38.00"],
    ]
    screen = io.StringIO()
    console = Console(width=80, file=screen)
    console.print(report.as_rich([head, ["AlignMTB + Debevec", *apnt[1:]]]))
    console.print(report.as_rich(report.scene_rows(table, loaded)))
    assert "…" not in screen.getvalue()
    markdown = report.as_markdown([["m", "x"], ["n", "1"]])
    assert markdown == "| m | x |\n| --- | ---: |\n| n | 1 |\n"


@pytest.fixture
def tiny_set(monkeypatch: pytest.MonkeyPatch) -> str:
    """A set of three brackets in place of a real one; making the third fails the test."""

    def load(data: str | Path | None) -> tuple[Iterator[Bracket], int]:
        def make() -> Iterator[Bracket]:
            yield _bracket("a", True, 1)
            yield _bracket("b", False, 2)
            raise AssertionError("limit did not hold")

        return make(), 3

    monkeypatch.setitem(sets.SETS, "tiny", load)
    return "tiny"


def test_command_prints_and_writes(
    tiny_set: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    json_path, markdown_path = tmp_path / "scores.json", tmp_path / "scores.md"
    json_path.write_text("old")
    table = command.run(
        tiny_set,
        methods=["weighted"],
        json_path=json_path,
        markdown_path=markdown_path,
        limit=2,
        per_scene=True,
    )
    printed = " ".join(capsys.readouterr().out.split())
    gain = table.mean("weighted", "psnr_mu") - table.mean("medium", "psnr_mu")
    for text in ("medium exposure", "weighted (eq. 1)", f"{gain:+.2f}", PROTOCOL, "tiny, 2 brackets"):
        assert text in printed
        assert text in " ".join(markdown_path.read_text().split())
    assert gain > 1

    content = json.loads(json_path.read_text())
    assert content["set"] == "tiny"
    assert content["protocol"] == PROTOCOL
    assert content["settings"] == {"limit": 2}
    assert list(content["methods"]) == ["medium", "weighted"]
    assert {"apnt", "python", "torch", "numpy", "opencv"} == set(content["versions"])
    assert content["machine"]["cpu"]
    assert content["counts"]["psnr_mu_moving_saturated"] == 1
    assert content["means"]["weighted"]["psnr_mu"] == pytest.approx(table.mean("weighted", "psnr_mu"))
    assert [scene["name"] for scene in content["scenes"]] == ["a", "b"]
    assert content["scenes"][1]["scores"]["medium"]["psnr_mu_moving_saturated"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.json", "scores.md"]


def test_infinite_scores_are_valid_json() -> None:
    table = evaluate({"truth": _truth}, [_bracket("a", True)])
    content = report.as_json(table, {"truth": methods.Method("truth", _truth)}, "tiny", {})
    assert json.loads(json.dumps(content, allow_nan=False))["means"]["truth"]["psnr_mu"] == "inf"


def test_failed_write_keeps_the_old_file(
    tiny_set: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scores.json"
    path.write_text("old")

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        command.run(tiny_set, methods=["medium"], json_path=path, limit=1)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_command_names_bad_arguments_before_it_runs(tiny_set: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"set must be one of val-v1, tiny, got 'val-v2'"):
        command.run("val-v2")
    with pytest.raises(
        InputError, match="methods must be of medium, weighted, align-debevec, apnt, got 'best'"
    ):
        command.run(tiny_set, methods=["best"])
    with pytest.raises(InputError, match="limit must be at least 1, got 0"):
        command.run(tiny_set, limit=0)
    for path in (tmp_path, tmp_path / "missing" / "scores.json", tmp_path / "scores.txt"):
        with pytest.raises(InputError, match="json must"):
            command.run(tiny_set, json_path=path)


def test_a_set_without_its_data_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("APNT_DATA", raising=False)
    with pytest.raises(InputError, match="APNT_DATA"):
        command.run("val-v1")
    with pytest.raises(InputError, match="lacks"):
        command.run("val-v1", data=tmp_path)


@pytest.mark.parametrize("name", ["medium", "weighted", "align-debevec"])
def test_baselines_load_by_name(name: str) -> None:
    bracket = _bracket("a", True)
    result = load_method(name).fuse(bracket)
    assert result.shape == _truth(bracket).shape


def test_the_network_gets_tensors_short_to_long(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class Short(torch.nn.Linear):
        """Answers with the short exposure's radiance divided by the medium's time."""

        @classmethod
        def from_pretrained(cls, weights: str) -> Short:
            assert weights == "some.safetensors"
            return cls(1, 1)

        def forward(self, ldr: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
            assert ldr.shape == (1, 3, 3, *SIZE)
            assert times.shape == (1, 3)
            assert torch.is_inference_mode_enabled()
            assert not self.training
            return ldr[:, 0] ** 2.2 / times[0, 1]

    monkeypatch.setitem(sys.modules, "apnt.nn", SimpleNamespace(APNTFusion=Short))
    method = load_method("apnt", "some.safetensors", "cpu")
    bracket = _bracket("a", True)
    np.testing.assert_allclose(method.fuse(bracket), _truth(bracket) / 4, rtol=1e-4)
    assert method.details["weights"] == "some.safetensors"
    assert method.details["device"] == "cpu"
    assert len(method.details["state_sha256"]) == 64
    with pytest.raises(InputError, match="device must be usable here, and abacus is not"):
        load_method("apnt", "some.safetensors", "abacus")
