"""Muon: orthogonal steps for filters and matrices, Adam's for the rest, and a state that goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from apnt.errors import InputError
from apnt.train.muon import Muon, orthogonal
from apnt.train.recipe import read_recipe


def gradients(module: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for weight in module.parameters():
        weight.grad = torch.randn(weight.shape, generator=generator)


@pytest.mark.parametrize("shape", [(16, 72), (72, 16), (1, 9)])
def test_the_step_is_nearly_orthogonal(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    u, found, v = torch.linalg.svd(orthogonal(matrix), full_matrices=False)
    assert found.min() > 0.6
    assert found.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    assert torch.nn.functional.cosine_similarity(u @ v, left @ right).min() > 0.999  # the nearest one


def test_a_filter_moves_by_the_learning_rate_and_is_one_matrix() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 16, 3, bias=False)
    before = layer.weight.detach().clone()
    gradients(layer, 1)
    assert layer.weight.grad is not None
    Muon(layer.parameters(), lr=0.01).step()
    step = (before - layer.weight.detach()).flatten(1)
    assert step.square().mean().sqrt() == pytest.approx(0.2 * 0.01, rel=0.2)
    found = torch.linalg.svdvals(step)
    assert found.max() / found.min() < 2
    assert (step * layer.weight.grad.flatten(1)).sum() > 0  # along the gradient


def test_channels_last_weights_move_alike() -> None:
    torch.manual_seed(0)
    one, other = nn.Conv2d(8, 16, 3), nn.Conv2d(8, 16, 3)
    other.load_state_dict(one.state_dict())
    other.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for layer in (one, other):
        optimiser = Muon(layer.parameters(), lr=0.01)
        for seed in range(3):
            gradients(layer, seed)
            optimiser.step()
    assert torch.allclose(one.weight, other.weight, atol=1e-6)


def test_the_rest_moves_as_adam_moves_it() -> None:
    torch.manual_seed(0)
    one, other = nn.BatchNorm2d(5), nn.BatchNorm2d(5)
    optimisers = (
        Muon(one.parameters(), lr=0.01, betas=(0.9, 0.99)),
        torch.optim.Adam(other.parameters(), lr=0.01, betas=(0.9, 0.99)),
    )
    for seed in range(4):
        for layer, optimiser in zip((one, other), optimisers, strict=True):
            gradients(layer, seed)
            optimiser.step()
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-7)


def test_a_loaded_state_goes_on(tmp_path: Path) -> None:
    torch.manual_seed(0)
    one = nn.Conv2d(4, 6, 3)
    optimiser = Muon(one.parameters(), lr=0.01)
    gradients(one, 0)
    optimiser.step()
    torch.save({"layer": one.state_dict(), "optimiser": optimiser.state_dict()}, tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    other = nn.Conv2d(4, 6, 3)
    other.load_state_dict(state["layer"])
    again = Muon(other.parameters(), lr=0.5)
    again.load_state_dict(state["optimiser"])
    for layer, each in ((one, optimiser), (other, again)):
        gradients(layer, 1)
        each.step()
    assert torch.equal(one.weight, other.weight)
    assert one.bias is not None
    assert torch.equal(one.bias, other.bias)


def test_an_unknown_optimiser_is_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('[network]\noptimiser = "sgd"\n')
    with pytest.raises(
        InputError, match=r"optimiser in config table network must be one of \['adam', 'muon'\]"
    ):
        read_recipe(path)
