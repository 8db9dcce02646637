"""The compared networks: trained by the same loop as ours, saved in the same form, loaded as methods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from apnt._fuse import fuse_bracket
from apnt.bracket import Bracket
from apnt.data.procedural import procedural_bracket
from apnt.errors import InputError
from apnt.methods import Options, load_method, load_methods
from apnt.nn.compared.registry import NETWORKS, build, network_config
from apnt.train.command import train_from_recipe
from apnt.train.recipe import read_recipe

WIDTHS = {
    "kalantari17": "channels = [6, 6, 6]",
    "wu18": "channels = 2\nblocks = 1",
    "yan19": "channels = 6\ngrowth = 2",
}
CONFIGS = Path(__file__).parents[2] / "configs"


def recipe(path: Path, name: str, steps: int) -> Path:
    file = path / f"{name}.toml"
    file.write_text(
        f'[model]\nnetwork = "{name}"\n{WIDTHS[name]}\n'
        f"[network]\nsteps = {steps}\nbatch = 2\ncrop = 32\nworkers = 0\n"
        'schedule = "constant"\n'  # so that a run of more steps goes on from one of fewer
        "[network.brackets]\nshift = 2.0\nrotation = 0.0\n"
    )
    return file


@pytest.mark.parametrize("name", NETWORKS)
def test_trained_resumed_and_loaded_as_a_method(name, maps, tmp_path):
    once = train_from_recipe(
        recipe(tmp_path, name, 3), maps, tmp_path / "once", device="cpu", tensorboard=False
    )
    part = tmp_path / "part"
    train_from_recipe(recipe(tmp_path, name, 2), maps, part, device="cpu", tensorboard=False)
    resumed = train_from_recipe(recipe(tmp_path, name, 3), maps, part, device="cpu", tensorboard=False)
    assert once is not None
    assert resumed is not None
    bracket = procedural_bracket(0, 65, 86)
    results = []
    for weights in (once, part):  # a file, and the folder of a run
        method = load_method(name, Options(weights, "cpu"))
        results.append(fuse_bracket(bracket, method).image)
    assert (results[0] == results[1]).all()
    assert results[0].shape == bracket.ldr.shape[1:]
    assert np.isfinite(results[0]).all()
    assert results[0].min() >= 0
    assert results[0].max() <= 1
    with pytest.raises(InputError, match=f"weights must be of apnt, and .* holds those of {name}"):
        load_method("apnt", Options(once))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_recipes_train_as_ours_does_and_are_small(name):
    found, ours = read_recipe(CONFIGS / f"{name}.toml"), read_recipe(CONFIGS / "apnt.toml")
    assert found.network == ours.network
    network = build(found.model)
    assert network.name == name
    assert 4 * sum(value.numel() for value in network.state_dict().values()) <= 4e6


@pytest.mark.parametrize("name", NETWORKS)
def test_without_weights_it_says_how_to_make_them(name):
    with pytest.raises(InputError, match=f"apnt train --config configs/{name}.toml --data DIR --out RUN"):
        load_method(name)


def test_weights_go_to_the_network_that_they_are_of(tmp_path):
    files = []
    for name, width in (("wu18", {"channels": 2}), ("yan19", {"channels": 4, "growth": 2})):
        files.append(str(tmp_path / f"{name}.safetensors"))
        build(network_config({"network": name, **width})).save(files[-1])
    loaded = load_methods(["medium", "yan19", "wu18", "apnt"], files)
    assert list(loaded) == ["medium", "yan19", "wu18", "apnt"]
    assert loaded["yan19"].details["weights"] == files[1]
    assert loaded["wu18"].details["weights"] == files[0]
    assert loaded["apnt"].details["weights"] == "default"
    assert list(load_methods(["wu18"], [files[0], "default"])) == ["wu18"]
    with pytest.raises(InputError, match="methods must name yan19, of which the weights"):
        load_methods(["apnt"], files[1:])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"network": "unet"}, "network must be one of .*'yan19'.*, got 'unet'"),
        ({"network": "yan19", "blocks": 3}, r"fields of Yan19Config, got the unknown \['blocks'\]"),
        ({"network": "yan19", "growth": 0}, "growth must be at least 1, got 0"),
        ({"network": "wu18", "blocks": -1}, "blocks must be at least 0, got -1"),
        ({"network": "kalantari17", "channels": [5, 5]}, "channels must be three positive numbers"),
    ],
)
def test_configurations_that_cannot_be_are_refused(table, message):
    with pytest.raises(InputError, match=message):
        network_config(table)


def test_matching_features_are_refused(maps, tmp_path):
    with pytest.raises(InputError, match="features must be left out for a network that apnt is"):
        train_from_recipe(recipe(tmp_path, "yan19", 1), maps, tmp_path / "run", "default", device="cpu")


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_gets_a_gradient(name):
    network = build(read_recipe(CONFIGS / f"{name}.toml").model).train()
    ldr, times = procedural_bracket(0, 64, 80).tensors()
    network(ldr, times).sum().backward()
    assert [key for key, p in network.named_parameters() if p.grad is None] == []


def test_kalantari17_is_a_mean_of_aligned_radiances():
    # Whatever its weights: of a constant scene the constant, of a shifted one the reference's view.
    network = build(network_config({"network": "kalantari17", "channels": [4, 4, 4]})).eval()
    times = np.array([1.0, 4, 16])
    scene = np.full((48, 64, 3), 0.03, np.float32)
    frames = np.stack([np.minimum(scene * t, 1) ** (1 / 2.2) for t in times]).astype(np.float32)
    with torch.inference_mode():
        result = network(*Bracket("flat", frames, times).tensors())
    assert (result - 0.03).abs().max() < 1e-5
