"""Training: the recipe file, the losses, a run that learns, a run that goes on where it stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from apnt.data.photographs import PhotographRecipe
from apnt.data.synthetic import BracketRecipe
from apnt.errors import InputError
from apnt.nn import APNTConfig, APNTFusion
from apnt.nn.features import MatchFeatures
from apnt.tonemap import mu_law
from apnt.train import network
from apnt.train.brackets import PhotographBrackets, SyntheticBrackets
from apnt.train.command import train_from_recipe
from apnt.train.features import correspondence_loss, one_cycle, train_features
from apnt.train.network import loss_in_mu_law, train_network
from apnt.train.recipe import FarRecipe, FeatureRecipe, NetworkRecipe, read_recipe
from apnt.train.samples import training_samples

QUIET = BracketRecipe(shift=2.0, rotation=0.0, object_speed=(1.0, 3.0), objects=(1, 1))
TINY = APNTConfig(channels=(8, 8, 8), mef_blocks=1, radii=(1, 1, 2))
RECIPE = NetworkRecipe(steps=4, batch=2, crop=32, lr=3e-3, warmup=1, workers=0, brackets=QUIET)


def fresh() -> APNTFusion:
    torch.manual_seed(5)
    return APNTFusion(TINY)


def test_samples_depend_on_seed_and_index_alone(maps: Path) -> None:
    one, two = (SyntheticBrackets(maps, 10, 32, QUIET, seed=3) for _ in range(2))
    one[0]
    for key, value in one[7].items():
        assert torch.equal(value, two[7][key]), key
    assert not torch.equal(one[7]["ldr"], one[6]["ldr"])
    assert not torch.equal(one[7]["ldr"], SyntheticBrackets(maps, 10, 32, QUIET, seed=4)[7]["ldr"])
    assert one[7]["ldr"].shape == (3, 3, 32, 32)
    assert one[7]["truth"].shape == (3, 32, 32)


def test_recipe_options_for_real_cameras_change_the_frames(maps: Path) -> None:
    plain = SyntheticBrackets(maps, 4, 32, QUIET)[0]
    inexact = SyntheticBrackets(maps, 4, 32, replace(QUIET, exposure_error=0.1))[0]
    eight, jpeg = (SyntheticBrackets(maps, 4, 32, replace(QUIET, bits=(8,), jpeg=p))[0] for p in (0.0, 1.0))
    assert torch.equal(plain["truth"], inexact["truth"])
    assert torch.equal(plain["times"], inexact["times"])
    assert not torch.equal(plain["ldr"][0], inexact["ldr"][0])
    assert torch.allclose(jpeg["ldr"] * 255, (jpeg["ldr"] * 255).round(), atol=1e-3)
    assert torch.equal(jpeg["truth"], eight["truth"])
    assert not torch.equal(jpeg["ldr"], eight["ldr"])


def test_loss_by_hand() -> None:
    output, truth = torch.full((1, 3, 2, 2), 0.2), torch.full((1, 3, 2, 2), 0.1)
    gap = float(mu_law(torch.tensor(0.2)) - mu_law(torch.tensor(0.1)))
    assert loss_in_mu_law(output, truth, 0.0).item() == pytest.approx(gap, rel=1e-5)
    assert loss_in_mu_law(output, truth, 3.0).item() == pytest.approx(gap + 3 * gap**2, rel=1e-5)


def test_correspondence_loss_prefers_the_truth() -> None:
    torch.manual_seed(0)
    target = torch.randn(1, 6, 20, 20)
    source = target.roll((3, -2), dims=(2, 3))
    motion = torch.tensor([3.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 20, 20)
    valid = torch.zeros(1, 20, 20, dtype=torch.bool)
    valid[:, 4:-4, 4:-4] = True
    right, accuracy = correspondence_loss(source, target, motion, valid)
    wrong, miss = correspondence_loss(source, target, -motion, valid)
    assert right < 0.1 < wrong
    assert accuracy > 0.99
    assert miss < 0.01
    nothing, _ = correspondence_loss(source, target, motion, torch.zeros_like(valid))
    assert nothing.item() == 0
    pair = [torch.cat([x, x]) for x in (source, target, motion, valid)]
    pair[3][1] = False
    one, two = ([torch.Generator().manual_seed(i) for i in range(n)] for n in (1, 2))
    alone, _ = correspondence_loss(source, target, motion, valid, one)
    half, _ = correspondence_loss(*pair, two)
    assert half.item() == pytest.approx(alone.item() / 2)  # a pair without valid pixels counts 0


@pytest.mark.parametrize("optimiser", ["adam", "muon"])
def test_a_run_learns(maps: Path, tmp_path: Path, optimiser: Literal["adam", "muon"]) -> None:
    seen: list[float] = []
    recipe = replace(RECIPE, steps=40, average=0.9, optimiser=optimiser)
    train_network(fresh(), maps, tmp_path / "run", recipe, report=lambda _, line: seen.append(line["loss"]))
    assert len(seen) == 2
    assert seen[1] < seen[0]


@pytest.mark.parametrize("optimiser", ["adam", "muon"])
def test_an_interrupted_run_ends_with_the_same_weights(
    maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimiser: Literal["adam", "muon"]
) -> None:
    recipe = replace(RECIPE, save_minutes=0.0, optimiser=optimiser)  # saves after every step
    whole = load_file(train_network(fresh(), maps, tmp_path / "whole", recipe))

    real, calls = network.loss_in_mu_law, []

    def interrupt(*arguments: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(network, "loss_in_mu_law", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_network(fresh(), maps, tmp_path / "cut", recipe)
    monkeypatch.undo()
    resumed = load_file(train_network(fresh(), maps, tmp_path / "cut", recipe))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_the_clock_ends_a_run(maps: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, steps=10_000, minutes=0.02)
    path = train_network(fresh(), maps, tmp_path / "run", recipe)
    assert APNTFusion.from_pretrained(path).config == TINY


def test_the_command_trains_features_then_the_network(maps: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    path = train_from_recipe(tiny_recipe, maps, tmp_path / "out", device="cpu")
    assert path is not None
    trained = APNTFusion.from_pretrained(path)
    features = load_file(tmp_path / "out" / "features.safetensors")
    assert isinstance(trained.match_features, MatchFeatures)
    for key, value in trained.match_features.state_dict().items():
        assert torch.equal(value, features[key])  # frozen while the network trains


CONFIGS = Path(__file__).parents[2] / "configs"


def test_the_packaged_recipe_can_be_read() -> None:
    recipe = read_recipe(CONFIGS / "default.toml")
    assert recipe.model.aligned
    assert recipe.network.brackets.jpeg > 0
    assert recipe.network.tone.probability == 0  # the recipe of the packaged weights had none


def test_the_papers_recipe_is_the_papers() -> None:
    recipe = read_recipe(CONFIGS / "paper.toml")
    assert recipe.model.match_features == "vgg19"
    assert recipe.model.output == "paper"
    assert recipe.model.radii == (2, 2, 8)
    training = recipe.network
    assert (training.lr, training.batch, training.crop, training.schedule) == (1e-5, 1, 256, "constant")
    assert (training.l2_weight, training.average, training.clip) == (0, 0, 0)


def test_one_cycle_is_torchs() -> None:
    for steps in (1, 7, 40, 300):
        optimiser = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=2e-3)
        if steps < 40:  # torch divides by zero where the rise takes less than two steps
            assert all(0 < one_cycle(step, steps, 2e-3)[0] <= 2e-3 for step in range(steps))
            continue
        theirs = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps, pct_start=0.05)
        for step in range(steps):
            group = optimiser.param_groups[0]
            expected = (group["lr"], group["betas"][0])
            assert one_cycle(step, steps, 2e-3) == pytest.approx(expected, rel=1e-9), step
            optimiser.step()
            if step < steps - 1:
                theirs.step()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model", "readable TOML"),
        ("[modle]\n", "unknown \\['modle'\\]"),
        ("[network]\nsteeps = 3\n", "table network must hold .*'steeps'"),
        ("[network.brackets]\nnoise = 3\n", "table network.brackets must hold .*'noise'"),
        ("[model]\ninput = 'raw'\n", "input must be one of"),
        ("[network]\nprecision = 'fp8'\n", "precision in config table network must be one of"),
        ("[network]\nprecision = 16\n", "precision in config table network must be like 'fp32'"),
        ("[network]\ntone = 0.5\n", "tone in config table network must be like ToneRecipe"),
        ("[network]\nbatch = 0\n", "config table network: batch must be at least 1, got 0"),
        ("[network]\nlr = 0.0\n", "config table network: lr must be positive"),
        ("[network]\nminutes = 0\n", "config table network: minutes must be positive"),
        ("[network]\nbetas = [0.9, 1.0]\n", "betas must be two numbers"),
        ("[network]\naverage = 1.5\n", "average must lie between 0 and 1, got 1.5"),
        ("[network.tone]\nprobability = 2.0\n", "network.tone: probability must lie between 0 and 1"),
        ("[network.validation]\nbrackets = 0\n", "network.validation: brackets must be at least 1"),
        ("[network]\nsteps = 'a'\n", "steps in config table network must be like 10000"),
        ("[network]\nsteps = 2.5\n", "steps in config table network must be like 10000"),
        ("network = 5\n", "config must hold tables, and network of .* is 5"),
        ("[network]\nbetas = [0.9]\n", "betas in config table network must be 2 numbers"),
        ("[network.brackets]\nsaturated = [0.1]\n", r"saturated in .* must be 2 numbers, got \[0.1\]"),
        ("[network.brackets]\nsaturated = [0.2, 0.1]\n", "network.brackets: saturated must be a range"),
        ("[network.brackets]\nread = [0.0, 0.1]\n", "network.brackets: read must be a range above 0"),
        ("[network.brackets]\njpeg = 1.5\n", "network.brackets: jpeg must lie between 0 and 1, got 1.5"),
        ("[network.brackets]\nshift = -1.0\n", "network.brackets: shift must be at least 0, got -1"),
        ("[network.brackets]\nstops = [0]\n", "network.brackets: stops must be spacings of at least 1"),
        ("[network.brackets]\nbits = [12]\n", "network.brackets: bits must be of 8 and 16"),
        ("[network.brackets]\nstops = ['a']\n", "stops in config table network.brackets must be like"),
    ],
)
def test_wrong_recipes_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_recipe(path)


def test_tables_keep_what_they_leave_out(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("[features.brackets]\nstops = [3]\n[network]\nlr = 1\nminutes = 2\n")
    recipe = read_recipe(path)
    assert recipe.features.brackets == replace(FeatureRecipe().brackets, stops=(3,))
    assert recipe.network == replace(NetworkRecipe(), lr=1, minutes=2)


def test_maps_that_cannot_be_used_are_refused(maps: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"maps of at least 108 pixels a side .* make crop or"):
        SyntheticBrackets(maps, 1, 100, QUIET)
    dark = tmp_path / "dark"
    dark.mkdir()
    image = np.zeros((64, 64, 3), np.float32)
    image[0, 0] = 1.0
    cv2.imwrite(str(dark / "dark.hdr"), image)
    with pytest.raises(InputError, match="a thousand crops were black"):
        SyntheticBrackets(dark, 1, 32, QUIET)[0]


def test_features_that_cannot_be_used_are_refused(maps: Path, tmp_path: Path) -> None:
    config = tmp_path / "recipe.toml"
    config.write_text("[model]\nchannels = [8, 8, 8]\n")
    with pytest.raises(InputError, match="features must be a file of matching features"):
        train_from_recipe(config, maps, tmp_path / "out", features=tmp_path / "typo.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    for name, which in (("other.safetensors", "these are"), ("recipe.toml", ".*recipe.toml is")):
        with pytest.raises(InputError, match=f"features must be matching features, and {which} not"):
            train_from_recipe(config, maps, tmp_path / "out", features=tmp_path / name)


def test_features_of_other_dilations_are_refused(maps: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    save_file(MatchFeatures(dilations=(1, 2, 3)).state_dict(), tmp_path / "features.safetensors")
    with pytest.raises(
        InputError, match=r"match_dilations of the recipe must be 3 numbers .* got \[1, 2, 4, 8, 16\]"
    ):
        train_from_recipe(tiny_recipe, maps, tmp_path / "out", features=tmp_path / "features.safetensors")


def test_the_packaged_features_can_be_named(maps: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    path = train_from_recipe(tiny_recipe, maps, tmp_path / "out", features="default", device="cpu")
    assert path is not None
    packaged = APNTFusion.from_pretrained("default").match_features.state_dict()
    trained = APNTFusion.from_pretrained(path).match_features.state_dict()
    assert trained.keys() == {key for key in packaged if not key.startswith("flow.")}
    assert all(torch.equal(packaged[key], trained[key]) for key in trained)
    assert not (tmp_path / "out" / "features.safetensors").exists()


def test_a_foreign_state_is_refused(maps: Path, tmp_path: Path) -> None:
    for content in (b"", b"not a state"):
        (tmp_path / "state.pt").write_bytes(content)
        with pytest.raises(InputError, match="out must hold an earlier state of this recipe"):
            train_network(fresh(), maps, tmp_path, RECIPE)
    (tmp_path / "state.pt").unlink()
    train_network(fresh(), maps, tmp_path, RECIPE)
    before = (tmp_path / "state.pt").read_bytes()
    other = APNTFusion(replace(TINY, channels=(12, 8, 8)))
    with pytest.raises(InputError, match=r"model.channels was '\(8, 8, 8\)' and is '\(12, 8, 8\)'.*another"):
        train_network(other, maps, tmp_path, RECIPE)
    with pytest.raises(InputError, match=r"lr was '0.003' and is '0.004'"):
        train_network(fresh(), maps, tmp_path, replace(RECIPE, lr=4e-3))
    with pytest.raises(InputError, match="brackets was "):
        train_network(fresh(), maps, tmp_path, replace(RECIPE, brackets=replace(QUIET, jpeg=0.5)))
    assert (tmp_path / "state.pt").read_bytes() == before


def test_a_state_runs_no_code(maps: Path, tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "harmed",)

    torch.save({"identity": Harm()}, tmp_path / "state.pt")
    with pytest.raises(InputError, match="out must hold an earlier state of this recipe"):
        train_network(fresh(), maps, tmp_path, RECIPE)
    assert not (tmp_path / "harmed").exists()


def test_a_longer_run_goes_on_from_a_shorter_one(maps: Path, tmp_path: Path) -> None:
    steady = replace(RECIPE, schedule="constant")
    longer = load_file(train_network(fresh(), maps, tmp_path / "longer", replace(steady, steps=6)))
    train_network(fresh(), maps, tmp_path / "out", steady)
    more = load_file(train_network(fresh(), maps, tmp_path / "out", replace(steady, steps=6)))
    assert all(torch.equal(longer[key], more[key]) for key in longer)


def test_missing_recipe_and_data(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config does not exist: check the path, .*none\.toml"):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(InputError, match="data must be a folder with"):
        SyntheticBrackets(tmp_path, 1, 32, QUIET)


def test_a_share_of_the_samples_is_like_prepared_photographs(maps: Path) -> None:
    plain = SyntheticBrackets(maps, 12, 48, BracketRecipe(shift=4.0), seed=5)
    mixed = PhotographBrackets(plain, maps, 48, PhotographRecipe(share=0.5), seed=5)
    kept = [torch.equal(mixed[i]["ldr"], plain[i]["ldr"]) for i in range(12)]
    assert 2 <= sum(kept) <= 10
    assert all(set(mixed[i]) == {"ldr", "times", "truth"} for i in range(12))
    assert all(mixed[i]["ldr"].shape == (3, 3, 48, 48) for i in range(12))
    again = PhotographBrackets(plain, maps, 48, PhotographRecipe(share=0.5), seed=5)
    assert all(torch.equal(mixed[i]["ldr"], again[i]["ldr"]) for i in range(12))


def test_matching_features_see_both_exposures_saturated_areas_and_far_brackets(
    maps: Path, tmp_path: Path
) -> None:
    recipe = FeatureRecipe(
        steps=3, batch=2, crop=32, workers=0, optimiser="muon", exposures="both", saturated=0.66, halved=0.5,
        brackets=QUIET, far=FarRecipe(every=2, crop=48, zoom=1.5, brackets=QUIET),
        photographs=PhotographRecipe(share=0.5),
    )  # fmt: skip
    samples = training_samples(maps, recipe)
    sides = [samples[index]["ldr"].shape[-1] for index in range(6)]
    assert sides == [32, 32, 48, 48, 32, 32]  # every second step of two samples
    names = {frozenset(samples[index]) for index in range(6)}
    assert len(names) == 1  # photographs have what the others have
    assert {"motion", "visible", "motion_long", "visible_long"} <= next(iter(names))
    path = train_features(maps, tmp_path / "run", recipe, dilations=(1, 3, 5))
    assert load_file(path)["context.2.weight"].shape == (64, 64, 3, 3)


def test_the_flow_of_matches_learns_with_features_or_alone(maps: Path, tmp_path: Path) -> None:
    recipe = FeatureRecipe(
        steps=2, batch=2, crop=48, workers=0, exposures="both", halved=0.5, brackets=QUIET,
        photographs=PhotographRecipe(share=0.5),
    )  # fmt: skip
    search = {"radii": (1, 1, 2), "patch_size": 3, "normalize": "cosine", "propagate": True}
    first = load_file(train_features(maps, tmp_path / "both", recipe, dilations=(1, 3), search=search))
    alone = replace(recipe, part="flow", seed=8)
    path = train_features(maps, tmp_path / "alone", alone, dilations=(1, 3), search=search, init=first)
    second = load_file(path)
    changed = {key.split(".")[0] for key in first if not torch.equal(first[key], second[key])}
    assert changed == {"flow"}
    log = [json.loads(line) for line in (tmp_path / "alone" / "log.jsonl").read_text().splitlines()]
    assert "flow_within_0.6_pixels" in log[-1]
    assert "within_a_pixel_full" not in log[-1]
    for given in ({"search": search}, {"init": first}):
        with pytest.raises(
            InputError, match="part must be '' unless the model has flow = true and init names"
        ):
            train_features(maps, tmp_path / "none", alone, dilations=(1, 3), **given)  # type: ignore[arg-type]


def test_a_recipe_without_flow_takes_features_that_have_it_but_not_the_other_way(
    maps: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    for flow in (True, False):
        features = MatchFeatures(dilations=(1, 2, 4, 8, 16), flow=flow).state_dict()
        save_file(features, tmp_path / f"{flow}.safetensors")
    path = train_from_recipe(
        tiny_recipe, maps, tmp_path / "out", features=tmp_path / "True.safetensors", device="cpu"
    )
    assert path is not None
    assert not any(".flow." in key for key in APNTFusion.from_pretrained(path).state_dict())
    with_flow = tiny_recipe.read_text().replace("[model]\n", "[model]\nflow = true\n")
    tiny_recipe.write_text(with_flow)
    with pytest.raises(InputError, match="flow of the recipe must be false for matching features"):
        train_from_recipe(
            tiny_recipe, maps, tmp_path / "no", features=tmp_path / "False.safetensors", device="cpu"
        )


def test_patches_are_drawn_from_saturated_areas_first() -> None:
    torch.manual_seed(0)
    target = torch.randn(1, 6, 40, 40)
    source = target.clone()
    source[..., 20:] = torch.randn(1, 6, 40, 20)  # nothing matches in the right half
    motion, valid = torch.zeros(1, 2, 40, 40), torch.ones(1, 40, 40, dtype=torch.bool)
    right = torch.zeros_like(valid)
    right[..., 21:] = True
    shares = []
    for most in (0.0, 0.25, 1.0):
        generators = [torch.Generator().manual_seed(1)]
        _, hits = correspondence_loss(source, target, motion, valid, generators, right, most)
        shares.append(1 - hits.item())
    assert shares == pytest.approx([0.0, 0.25, 1.0], abs=0.05)


def test_features_begin_from_others_as_far_as_they_fit(maps: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    packaged = APNTFusion.from_pretrained("default").match_features.state_dict()
    text = tiny_recipe.read_text().replace("[features]\n", '[features]\ninit = "default"\nlr = 1e-9\n')
    tiny_recipe.write_text(text.replace("[1, 2, 4, 8, 16]", "[1, 2]"))
    path = train_from_recipe(tiny_recipe, maps, tmp_path / "out", init="fast", device="cpu")
    assert path is not None
    trained = APNTFusion.from_pretrained(path).match_features.state_dict()
    assert "context.2.weight" not in trained
    assert all(torch.allclose(packaged[key], trained[key], atol=1e-6) for key in trained)
    features = load_file(tmp_path / "out" / "features.safetensors")
    assert all(torch.equal(features[key], trained[key]) for key in trained)  # not those of init


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"match_dilations": (0,)}, "match_dilations must be at most 16 numbers from 1 to 64"),
        ({"match_dilations": (1,) * 17}, "match_dilations must be at most 16 numbers from 1 to 64"),
    ],
)
def test_dilations_that_cannot_be_are_named(values: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        APNTConfig(**values)  # type: ignore[arg-type]
