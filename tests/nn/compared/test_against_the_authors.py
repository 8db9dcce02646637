"""The compared networks, layer by layer, against the authors' own graphs with weights by formula."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from apnt.errors import InputError
from apnt.nn.compared.kalantari17 import Kalantari17, merged
from apnt.nn.compared.published import published_network, read_published, renamed
from apnt.nn.compared.registry import read_network
from apnt.nn.compared.wu18 import Wu18
from apnt.nn.compared.yan19 import Yan19

TOLERANCE = 1e-4
Answer = tuple[dict[str, np.ndarray], dict[str, Any]]


def folder() -> Path:
    named = os.environ.get("APNT_CASES", Path(__file__).parents[4] / "shared" / "cases")
    return Path(named) / "methods"


def answer(case: str) -> Answer:
    """Arrays of a case, and what is known of the authors' layers."""
    place = folder() / case
    if not place.is_dir():
        pytest.skip(f"the authors' answers are not in {place}")
    return dict(np.load(place / "out.npz")), json.loads((place / "layers.json").read_text())


def parameters(name: str, key: str) -> list[tuple[str, list[int]]]:
    path = folder() / name
    if not path.is_file():
        pytest.skip(f"the authors' parameters are not in {path}")
    return [(entry[1], entry[2]) for entry in json.loads(path.read_text())[key]]


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def index(shape: list[int]) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape)


def record(network: nn.Module, names: dict[str, str]) -> dict[str, list[Tensor]]:
    """Outputs of the modules that carry the authors' layers, by the authors' names, filled as they run."""
    seen: dict[str, list[Tensor]] = {name: [] for name in names.values()}
    modules = dict(network.named_modules())
    for ours, theirs in names.items():
        modules[ours].register_forward_hook(lambda m, i, o, theirs=theirs: seen[theirs].append(o.detach()))
    return seen


def ours_of(network: str, layers: list[str], part: str = ".weight") -> dict[str, str]:
    """Our module -> the authors' layer, by the map that renames published weights."""
    found = {layer: renamed(network, layer + part, torch.zeros(1)) for layer in layers}
    return {new[0].rpartition(".")[0]: layer for layer, new in found.items() if new is not None}


def test_the_numbers_of_parameters_are_the_papers():
    assert count(Kalantari17()) == 383_909
    assert count(Wu18()) == 16_606_339
    assert count(Yan19()) == 1_441_283


def test_yan19_layer_by_layer(tmp_path):
    arrays, layers = answer("ahdrnet/formula_32x40")
    state = {}
    for k, (name, shape) in enumerate(parameters("ahdr_params.json", "parameters")):
        i = index(shape)
        bias = 0.01 * np.sin(0.7 * i + k)
        fan_in = np.prod(shape[1:])
        state[f"module.{name}"] = torch.from_numpy(
            bias if len(shape) == 1 else np.sin(0.37 * i + 1.3 * k) * np.sqrt(2 / fan_in)
        )
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "published.pth")
    network = read_network("yan19", tmp_path / "published.pth")
    assert published_network(tmp_path / "published.pth") == "yan19"

    inside = [key for key in layers if not key.startswith("RDB") or "." in key]
    names = ours_of("yan19", inside) | {f"blocks.{k}": f"RDB{k + 1}" for k in range(3)}
    seen = record(network, names)
    y, x = np.mgrid[:32, :40]
    frames = [
        np.stack([0.5 + 0.5 * np.sin(0.11 * (q + 1) * x + 0.07 * (c + 1) * y + q + c) for c in range(6)])
        for q in range(3)
    ]
    inputs = torch.from_numpy(np.stack(frames)[None]).float()
    out = network.from_inputs(inputs)
    assert np.abs(out.detach().numpy() - arrays["out"]).max() < TOLERANCE
    for name, calls in layers.items():
        assert len(calls) == len(seen[name]), name
        for theirs, ours in zip(calls, seen[name], strict=True):
            flat = ours.flatten()
            found = [flat.mean(), flat.std(), flat[0], flat[-1]]
            np.testing.assert_allclose(found, theirs, atol=TOLERANCE, err_msg=name)


def test_wu18_layer_by_layer(tmp_path):
    arrays, layers = answer("wu18/formula_48x64")
    state = {}
    for k, (name, shape) in enumerate(parameters("wu_params.json", "variables")):
        i = index(shape)
        if name.endswith("/gamma"):
            value = 1 + 0.1 * np.sin(0.7 * i + k)
        elif name.endswith("/moving_variance"):
            value = 1 + 0.3 * np.sin(0.5 * i + k)
        elif len(shape) == 1:
            value = 0.02 * np.sin(0.7 * i + k)
        else:
            inputs = shape[3] if "/g_d1/" in name or "/g_d2/" in name or "/g_d3/" in name else shape[2]
            value = np.sin(0.37 * i + 1.3 * k) / np.sqrt(shape[0] * shape[1] * inputs)
        state[name] = value.astype(np.float32)
    np.savez(tmp_path / "published.npz", **state)
    network = read_network("wu18", tmp_path / "published.npz")
    assert published_network(tmp_path / "published.npz") == "wu18"

    scopes = {key: key.rsplit("/", 1)[0] for key in layers if not key.endswith("Tanh:0")}
    names = {}
    for key, scope in scopes.items():
        part = "/gamma" if "_bn" in scope else "/w"
        names |= {ours: key for ours in ours_of("wu18", [scope], part)}
    seen = record(network, names)
    y, x = np.mgrid[:48, :64]

    def frames(s: int) -> np.ndarray:
        return np.stack([np.sin(0.11 * (s + 1) * x + 0.07 * (c + 1) * y + s + c) for c in range(9)])

    inputs = np.concatenate([frames(0).reshape(3, 3, 48, 64), frames(5).reshape(3, 3, 48, 64)], axis=1)
    out = network.from_inputs(torch.from_numpy(inputs[None]).float())
    theirs = arrays["out"].transpose(0, 3, 1, 2)
    assert np.abs(out.detach().numpy() - theirs).max() < TOLERANCE
    for name, (shape, mean, std, first, last) in layers.items():
        if name.endswith("Tanh:0"):
            continue
        (ours,) = seen[name]
        if ours.shape[-1] == shape[2] + 1:  # of a transposed convolution, before the crop
            ours = ours[..., :-1, :-1]
        ours = ours.permute(0, 2, 3, 1)
        assert list(ours.shape) == shape, name
        flat = ours.flatten()
        found = [flat.mean(), flat.std(unbiased=False), flat[0], flat[-1]]
        np.testing.assert_allclose(found, [mean, std, first, last], atol=TOLERANCE, err_msg=name)


def test_kalantari17_layer_by_layer(tmp_path):
    arrays, layers = answer("kalantari17/kal002")
    shapes = [(100, 18, 7, 7), (100, 100, 5, 5), (50, 100, 3, 3), (9, 50, 1, 1)]
    state = {}
    for k, shape in enumerate(shapes):
        state[f"layers.{k}.weight"] = np.sin(0.37 * index(list(shape)) + 1.3 * k) * np.sqrt(
            2 / np.prod(shape[1:])
        )
        state[f"layers.{k}.bias"] = 0.01 * np.sin(0.7 * np.arange(shape[0]) + k)
    np.savez(tmp_path / "published.npz", **state)
    network = read_network("kalantari17", tmp_path / "published.npz")
    seen = record(network, {f"layers.{k}": str(k) for k in range(4)})
    warped = torch.from_numpy(arrays["warped_ldr_u16"].astype(np.float64) / 65535).permute(2, 0, 1)[None]
    ldr = warped.unflatten(1, (3, 3)).float()
    radiance = ldr**2.2 / torch.tensor([1.0, 8, 64])[None, :, None, None, None]
    weights = network.weights(torch.cat([ldr, radiance], dim=1).flatten(1, 2))
    out = merged(weights, radiance[..., 6:-6, 6:-6])
    assert np.abs(out[0].permute(1, 2, 0).detach().numpy() - arrays["out_formula"]).max() < TOLERANCE
    for k, (shape, mean, std, first, last) in enumerate(layers["formula"]):
        (ours,) = seen[str(k)]
        ours = torch.sigmoid(ours) if k == 3 else torch.relu(ours)  # theirs are after the activation
        assert list(ours.shape) == shape
        flat = ours.flatten()
        found = [flat.mean(), flat.std(unbiased=False), flat[0], flat[-1]]
        np.testing.assert_allclose(found, [mean, std, first, last], atol=TOLERANCE, err_msg=str(k))


def test_weights_that_are_more_than_tensors_are_refused(tmp_path):
    torch.save(Yan19(), tmp_path / "whole.pth")
    with pytest.raises(InputError, match=r"must be plain tensors, and .* also holds apnt\S+Yan19, which is"):
        read_published("yan19", tmp_path / "whole.pth")
