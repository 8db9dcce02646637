"""Tables: means, empty masks, counts, the files that the command writes."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from apnt import methods, metrics
from apnt.bracket import Bracket
from apnt.data import procedural
from apnt.errors import InputError
from apnt.evaluate import command, sets, tables
from apnt.evaluate.loop import evaluate_brackets
from apnt.evaluate.protocols import PEERS, load_protocol
from apnt.evaluate.scores import Table
from apnt.methods import METHODS, Options, load_method
from apnt.metrics import PROTOCOL, psnr_linear, psnr_mu, pu21_psnr, ssim_linear, ssim_mu

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
    metrics = {"psnr_mu": psnr_mu, "psnr_linear": psnr_linear, "ssim_mu": ssim_mu, "ssim_linear": ssim_linear}
    areas = {"": None, "_saturated": saturated, "_moving_saturated": moving}
    scores = evaluate_brackets({"half": _half}, [bracket]).scores["half"]
    assert scores == {
        key + end: [metric(result, truth, area)]
        for end, area in areas.items()
        for key, metric in metrics.items()
    }
    protocol = load_protocol("pu21", peak_luminance=1000)
    scores = evaluate_brackets({"half": _half}, [bracket], [protocol]).scores["half"]
    assert scores == {
        "pu21_psnr" + end: [pu21_psnr(result, truth, area, peak_luminance=1000)]
        for end, area in areas.items()
    }


def test_a_metric_is_computed_once_for_all_its_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = metrics._ssim, []

    def count(*arguments: Any) -> list[float]:
        calls.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(metrics, "_ssim", count)
    evaluate_brackets({"half": _half}, [_bracket("a", True)])
    assert len(calls) == 2  # linear and after the curve, on three kinds of pixels each


def test_images_without_such_pixels_are_left_out_of_their_mean() -> None:
    brackets = [_bracket("a", True, 1), _bracket("b", False, 2), _bracket("c", None, 3)]
    table = evaluate_brackets({"half": _half}, iter(brackets))
    assert table.scenes == ["a", "b", "c"]
    moving = table.scores["half"]["psnr_mu_moving_saturated"]
    assert [math.isnan(value) for value in moving] == [False, True, True]
    assert table.mean("half", "psnr_mu_moving_saturated") == moving[0]
    assert table.count("psnr_mu_moving_saturated") == 1
    assert table.count("psnr_mu_saturated") == table.count("psnr_mu") == 3
    assert table.mean("half", "psnr_mu") == pytest.approx(np.mean(table.scores["half"]["psnr_mu"]))


def test_a_column_that_no_image_has() -> None:
    table = evaluate_brackets({"half": _half}, [_bracket("a", None)])
    assert math.isnan(table.mean("half", "psnr_mu_moving_saturated"))
    assert table.count("psnr_mu_moving_saturated") == 0


def test_evaluate_refuses_what_cannot_be_compared() -> None:
    bracket = _bracket("a", True)
    with pytest.raises(InputError, match="'blind' has none"):
        evaluate_brackets({"half": _half}, [Bracket("blind", bracket.ldr, bracket.times)])
    with pytest.raises(InputError, match="method 'nan' on bracket 'a': prediction must be finite"):
        evaluate_brackets({"nan": lambda b: _truth(b) * np.nan}, [bracket])
    with pytest.raises(InputError, match="at least one bracket"):
        evaluate_brackets({"half": _half}, [])
    with pytest.raises(InputError, match="at least one method"):
        evaluate_brackets({}, [bracket])


def test_rows_show_gain_counts_and_missing_values() -> None:
    missing = [math.nan, math.nan]
    values = {
        "medium": ([30, 31], [20, 21], [0.9, 0.8], [0.7, 0.8], [25, 26], missing),
        "apnt": ([37, 38], [math.inf, math.inf], [1, 1], [1, 1], [30, 31], missing),
    }
    keys = [column.key for column in PEERS.columns if column.headline]
    table = Table(["a", "b"], {name: dict(zip(keys, v, strict=True)) for name, v in values.items()})
    loaded = {name: methods.Method(METHODS[name].title, _half) for name in table.scores}
    head, medium, apnt = tables.mean_rows(table, loaded)
    assert head[-2:] == ["PSNR-µ sat. (2)", "PSNR-µ moving sat. (0)"]
    assert medium == ["medium exposure", "30.50", "+0.00", "20.50", "0.8500", "0.7500", "25.50", "-"]
    assert apnt == ["APNT-Fusion", "37.50", "+7.00", "inf", "1.0000", "1.0000", "30.50", "-"]
    assert tables.scene_rows(table, loaded) == [
        ["PSNR-µ", "medium exposure", "APNT-Fusion"],
        ["a", "30.00", "37.00"],
        ["b", "31.00", "38.00"],
    ]
    screen = io.StringIO()
    console = Console(width=80, file=screen)
    console.print(tables.as_rich([head, ["AlignMTB + Debevec", *apnt[1:]]]))
    console.print(tables.as_rich(tables.scene_rows(table, loaded)))
    assert "…" not in screen.getvalue()
    markdown = tables.as_markdown([["m", "x"], ["n", "1"]])
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
    table = command.evaluate_set(
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
    assert content["settings"] == {"limit": 2, "peak_luminance": 4000}
    assert set(content["protocols"]) == {"peers", "pu21"}
    for name, protocol in content["protocols"].items():
        assert protocol["meaning"] in printed
        assert protocol["meaning"] in markdown_path.read_text()
        assert f"protocol {name}:" in printed
    assert content["protocols"]["pu21"]["columns"]["pu21_psnr_saturated"] == {
        "title": "PU21-PSNR",
        "pixels": "saturated",
        "unit": "dB",
    }
    assert list(content["methods"]) == ["medium", "weighted"]
    assert {"apnt", "python", "torch", "numpy", "opencv", "openexr"} == set(content["versions"])
    assert content["machine"]["cpu"]
    assert content["counts"]["psnr_mu_moving_saturated"] == 1
    assert content["means"]["weighted"]["psnr_mu"] == pytest.approx(table.mean("weighted", "psnr_mu"))
    assert [scene["name"] for scene in content["scenes"]] == ["a", "b"]
    assert content["scenes"][1]["scores"]["medium"]["psnr_mu_moving_saturated"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.json", "scores.md"]


def test_infinite_scores_are_valid_json() -> None:
    table = evaluate_brackets({"truth": _truth}, [_bracket("a", True)])
    content = tables.as_json(table, {"truth": methods.Method("truth", _truth)}, "tiny", {})
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
        command.evaluate_set(tiny_set, methods=["medium"], json_path=path, limit=1)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_command_names_bad_arguments_before_it_runs(tiny_set: str, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"set must be one of val-v1, .*, tiny or the folder of .*, got 'val-v9'"
    ):
        command.evaluate_set("val-v9")
    with pytest.raises(InputError, match=r"methods must be of medium, weighted, .*, apnt, got 'best'"):
        command.evaluate_set(tiny_set, methods=["best"])
    with pytest.raises(InputError, match="limit must be at least 1, got 0"):
        command.evaluate_set(tiny_set, limit=0)
    for path in (tmp_path, tmp_path / "missing" / "scores.json", tmp_path / "scores.txt"):
        with pytest.raises(InputError, match="json must"):
            command.evaluate_set(tiny_set, json_path=path)


def test_the_procedural_set_needs_no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("APNT_DATA", raising=False)
    table = command.evaluate_set("procedural", methods=["weighted"], limit=1)
    assert table.scenes == ["procedural_0"]
    assert table.count("psnr_mu_moving_saturated") == 1
    with pytest.raises(InputError, match=f"data must be left out where set is procedural.* got {tmp_path}"):
        command.evaluate_set("procedural", data=tmp_path)

    made = procedural.procedural_bracket
    monkeypatch.setattr(
        procedural, "procedural_bracket", lambda seed, height, width, stops: made(seed, 64, 96, stops)
    )
    brackets, count = sets.load_set("procedural")
    found = list(brackets)
    assert len(found) == count == len({bracket.name for bracket in found})
    assert [bracket.times[1] for bracket in found] == [4, 8] * 3
    assert all(bracket.truth is not None and bracket.moving is not None for bracket in found)


@pytest.mark.parametrize("name", ["medium", "weighted", "align-debevec"])
def test_baselines_load_by_name(name: str) -> None:
    bracket = _bracket("a", True)
    result = load_method(name).fuse(bracket)
    assert result.shape == _truth(bracket).shape


def test_the_network_gets_tensors_short_to_long(monkeypatch: pytest.MonkeyPatch) -> None:
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

    monkeypatch.setattr("apnt.methods.network.load_network", Short.from_pretrained)
    method = load_method("apnt", Options("some.safetensors", "cpu"))
    bracket = _bracket("a", True)
    np.testing.assert_allclose(method.fuse(bracket), _truth(bracket) / 4, rtol=1e-4)
    assert method.details["weights"] == "some.safetensors"
    assert method.details["device"] == "cpu"
    assert len(method.details["state_sha256"]) == 64
    with pytest.raises(InputError, match="device must be usable here, and abacus is not"):
        load_method("apnt", Options("some.safetensors", "abacus"))


def test_the_recorded_results_have_no_field_that_is_gone(tiny_set: str, tmp_path: Path) -> None:
    recorded = json.loads((Path(__file__).parents[2] / "benchmarks/results/val-v1.json").read_text())
    path = tmp_path / "scores.json"
    command.evaluate_set(tiny_set, methods=["weighted"], json_path=path, limit=1)
    content = json.loads(path.read_text())
    assert recorded.keys() <= content.keys()
    assert recorded["counts"].keys() <= content["counts"].keys()
    assert recorded["means"]["medium"].keys() <= content["means"]["medium"].keys()
    assert recorded["scenes"][0]["scores"]["medium"].keys() <= content["scenes"][0]["scores"]["medium"].keys()
    assert recorded["protocol"] == content["protocol"]


def test_protocols_are_named_and_checked(tiny_set: str) -> None:
    assert "4000 cd/m²" in load_protocol("pu21").meaning
    assert "600 cd/m²" in load_protocol("pu21", peak_luminance=600).meaning
    with pytest.raises(InputError, match="protocols must be of peers, pu21, cvvdp, got 'vdp'"):
        command.evaluate_set(tiny_set, protocols=["vdp"])
    with pytest.raises(InputError, match="protocols must name at least one protocol"):
        command.evaluate_set(tiny_set, protocols=[])
    with pytest.raises(InputError, match=r"peak_luminance must be from 1 to 10000 cd/m.*got 0"):
        command.evaluate_set(tiny_set, peak_luminance=0)


def test_one_protocol_alone(tiny_set: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = command.evaluate_set(tiny_set, methods=["weighted"], protocols=["pu21"], limit=1, per_scene=True)
    assert set(table.scores["weighted"]) == {"pu21_psnr", "pu21_psnr_saturated", "pu21_psnr_moving_saturated"}
    printed = capsys.readouterr().out
    assert "PU21-PSNR" in printed
    assert "PSNR-µ" not in printed


class _StandIn:
    """ColorVideoVDP's package as far as it is used: its quality is 10 less the mean difference in cd/m^2."""

    def __init__(self) -> None:
        self.vvdp_display_photo_eotf = lambda peak, **options: {"peak": peak, **options}
        self.cvvdp = self.make

    def make(
        self, display_name: str, display_photometry: dict[str, object], **options: object
    ) -> SimpleNamespace:
        assert display_name == "standard_hdr_linear"
        assert display_photometry["EOTF"] == "linear"
        assert str(options["device"]) == "cpu"

        def predict(test: np.ndarray, reference: np.ndarray, dim_order: str) -> tuple[np.ndarray, None]:
            assert dim_order == "HWC"
            assert test.dtype == reference.dtype == np.float32
            return 10 - np.abs(reference - test).mean(), None

        name = f'"ColorVideoVDP v0, Lpeak={display_photometry["peak"]:g}"'
        return SimpleNamespace(predict=predict, get_info_string=lambda: name)


def test_colorvideovdp_gets_absolute_light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycvvdp", _StandIn())
    protocol = load_protocol("cvvdp", peak_luminance=100, device="cpu")
    assert "ColorVideoVDP v0, Lpeak=100" in protocol.meaning
    bracket = _bracket("a", True)
    table = evaluate_brackets({"truth": _truth, "half": _half}, [bracket], [protocol])
    assert table.scores["truth"]["cvvdp"] == [10]
    assert table.scores["half"]["cvvdp"] == [pytest.approx(10 - 50 * _truth(bracket).mean(), rel=1e-5)]
    with pytest.raises(InputError, match="whole images"):
        protocol.columns[0].metric(_truth(bracket), _truth(bracket), [bracket.saturated])


def test_colorvideovdp_that_is_not_there_says_what_to_do(
    tiny_set: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {lacking!r}", name=lacking)

    monkeypatch.setattr("importlib.import_module", missing)
    lacking = "pycvvdp"
    with pytest.raises(InputError, match=r"not installed: pip install 'apnt\[cvvdp\]', or leave"):
        command.evaluate_set(tiny_set, protocols=["cvvdp"])
    lacking = "torchvision"
    with pytest.raises(InputError, match="installed but lacks torchvision"):
        command.evaluate_set(tiny_set, protocols=["cvvdp"])


def test_colorvideovdp_that_does_not_load_says_what_to_do(
    tiny_set: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> None:  # torchvision beside another torch than its own
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(InputError, match=r"which does not load \(operator torchvision::nms does not exist\)"):
        command.evaluate_set(tiny_set, protocols=["cvvdp"])


def test_colorvideovdp_itself() -> None:
    pytest.importorskip("pycvvdp", reason="the package cvvdp is not installed")
    metric = load_protocol("cvvdp", device="cpu").columns[0].metric
    truth = np.random.default_rng(0).random((64, 64, 3), dtype=np.float32)
    assert metric(truth, truth, [None]) == [pytest.approx(10, abs=1e-3)]
    assert metric(truth / 2, truth, [None])[0] < 9


def _network(made: list[torch.nn.Module]) -> Callable[[str], torch.nn.Module]:
    """Stands in for what loads weights; its networks are untrained and are added to ``made``."""
    from apnt.nn import APNTConfig, APNTFusion

    def from_pretrained(weights: str) -> torch.nn.Module:
        torch.manual_seed(len(weights))
        config = APNTConfig(channels=(8, 8, 8), reduction=4, match_features="learned")
        made.append(APNTFusion(config).eval())
        return made[-1]

    return from_pretrained


def test_the_network_explains_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[torch.nn.Module] = []
    monkeypatch.setattr("apnt.methods.network.load_network", _network(made))
    method = load_method("apnt", Options("some", "cpu"))
    bracket = _bracket("a", True)
    assert method.explain is not None
    result, maps = method.explain(bracket)
    assert not any(module.training for module in made[0].modules())
    np.testing.assert_array_equal(result, method.fuse(bracket))
    assert maps.motion.shape == (2, *SIZE)
    assert maps.saturation.shape == SIZE
    assert maps.offset is not None
    assert maps.offset.shape == (*SIZE, 2)
    for attention in (maps.motion, maps.saturation):
        assert 0 <= attention.min() < attention.max() <= 1


def test_several_weights_are_several_methods(tiny_set: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apnt.methods.network.load_network", _network([]))
    run = command.evaluate_set(
        tiny_set, methods=["apnt"], weights=["default", "runs/mine.safetensors"], limit=1, device="cpu"
    )
    assert list(run.scores) == ["medium", "apnt:default", "apnt:mine"]
    run = command.evaluate_set(
        tiny_set, methods=["apnt"], weights=["a", "b/v0.1", "a"], limit=1, device="cpu"
    )
    assert list(run.scores) == ["medium", "apnt:a", "apnt:v0.1"]
    run = command.evaluate_set(
        tiny_set, methods=["apnt"], weights=["a/model", "b/model"], limit=1, device="cpu"
    )
    assert list(run.scores) == ["medium", "apnt:a/model", "apnt:b/model"]
    assert (
        list(command.evaluate_set(tiny_set, methods=["apnt"], weights=["a"], limit=1, device="cpu").scores)[1]
        == "apnt"
    )


@pytest.mark.parametrize("name", ["mertens", "li20", "gu12"])
def test_a_picture_for_a_display_is_not_scored_as_radiance(
    name: str,
    tiny_set: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    paths = {kind: tmp_path / f"scores.{kind}" for kind in ("json", "md", "html")}
    table = command.evaluate_set(
        tiny_set, methods=[name, "weighted"], json_path=paths["json"], markdown_path=paths["md"],
        html_path=paths["html"], limit=1, per_scene=True,
    )  # fmt: skip
    title, note = METHODS[name].title, "n/a: pictures for a display"
    assert all(math.isnan(value) for values in table.scores[name].values() for value in values)
    assert not math.isnan(table.mean("weighted", "psnr_linear"))
    for text in (capsys.readouterr().out, paths["md"].read_text(), paths["html"].read_text()):
        assert note in text
        assert title in text
    row = next(line for line in paths["md"].read_text().splitlines() if line.startswith(f"| {title}"))
    assert set(row.strip("| ").split(" | ")[1:]) == {"n/a"}
    content = json.loads(paths["json"].read_text())
    assert content["methods"][name]["kind"] == "display"
    assert set(content["means"][name].values()) == {None}
    assert "a picture for a display" in paths["html"].read_text()


def test_without_such_methods_there_is_no_footnote(tiny_set: str, capsys: pytest.CaptureFixture[str]) -> None:
    command.evaluate_set(tiny_set, methods=["weighted"], limit=1)
    assert "n/a" not in capsys.readouterr().out
