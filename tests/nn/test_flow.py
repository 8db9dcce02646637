"""The flow that is drawn from matches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from apnt.errors import InputError
from apnt.nn import APNTConfig
from apnt.nn.flow import REACH, MatchFlow, upsampled
from apnt.nn.matching import Match
from apnt.train.flow import flow_loss


def matches(height: int, width: int, finest: Tensor) -> Match:
    """Three scales that agree with the finest offsets (2, H, W)."""
    levels = [finest[None].expand(1, 2, height, width)]
    levels += [levels[0][..., :: 1 << k, :: 1 << k] // (1 << k) for k in (1, 2)]
    return Match(
        [level.to(torch.int32).contiguous() for level in levels], [level[:, 0] * 0.0 for level in levels]
    )


def pictures(height: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features of source and target, the short exposure and the medium one."""
    return (
        *torch.randn(2, 1, 8, height // 4, width // 4).unbind(0),
        *(2 * torch.rand(2, 1, 3, height, width)).clamp(max=1).unbind(0),
    )  # type: ignore[return-value]


def network(seed: int = 0) -> MatchFlow:
    torch.manual_seed(seed)
    made = MatchFlow(features=8, channels=16)
    torch.nn.init.normal_(made.head.weight, std=0.3)
    return made.eval()


def test_motion_of_a_whole_picture_is_followed_however_far() -> None:
    made = network()
    with torch.no_grad():
        made.head.weight[made.choices :] = 0  # no corrections
        for motion in ((0, 0), (8, -4), (-4000, 12000)):
            match = matches(48, 64, torch.tensor(motion)[:, None, None])
            for flow in made(*pictures(48, 64)[:2], match, *pictures(48, 64)[2:]):
                expected = torch.tensor(motion)[None, :, None, None] / 4
                assert torch.allclose(flow, expected.expand_as(flow), rtol=1e-5, atol=1e-4)


def test_what_moves_otherwise_is_not_averaged_with_it_where_weights_say_so() -> None:
    """A head of zeros keeps most of each pixel's own, and takes something of its surroundings."""
    made = MatchFlow(features=8, channels=16).eval()
    finest = torch.zeros(2, 64, 64)
    finest[:, :, 32:] = 16
    with torch.no_grad():
        first, last = made(*pictures(64, 64)[:2], matches(64, 64, finest), *pictures(64, 64)[2:])
    assert torch.allclose(first[..., :2], torch.zeros(1), atol=1e-6)
    assert torch.allclose(first[..., -2:], torch.full((1,), 4.0), atol=1e-5)
    for flow in (first, last):
        assert (flow[..., 7] < 2).all()
        assert (flow[..., 8] > 2).all()


def test_it_sees_no_farther_than_said() -> None:
    made = network()
    size = 8 * (2 * REACH + 5)
    torch.manual_seed(1)
    source, target, short, medium = pictures(size, size)
    match = matches(size, size, torch.zeros(2, size, size))
    middle = size // 8
    with torch.no_grad():
        flow = made(source, target, match, short, medium)[-1]
        other = target.clone()
        other[..., middle, middle] += 1
        moved = made(source, other, match, short, medium)[-1]
    far = ((flow != moved).any(dim=1)[0].nonzero() - middle).abs().max()
    assert 8 < far <= REACH


def test_flow_in_the_pixels_of_the_picture() -> None:
    """Linear in the pixels' middles, and as long as it is in the picture."""
    ramp = torch.arange(6.0)[None, None, None].expand(1, 2, 4, 6)
    full = upsampled(ramp, (16, 24))
    middles = (torch.arange(24) + 0.5) / 4 - 0.5
    assert torch.allclose(full, (4 * middles.clamp(0, 5)).expand_as(full))
    assert torch.equal(upsampled(ramp, (32, 48))[..., -1], torch.full((1, 2, 32), 40.0))


@pytest.mark.parametrize(
    "changes", [{"aligned": False}, {"match_features": "vgg19"}, {"match_levels": (0, 1)}]
)
def test_what_a_flow_needs(changes: dict[str, object]) -> None:
    with pytest.raises(InputError, match="flow must be False"):
        APNTConfig(**{"aligned": True, "flow": True, **changes})  # type: ignore[arg-type]


def test_the_loss_is_least_for_the_truth() -> None:
    torch.manual_seed(0)
    size = (1, 2, 64, 64)
    motion = torch.zeros(size)
    motion[:, 1] = 3.0
    short = torch.nn.functional.interpolate(torch.rand(1, 3, 16, 16), scale_factor=4.0, mode="bilinear")
    visible, saturated = torch.ones(1, 64, 64, dtype=torch.bool), torch.zeros(1, 64, 64, dtype=torch.bool)
    saturated[:, 16:48, 16:48] = True
    matched = torch.zeros(size, dtype=torch.int32)

    def loss(x: float, where: Tensor = visible) -> tuple[float, float]:
        flow = torch.zeros(1, 2, 16, 16)
        flow[:, 1] = x / 4
        value, share = flow_loss([flow, flow], matched, motion, where, saturated, short)
        return value.item(), share.item()

    found = [loss(x) for x in (3.0, 3.5, 2.0, -1.0, 40.0)]
    assert [value for value, _ in found] == sorted(value for value, _ in found)
    assert [share for _, share in found] == [1, 1, 0, 0, 0]
    assert loss(9.0, ~visible) == (0, 0)
