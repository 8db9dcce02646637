"""Means of weights: of equal shapes, of widened tensors, and of tensors that only one has."""

from __future__ import annotations

import pytest
import torch

from apnt.benchmarks.average_weights import average, scale_expected
from apnt.errors import InputError
from apnt.nn import APNTConfig, APNTFusion


def test_what_began_narrower_counts_as_zeros() -> None:
    before = {"a": torch.tensor([[2.0, 4.0]]), "b": torch.tensor([8.0])}
    after = {"a": torch.tensor([[4.0, 4.0, 8.0]]), "b": torch.tensor([0.0]), "c": torch.tensor([5.0])}
    mixed = average(before, after, 0.25)
    torch.testing.assert_close(mixed["a"], torch.tensor([[2.5, 4.0, 2.0]]))
    torch.testing.assert_close(mixed["b"], torch.tensor([6.0]))
    torch.testing.assert_close(mixed["c"], torch.tensor([5.0]))
    assert all(torch.equal(average(before, after, 1.0)[name], tensor) for name, tensor in after.items())


def test_expected_errors_are_multiplied_and_nothing_else() -> None:
    torch.manual_seed(0)
    sizes = {"channels": (8, 8, 8), "mef_blocks": 1}
    network = APNTFusion(APNTConfig(confidence=True, **sizes)).eval()
    ldr, times = torch.rand(1, 3, 3, 32, 40), torch.tensor([[1.0, 4, 16]])

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            output, maps = network(ldr, times, return_maps=True)
        return output, maps["error"][0]

    before, errors = run()
    scale_expected(network, 0.5)
    after, scaled = run()
    assert torch.equal(before, after)
    torch.testing.assert_close(scaled, errors * 0.5)
    with pytest.raises(InputError, match=r"without confidence, got 0\.5"):
        scale_expected(APNTFusion(APNTConfig(**sizes)), 0.5)
