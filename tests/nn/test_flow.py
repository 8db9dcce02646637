"""The flow that is drawn from matches, and the choice between the two."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from apnt.errors import InputError
from apnt.nn import APNTConfig
from apnt.nn.alignment import _full_size
from apnt.nn.flow import CHOICE, REACH, MatchFlow, upsampled
from apnt.nn.matching import Match
from apnt.train.flow import flow_loss

OPTIONS: dict[str, Any] = {"patch_size": 3, "normalize": "cosine"}


def matches(height: int, width: int, finest: Tensor) -> Match:
    """Three scales that agree with the finest offsets (2, H, W)."""
    whole = finest[None].expand(1, 2, height, width)
    levels = [whole, *(whole[..., :: 1 << k, :: 1 << k] // (1 << k) for k in (1, 2))]
    scores = [torch.zeros(1, height >> k, width >> k) for k in range(3)]
    return Match([level.to(torch.int32).contiguous() for level in levels], scores)


def features(height: int, width: int, seed: int = 0) -> list[Tensor]:
    """Of one exposure, at three scales."""
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(1, 8, height >> k, width >> k, generator=g) for k in range(3)]


def pictures(height: int, width: int) -> tuple[Tensor, Tensor]:
    """The short exposure, and the medium one, half of which is saturated."""
    g = torch.Generator().manual_seed(3)
    short, medium = torch.rand(2, 1, 3, height, width, generator=g).unbind(0)
    return short, (2 * medium).clamp(max=1)


def network() -> MatchFlow:
    torch.manual_seed(0)
    made = MatchFlow(features=8, channels=16)
    torch.nn.init.normal_(made.head.weight, std=0.3)
    return made.eval()


def test_motion_of_a_whole_picture_is_followed_however_far() -> None:
    made = network()
    source, target = features(48, 64), features(48, 64, 1)
    with torch.no_grad():
        made.head.weight[made.choices :] = 0  # no corrections
        for motion in ((0, 0), (8, -4), (-4000, 12000)):
            expected = torch.tensor(motion)[:, None, None]
            match = matches(48, 64, expected)
            for flow in made.draw(source[2], target[2], match, *pictures(48, 64))[0]:
                assert torch.allclose(flow, (expected / 4).expand_as(flow), rtol=1e-5, atol=1e-4)
            after = made(source, target, match, *pictures(48, 64), **OPTIONS)
            for old, new in zip(match.offsets, after.offsets, strict=True):
                assert torch.equal(old, new)


def test_a_head_of_zeros_keeps_most_of_each_pixels_own() -> None:
    made = MatchFlow(features=8, channels=16).eval()
    finest = torch.zeros(2, 64, 64)
    finest[:, :, 32:] = 16
    with torch.no_grad():
        flows, _ = made.draw(
            features(64, 64)[2], features(64, 64, 1)[2], matches(64, 64, finest), *pictures(64, 64)
        )
    assert torch.allclose(flows[0][..., :2], torch.zeros(1), atol=1e-6)
    assert torch.allclose(flows[0][..., -2:], torch.full((1,), 4.0), atol=1e-5)
    for flow in flows:
        assert (flow[..., 7] < 2).all()
        assert (flow[..., 8] > 2).all()


@pytest.mark.parametrize("rows", [(0, 0), (5, 9), (40, 96)])
def test_where_nothing_is_saturated_nothing_is_reckoned(
    rows: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, size = network(), (96, 64)
    monkeypatch.setattr("apnt.nn.rows.STRIP", 1 << 14)
    source, target, short = features(*size), features(*size, 1), pictures(*size)[0]
    medium = torch.full_like(short, 0.5)
    medium[:, :, slice(*rows), 8:40] = 1
    match = matches(*size, torch.tensor([3.0, -2.0])[:, None, None].expand(2, *size).clone())
    made.head.bias.data[made.choices :] = 5.0
    made.choice[-1].bias.data.fill_(1.0)
    asked, strips = [], made.choice.register_forward_hook(lambda *_: asked.append(1))
    with torch.no_grad():
        found = made(source, target, match, short, medium, **OPTIONS)
    strips.remove()
    wanted = made(source, target, match, short, medium, **OPTIONS)
    for level in range(3):
        assert torch.equal(found.offsets[level], wanted.offsets[level])
        assert torch.allclose(found.scores[level], wanted.scores[level], atol=1e-5)
    assert found.fraction is not None
    assert wanted.fraction is not None
    assert torch.allclose(found.fraction, wanted.fraction, atol=1e-5)
    inside = rows[1] - rows[0] > 4
    assert bool((found.offsets[0] != match.offsets[0]).any()) == inside
    assert (len(asked) > 0) == inside


def test_each_pixel_takes_its_match_or_its_flow_with_the_score_of_what_it_takes() -> None:
    made, size = network(), (48, 64)
    source, target = features(*size), features(*size, 1)
    match = matches(*size, torch.zeros(2, *size))
    old = [torch.full_like(score, 5.0) for score in match.scores]
    match = match._replace(scores=old)
    last = made.choice[-1]
    assert isinstance(last, torch.nn.Conv2d)
    with torch.no_grad():
        made.head.bias[made.choices :] = torch.tensor([8.0, -8.0])  # down and to the left
        made.head.weight.zero_()
        last.weight.zero_()
        for bias in (-1.0, 1.0):
            last.bias.fill_(bias)  # type: ignore[union-attr]
            short, medium = pictures(*size)
            after = made(source, target, match, short, torch.ones_like(medium), **OPTIONS)
            for level in range(3):
                if bias < 0:
                    assert torch.equal(after.offsets[level], match.offsets[level])
                    assert (after.scores[level] == 5).all()
                else:
                    dy, dx = after.offsets[level][0]
                    assert (dy > 0).all()
                    assert (dx < 0).all()
                    assert (after.scores[level] <= 1.001).all()
    dark = made(source, target, match, short, torch.zeros_like(medium), **OPTIONS)
    assert torch.equal(dark.offsets[0], match.offsets[0])  # it is asked inside saturated areas alone
    full, half, quarter = (offset.float().mean(dim=(0, 2, 3)) for offset in after.offsets)
    assert torch.allclose(full, 2 * half, atol=1.1)
    assert torch.allclose(full, 4 * quarter, atol=2.1)


def test_it_sees_no_farther_than_said() -> None:
    made = network()
    size = 8 * (REACH + CHOICE // 4 + 6)
    source, target = features(size, size), features(size, size, 1)
    short, medium = pictures(size, size)
    match = matches(size, size, torch.zeros(2, size, size))
    middle = size // 8

    def flow_and_choice(quarter: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            flows, hints = made.draw(source[2], quarter, match, short, medium)
            chosen = made.choose(source[0], target[0], match, flows[-1], hints, short, medium, **OPTIONS)
        return flows[-1], chosen[1]

    other = target[2].clone()
    other[..., middle, middle] += 1
    (flow, choice), (moved, changed) = flow_and_choice(target[2]), flow_and_choice(other)
    far = ((flow != moved).any(dim=1)[0].nonzero() - middle).abs().max()
    assert 8 < far <= REACH
    rows = (choice != changed)[0, 0].nonzero()
    assert (rows - (4 * middle + 1.5)).abs().max() <= 4 * REACH + CHOICE


def test_flow_in_the_pixels_of_the_picture() -> None:
    """Linear between the pixels' middles, and as long as it is in the picture."""
    ramp = torch.arange(6.0)[None, None, None].expand(1, 2, 4, 6)
    full = upsampled(ramp, (16, 24))
    middles = (torch.arange(24) + 0.5) / 4 - 0.5
    assert torch.allclose(full, (4 * middles.clamp(0, 5)).expand_as(full))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"match_features": "vgg19"}, "flow must be False unless match_features is 'learned'"),
        ({"match_levels": (0, 1)}, "flow must be False unless match_features is 'learned' and all levels"),
        ({"aligned": True, "subpixel": True}, "flow must be False where subpixel or consistency is True"),
        ({"aligned": True, "consistency": True}, "flow must be False where subpixel or consistency is True"),
    ],
)
def test_what_a_flow_needs(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        APNTConfig(**{"flow": True, **changes})  # type: ignore[arg-type]


def test_the_loss_is_least_for_the_truth_and_its_choice() -> None:
    torch.manual_seed(0)
    size = (1, 2, 64, 64)
    motion = torch.zeros(size)
    motion[:, 1] = 3.0
    short = torch.nn.functional.interpolate(torch.rand(1, 3, 16, 16), scale_factor=4.0, mode="bilinear")
    visible, saturated = torch.ones(1, 64, 64, dtype=torch.bool), torch.zeros(1, 64, 64, dtype=torch.bool)
    saturated[:, 16:48, 16:48] = True
    matched = torch.zeros(size, dtype=torch.int32)

    def loss(x: float, choice: float = 0.0, where: Tensor = visible) -> tuple[float, float]:
        flow = torch.zeros(1, 2, 16, 16)
        flow[:, 1] = x / 4
        moved, logits = upsampled(flow, size[2:]), torch.full((1, 1, 64, 64), choice)
        value, share = flow_loss(
            [flow, flow], moved, logits, matched, motion, where, saturated, short
        )  # fmt: skip
        return value.item(), share.item()

    found = [loss(x) for x in (3.0, 3.5, 2.0, -1.0, 40.0)]
    assert [value for value, _ in found] == sorted(value for value, _ in found)
    assert [share for _, share in found] == [1, 1, 0, 0, 0]
    assert loss(9.0, where=~visible) == (0, 0)
    # The flow is better than the match, then worse.
    assert loss(3.0, 9.0)[0] < loss(3.0, 0.0)[0] < loss(3.0, -9.0)[0]
    assert loss(-6.0, 9.0)[0] > loss(-6.0, 0.0)[0] > loss(-6.0, -9.0)[0]


def test_a_network_at_half_size_moves_exposures_by_the_fractions_of_its_flow() -> None:
    """In flat pictures, where the last match of colours finds nothing better."""
    config = APNTConfig(stride=2, aligned=True, flow=True)
    offsets = [torch.full((1, 2, 16 >> k, 24 >> k), 3, dtype=torch.int32) for k in range(3)]
    match = Match(offsets, [], fraction=torch.tensor([0.5, -0.2])[None, :, None, None].expand(1, 2, 16, 24))
    flat = torch.full((1, 3, 32, 48), 0.5)
    found = _full_size(match, (flat, flat), config)
    inside = found[..., :20, :36]  # whose matches lie in the picture
    assert (inside[:, 0] == 7).all()
    assert (inside[:, 1] == 6).all()
