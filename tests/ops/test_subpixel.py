"""Fractions of a pixel from the scores around a match, on every backend that runs here."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from apnt.errors import InputError
from apnt.info import backends
from apnt.ops import window_match
from apnt.ops.subpixel import parabola

AVAILABLE = [
    name for name in ("cpp", "reference") if name == "reference" or backends()["backend_cpp"] != "no"
]


def waves(dy: float = 0.0, dx: float = 0.0, channels: int = 96, size: int = 40) -> Tensor:
    """(1, C, H, W) float64 plane waves of 8 to 20 pixels, moved exactly by (dy, dx)."""
    torch.manual_seed(3)
    angle, phase = torch.rand(2, channels, 1, 1, dtype=torch.float64) * 2 * torch.pi
    frequency = 2 * torch.pi / (8 + 12 * torch.rand(channels, 1, 1, dtype=torch.float64))
    y = torch.arange(size, dtype=torch.float64)[:, None] - dy
    x = torch.arange(size, dtype=torch.float64) - dx
    return torch.sin(frequency * (angle.sin() * y + angle.cos() * x) + phase)[None]


@pytest.mark.parametrize("backend", AVAILABLE)
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.25, -0.4), (2.4, -1.75), (-0.5, 3.1)])
def test_finds_the_analytic_shift_of_waves(shift: tuple[float, float], backend: str) -> None:
    source, target = waves(*shift).float(), waves().float()
    offset, _ = window_match(source, target, radius=4, normalize="cosine", backend=backend)
    found = offset + parabola(source, target, offset, backend=backend)
    inner = found[0, :, 8:-8, 8:-8]
    wanted = torch.tensor(shift)[:, None, None]
    assert (inner - wanted).abs().max() < 0.1
    assert (inner - wanted).abs().mean() < 0.03


@pytest.mark.parametrize("backend", AVAILABLE)
def test_nothing_to_find_gives_zero(backend: str) -> None:
    flat = torch.ones(1, 3, 12, 12)
    offset = torch.zeros(1, 2, 12, 12, dtype=torch.int32)
    assert not parabola(flat, flat, offset, backend=backend)[..., 2:-2, 2:-2].any()
    # At the border one of the neighbours is missing: no fraction in that direction.
    source, target = waves(0.3, 0.3).float(), waves().float()
    offset = torch.zeros(1, 2, 40, 40, dtype=torch.int32)
    fraction = parabola(source, target, offset, backend=backend)
    assert not fraction[:, 0, [0, -1]].any()
    assert not fraction[:, 1, :, [0, -1]].any()
    assert fraction[:, :, 5:-5, 5:-5].all()


def test_backends_agree_on_random_features() -> None:
    torch.manual_seed(0)
    source, target = torch.randn(2, 2, 5, 20, 23)
    offset = torch.randint(-3, 4, (2, 2, 20, 23), dtype=torch.int32)
    results = [parabola(source, target, offset, backend=name) for name in AVAILABLE]
    for other in results[1:]:
        assert torch.allclose(results[0], other, atol=1e-4)


def test_is_differentiable() -> None:
    source, target = (x.clone().requires_grad_() for x in (waves(0.2, -0.1, 2, 7), waves(0, 0, 2, 7)))
    offset = torch.zeros(1, 2, 7, 7, dtype=torch.int32)

    def inner(source: Tensor, target: Tensor) -> Tensor:
        return parabola(source, target, offset, backend="reference")[..., 2:-2, 2:-2]

    assert torch.autograd.gradcheck(inner, (source, target))


def test_refuses_what_does_not_fit() -> None:
    source = torch.rand(1, 3, 12, 12)
    with pytest.raises(InputError, match="offset must"):
        parabola(source, source, torch.zeros(1, 2, 12, 13, dtype=torch.int32))
    with pytest.raises(TypeError, match="offset"):
        parabola(source, source, torch.zeros(1, 2, 12, 12))
