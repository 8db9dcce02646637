"""The paper's experiments: ablations trained alike, translations, their tables and the plot."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from apnt.bracket import Bracket
from apnt.cli import app
from apnt.data.procedural import procedural_bracket
from apnt.errors import InputError
from apnt.evaluate import sets
from apnt.experiments import fig7, table2
from apnt.experiments.plot import line_plot
from apnt.nn import APNTConfig, APNTFusion
from apnt.train import network
from apnt.train.recipe import read_recipe

CONFIG = """
[model]
channels = [8, 8, 8]
match_dilations = [1, 2, 4, 8, 16]
mef_blocks = 1
radii = [1, 1, 2]
[network]
steps = 2
batch = 1
crop = 32
workers = 0
log_steps = 1
[network.brackets]
shift = 2.0
rotation = 0.0
"""


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a set of three small brackets."""

    def load(data: str | Path | None) -> tuple[Iterable[Bracket], int]:
        brackets = (procedural_bracket(seed, 64, 80) for seed in range(3))
        return (replace(b, name=f"room_{seed}") for seed, b in enumerate(brackets)), 3

    monkeypatch.setitem(sets.SETS, "tiny", load)
    return "tiny"


def trained(maps: Path, out: Path, text: str = CONFIG, **options: Any) -> dict[str, Any]:
    out.parent.mkdir(parents=True, exist_ok=True)
    config = out.parent / "table2.toml"
    config.write_text(text)
    return table2.run_table2(config, maps, out, device="cpu", set_name="tiny", **options)


def test_the_recipe_and_the_papers_figures() -> None:
    recipe = read_recipe(Path(__file__).parents[2] / "configs" / "table2.toml")
    table2.check_full(recipe.model)
    figures = {name: variant.paper for name, variant in table2.VARIANTS.items()}
    assert figures == {
        "full": 43.96, "no-ms-hdr": 43.11, "no-transfer": 42.37, "one-level": 43.68, "encoder": 43.57,
        "no-motion": 41.73, "no-scale": 43.35,
    }  # fmt: skip
    models = [replace(recipe.model, **variant.changes) for variant in table2.VARIANTS.values()]
    assert len(set(models)) == 7


@pytest.mark.parametrize("name", table2.VARIANTS)
def test_every_weight_of_every_model_gets_a_gradient(name: str) -> None:
    # Several processes wait for each gradient, and an ablation must not carry weights that it never uses.
    torch.manual_seed(0)
    plain = APNTConfig(channels=(8, 8, 8), mef_blocks=1, radii=(1, 1, 2))
    model = APNTFusion(replace(plain, **table2.VARIANTS[name].changes)).train()
    bracket = procedural_bracket(0, 64, 80)
    ldr = torch.from_numpy(bracket.ldr.transpose(0, 3, 1, 2).copy())[None]
    model(ldr, torch.tensor(bracket.times, dtype=torch.float32)[None]).sum().backward()
    without = [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def test_models_train_alike_one_after_the_other(
    maps: Path, tmp_path: Path, tiny: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    real = network.loss_in_mu_law

    def spy(output: torch.Tensor, truth: torch.Tensor, l2_weight: float) -> torch.Tensor:
        seen.append(float(truth.double().sum()))
        return real(output, truth, l2_weight)

    monkeypatch.setattr(network, "loss_in_mu_law", spy)
    out = tmp_path / "out"
    first = trained(maps, out, models=["full"])
    assert list(first["models"]) == ["full"]
    assert "Not trained yet: no-ms-hdr, " in capsys.readouterr().out.replace("\n", " ")
    files = [out / "full" / name for name in ("model.safetensors", "state.pt", "scores.json")]
    before = [(file.read_bytes(), file.stat().st_mtime_ns) for file in files]

    content = trained(maps, out)
    assert list(content["models"]) == list(table2.VARIANTS)
    assert [(file.read_bytes(), file.stat().st_mtime_ns) for file in files] == before
    assert content["scenes"] == ["room_0", "room_1", "room_2"]
    assert len(seen) == 7 * 2
    assert seen[0] != seen[1]
    assert seen == seen[:2] * 7  # every model saw the same brackets in the same order

    written = json.loads((out / "table2.json").read_text())
    assert written["models"]["no-motion"]["paper_psnr_mu"] == 41.73
    assert written["training"]["steps"] == 2
    mean = np.mean(written["models"]["full"]["scores"]["psnr_mu"])
    assert written["models"]["full"]["means"]["psnr_mu"] == pytest.approx(mean)
    page = (out / "table2.md").read_text()
    assert page.count("\n| ") == 2 + 6 + 1  # heading, rule, models
    row = next(line for line in page.splitlines() if line.startswith("| w/o NFT"))
    assert "| 42.37 | -1.59 |" in row
    gap = written["models"]["no-transfer"]["against_full"]
    assert f"| {gap:+.2f} | {written['models']['no-transfer']['standard_error']:.2f} |" in row
    assert ("Not below the full model here: " in page) == any(
        model["against_full"] >= 0 for name, model in written["models"].items() if name != "full"
    )


def test_a_model_of_another_recipe_or_evaluation_is_refused(maps: Path, tmp_path: Path, tiny: str) -> None:
    out = tmp_path / "out"
    trained(maps, out, models=["full"])
    with pytest.raises(InputError, match="steps must be those that the experiment began with, 2, got 3"):
        trained(maps, out, steps=3)
    for options in ({"limit": 1}, {"text": CONFIG.replace("batch = 1", "batch = 2")}):
        with pytest.raises(InputError, match="out must hold models of this recipe and this evaluation"):
            trained(maps, out, models=["full"], **options)  # type: ignore[arg-type]
    (out / "full" / "scores.json").write_text("[]")
    with pytest.raises(InputError, match=r"out must hold an experiment, and \S*scores\.json is none"):
        trained(maps, out, models=["full"])
    (out / "plan.json").write_text("[]")
    with pytest.raises(InputError, match="out must hold an experiment"):
        trained(maps, out)


def test_minutes_give_one_number_of_steps_to_all(maps: Path, tmp_path: Path, tiny: str) -> None:
    out = tmp_path / "out"
    content = trained(maps, out, models=["no-transfer"], minutes=0.002, limit=1)
    steps = json.loads((out / "plan.json").read_text())["steps"]
    assert content["training"]["steps"] == steps >= 1
    # What was timed once holds for the models that come later.
    assert trained(maps, out, models=["full"], minutes=5.0, limit=1)["training"]["steps"] == steps


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("ms_hdr = false", "ms_hdr must be True in the full model"),
        ("match_levels = [0]", r"match_levels must be \(0, 1, 2\) in the full model"),
        ("match_features = 'encoder'", "match_features must be 'learned' or 'vgg19'"),
        ("aligned = true", "aligned must be False for Table II"),
    ],
)
def test_a_recipe_that_is_not_the_full_model_is_refused(
    maps: Path, tmp_path: Path, tiny: str, model: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        trained(maps, tmp_path / "out", CONFIG.replace("[model]\n", f"[model]\n{model}\n"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": ["half"]}, "models must be of full, .*, got half"),
        ({"steps": 1, "minutes": 1.0}, "steps and minutes exclude each other"),
        ({"steps": 0}, "steps must be positive, got 0"),
        ({"limit": -1}, "limit must be positive"),
    ],
)
def test_wrong_arguments_are_named(
    maps: Path, tmp_path: Path, tiny: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        trained(maps, tmp_path / "out", **options)


def test_paired_difference_by_hand() -> None:
    one, two = ({"scores": {"psnr_mu": values}} for values in ([30.0, 32.0, 37.0], [31.0, 34.0, 36.0]))
    gap, error = table2.paired(one, two)
    assert gap == pytest.approx(-2 / 3)
    assert error == pytest.approx(np.std([-1, -2, 1], ddof=1) / math.sqrt(3))


def test_translation_by_hand() -> None:
    bracket = procedural_bracket(0, 64, 96)
    still, moved = (fig7.translated(bracket, shift, 8) for shift in (0, 5))
    assert bracket.truth is not None
    assert bracket.moving is not None
    for made in (still, moved):
        assert made.ldr.shape == (3, 48, 80, 3)
        assert np.array_equal(made.truth, bracket.truth[8:56, 8:88])
        assert np.array_equal(made.moving, bracket.moving[8:56, 8:88])
        assert np.array_equal(made.ldr[1], bracket.ldr[1, 8:56, 8:88])
    assert np.array_equal(still.ldr, bracket.ldr[:, 8:56, 8:88])
    for k in (0, 2):
        assert np.array_equal(moved.ldr[k], bracket.ldr[k, 3:51, 3:83])
        # What lies at a place before lies 5 pixels further down and to the right after.
        assert np.array_equal(moved.ldr[k, 5:, 5:], still.ldr[k, :-5, :-5])
    frames = np.concatenate([bracket.ldr, bracket.ldr[1:]])
    five = Bracket("five", frames, 2.0 ** np.arange(5), bracket.truth, reference=3)
    made = fig7.translated(five, 5, 8)
    assert made.reference == 3
    assert np.array_equal(made.reference_frame, frames[3, 8:56, 8:88])
    assert np.array_equal(made.ldr[five.others], frames[five.others, 3:51, 3:83])
    with pytest.raises(InputError, match="shift must lie between 0 and margin, 8, got 9"):
        fig7.translated(bracket, 9, 8)
    with pytest.raises(InputError, match="shifts must leave at least 32 pixels of procedural_0, 96 x 64"):
        fig7.translated(bracket, 20, 20)


def test_fig7_writes_table_numbers_and_plot(tmp_path: Path, tiny: str) -> None:
    out = tmp_path / "out"
    content = fig7.run_fig7(
        out, set_name=tiny, methods=["medium", "weighted"], shifts=(10, 0, 5), limit=2, device="cpu"
    )
    assert content["shifts"] == [0, 5, 10]
    assert content["scenes"] == ["room_0", "room_1"]
    assert content["falls"]["medium"] == 0  # it looks at no other frame
    assert content["means"]["weighted"][0] > content["means"]["weighted"][1]
    assert content["falls"]["weighted"] > 1
    written = json.loads((out / "fig7.json").read_text())
    assert written["means"] == content["means"]
    assert written["paper"] == [43.96, None, None]
    page = (out / "fig7.md").read_text()
    assert "| the paper | 43.96 | - | - | - |" in page
    assert f"{-content['falls']['weighted']:+.2f} |" in page
    assert cv2.imread(str(out / "fig7.png")).shape == (500, 720, 3)
    with pytest.raises(InputError, match="shifts must be numbers of pixels from 0"):
        fig7.run_fig7(out, set_name=tiny, shifts=(-1, 5))
    with pytest.raises(InputError, match="limit must be at least 1"):
        fig7.run_fig7(out, set_name=tiny, limit=0)


def test_the_plot_shows_its_lines() -> None:
    flat, falling = [30.0, 30.0], [30.0, 20.0]
    image = line_plot([0, 20], {"flat": flat, "falling": falling}, "x", "y")
    blue, red = (np.argwhere((image == colour).all(axis=-1)) for colour in ((178, 114, 0), (0, 94, 213)))
    ends = [points[(points[:, 1] > 690)][:, 0].mean() for points in (blue, red)]  # heights at the right end
    assert ends[0] == pytest.approx(56, abs=5)
    assert ends[1] == pytest.approx(424, abs=5)
    assert (line_plot([0], {}, "x", "y") != 255).any()


def test_a_long_legend_hides_nothing() -> None:
    titles = [f"method {k}" for k in range(9)]
    image = line_plot([0, 20], {title: [30.0, 20.0 + k] for k, title in enumerate(titles)}, "x", "PSNR, dB")
    bare = line_plot([0, 20], {"": [30.0, 20.0], " ": [30.0, 28.0]}, "x", "PSNR, dB")
    assert image.shape == (480 + 3 * 20, 720, 3)
    assert np.array_equal(image[:50], bare[:50])  # the axis's title alone
    assert all((image[480 + 20 * row :] != 255).any() for row in range(3))


def test_commands_reach_the_experiments(maps: Path, tmp_path: Path, tiny: str) -> None:
    (tmp_path / "recipe.toml").write_text(CONFIG)
    made = CliRunner().invoke(
        app,
        ["experiment", "table2", "--config", str(tmp_path / "recipe.toml"), "--data", str(maps), "--out",
         str(tmp_path / "t2"), "--models", "no-scale", "--steps", "1", "--set", tiny, "--limit", "1",
         "--device", "cpu"],
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    assert "43.35" in made.output
    made = CliRunner().invoke(
        app,
        ["experiment", "fig7", "--out", str(tmp_path / "f7"), "--set", tiny, "--methods", "medium",
         "--limit", "1"],
    )  # fmt: skip
    assert made.exit_code == 2
    assert "shifts must leave at least 32 pixels" in made.output
