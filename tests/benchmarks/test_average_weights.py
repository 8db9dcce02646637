"""Means of weights: of equal shapes, of widened tensors, and of tensors that only one has."""

from __future__ import annotations

import torch

from apnt.benchmarks.average_weights import average


def test_what_began_narrower_counts_as_zeros() -> None:
    before = {"a": torch.tensor([[2.0, 4.0]]), "b": torch.tensor([8.0])}
    after = {"a": torch.tensor([[4.0, 4.0, 8.0]]), "b": torch.tensor([0.0]), "c": torch.tensor([5.0])}
    mixed = average(before, after, 0.25)
    torch.testing.assert_close(mixed["a"], torch.tensor([[2.5, 4.0, 2.0]]))
    torch.testing.assert_close(mixed["b"], torch.tensor([6.0]))
    torch.testing.assert_close(mixed["c"], torch.tensor([5.0]))
    assert all(torch.equal(average(before, after, 1.0)[name], tensor) for name, tensor in after.items())
