"""The noise-weighted merge: as clean as the optimum where frames agree, and no ghosts where they do not."""

from __future__ import annotations

import pytest
import torch

from apnt.nn.merge import merge

TIMES = torch.tensor([[1.0, 4.0, 16.0]])


def frames(light: torch.Tensor, shot: float, read: float) -> list[torch.Tensor]:
    """Three noisy frames (1, 3, H, W) of one radiance."""
    torch.manual_seed(0)
    result = []
    for time in TIMES[0]:
        signal = light * time
        signal = signal + (shot * signal + read**2).sqrt() * torch.randn_like(signal)
        result.append(signal.clamp(0, 1) ** (1 / 2.2))
    return result


@pytest.mark.parametrize("level", [0.005, 0.01, 0.03, 0.1, 0.18])
def test_noise_is_nearly_that_of_the_optimal_merge(level: float) -> None:
    shot, read = 3e-4, 1e-3
    light = torch.full((1, 3, 128, 128), level)
    out = merge(frames(light, shot, read), TIMES)
    # Frames well below saturation only: of the others the optimum is not defined by their variance.
    usable = [time for time in TIMES[0].tolist() if level * time < 0.7]
    optimum = sum(time**2 / (shot * level * time + read**2) for time in usable) ** -0.5
    assert float((out - light).square().mean().sqrt()) < 1.05 * optimum
    assert float(out.mean()) == pytest.approx(level, rel=0.01)


def test_a_frame_that_saturates_does_not_count() -> None:
    light = torch.full((1, 3, 16, 16), 0.5)  # the medium and the long frame are white
    assert torch.allclose(merge(frames(light, 1e-12, 1e-9), TIMES), light, atol=1e-4)
    light = torch.ones(1, 3, 16, 16)  # all are
    assert torch.allclose(merge(frames(light, 1e-12, 1e-9), TIMES), light, atol=1e-4)


def test_a_frame_that_shows_something_else_does_not_count() -> None:
    light = torch.full((1, 3, 24, 24), 0.02)
    short, medium, long = frames(light, 3e-4, 1e-3)
    long[..., 6:18, 6:18] = (0.03 * 16) ** (1 / 2.2)
    out = merge([short, medium, long], TIMES)
    assert float((out - light)[..., 9:15, 9:15].mean().abs()) < 0.001
