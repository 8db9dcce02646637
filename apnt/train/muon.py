"""Muon, an optimiser that takes equal steps in all directions of a layer's weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_STEPS = 5
_RMS = 0.2  # root mean square of Adam's steps at the same rate


class Muon(torch.optim.Optimizer):
    """Muon for weights of two dimensions and more, a filter as a row of a matrix, and Adam for the others.

    The momentum of a matrix of weights is replaced by the nearest matrix with orthogonal rows or columns
    (Jordan et al., Muon, 2024), scaled to the size of Adam's steps, so that the learning rate means the same
    for both (Liu et al., Muon is scalable for LLM training, 2025). :class:`torch.optim.Muon` takes no
    filters.

    Args:
        params: weights.
        lr: learning rate.
        betas: of Adam.
        momentum: of Muon.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.99),
        momentum: float = 0.95,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step along the gradients."""
        assert closure is None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                if weight.ndim > 1:
                    self._orthogonal_step(weight, weight.grad, group)
                else:
                    self._adam_step(weight, weight.grad, group)

    def _orthogonal_step(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, beta = self.state[weight], group["momentum"]
        momentum = state.setdefault("momentum", torch.zeros_like(weight))
        momentum.mul_(beta).add_(gradient)
        nesterov = gradient + beta * momentum
        direction = orthogonal(nesterov.flatten(1).float())
        size = _RMS * max(direction.shape) ** 0.5
        weight.add_(direction.view(weight.shape), alpha=-group["lr"] * size)

    def _adam_step(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, (beta1, beta2) = self.state[weight], group["betas"]
        first = state.setdefault("first", torch.zeros_like(weight))
        second = state.setdefault("second", torch.zeros_like(weight))
        state["step"] = step = state.get("step", 0) + 1
        first.lerp_(gradient, 1 - beta1)
        second.lerp_(gradient.square(), 1 - beta2)
        root = (second / (1 - beta2**step)).sqrt_().add_(1e-8)
        weight.addcdiv_(first, root, value=-group["lr"] / (1 - beta1**step))


def orthogonal(matrix: Tensor) -> Tensor:
    """About the nearest matrix whose singular values are all 1, by five steps of a Newton-Schulz iteration.

    Args:
        matrix: (M, N) float32.

    Returns:
        (M, N), with singular values from about 0.7 to 1.2, but for those that are nearly 0 in ``matrix``.
    """
    a, b, c = _NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix) / (matrix.norm() + 1e-7)
    for _ in range(_STEPS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x
