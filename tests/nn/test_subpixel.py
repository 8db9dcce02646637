"""Alignment by fractions of a pixel: vectors, registration, reading between pixels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from apnt.nn.subpixel import average_alike, refine, register, resample


def clouds(dy: float = 0.0, dx: float = 0.0, size: int = 48) -> Tensor:
    """(1, 3, H, W) in [0, 1]: sums of waves of 6 to 16 pixels, moved exactly by (dy, dx)."""
    torch.manual_seed(5)
    angle, phase = torch.rand(2, 3, 8, 1, 1) * 2 * torch.pi
    frequency = 2 * torch.pi / (6 + 10 * torch.rand(3, 8, 1, 1))
    y, x = torch.arange(size)[:, None] - dy, torch.arange(size) - dx
    wave = torch.sin(frequency * (angle.sin() * y + angle.cos() * x) + phase)
    return (0.5 + wave.mean(dim=1) / 2)[None]


@pytest.mark.parametrize("shift", [(0.5, 0.5), (-0.3, 0.45), (0.1, 0.0)])
def test_registration_finds_the_fraction(shift: tuple[float, float]) -> None:
    source, target = clouds(*shift), clouds()
    start = torch.zeros(1, 2, 48, 48)
    for found, mean, largest in (
        (refine((source, target), start), 0.04, 0.12),
        (register(source, target, start, steps=5), 0.03, 0.07),
    ):
        error = (found - torch.tensor(shift)[:, None, None])[..., 8:-8, 8:-8].abs()
        assert error.mean() < mean
        assert error.max() < largest


def test_whole_vectors_that_jump_between_neighbours_become_their_fraction() -> None:
    """Half a pixel is where the match cannot decide: both of its neighbours are as good."""
    torch.manual_seed(0)
    source, target = clouds(0.5, -0.5), clouds()
    jumping = torch.stack([torch.randint(0, 2, (48, 48)), torch.randint(-1, 1, (48, 48))])[None].float()
    found = refine((source, target), jumping)[..., 8:-8, 8:-8]
    assert (found - torch.tensor([0.5, -0.5])[:, None, None]).abs().mean() < 0.03


def test_flat_pictures_move_nothing() -> None:
    flat = torch.full((1, 3, 20, 20), 0.5)
    offset = torch.full((1, 2, 20, 20), 2.0)
    assert torch.equal(register(flat, flat, offset, steps=2), offset)


def test_average_keeps_two_motions_apart() -> None:
    offset = torch.zeros(1, 2, 20, 20)
    offset[..., 10:] = 6.0
    assert torch.equal(average_alike(offset), offset)
    noisy = torch.zeros(1, 2, 5, 5)
    noisy[0, 0, 2, 2] = 1.0
    assert average_alike(noisy)[0, 0, 2, 2] == pytest.approx(1 / 25)


def test_resampling_by_whole_pixels_copies() -> None:
    image = torch.rand(2, 3, 14, 17)
    offset = torch.tensor([2.0, -3.0])[None, :, None, None].expand(2, 2, 14, 17)
    out = resample(image, offset)
    assert torch.allclose(out[..., :12, 3:], image[..., 2:, :14], atol=1e-5)
    # Beyond the border its last pixels go on.
    assert torch.allclose(out[..., 13, 3:], image[..., 13, :14], atol=1e-5)


def test_resampling_between_pixels_is_the_moved_picture() -> None:
    moved = resample(clouds(0.3, -0.6), torch.tensor([0.3, -0.6])[None, :, None, None].expand(1, 2, 48, 48))
    error = (moved - clouds())[..., 3:-3, 3:-3].abs()
    assert error.mean() < 0.004
    assert error.max() < 0.03
