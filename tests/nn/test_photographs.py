"""What goes beyond the paper for real photographs: switches, reach, expected error, wider networks' start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from apnt.errors import InputError
from apnt.nn import APNTConfig, APNTFusion, checkpoint
from apnt.nn.confidence import expected_error
from apnt.nn.matching import backward_distance, progressive_match
from apnt.train.command import begin_from
from apnt.train.network import laplace_loss

SMALL = APNTConfig(channels=(8, 8, 8), mef_blocks=1, radii=(1, 1, 2), aligned=True, normalize="cosine")
ALL = replace(SMALL, subpixel=True, consistency=True, merge=True, confidence=True, reach=64, border=8)
TIMES = torch.tensor([[1.0, 4.0, 16.0]])


def bracket(height: int = 24, width: int = 28, n: int = 1) -> tuple[Tensor, Tensor]:
    """Smooth light; the short frame is moved by (1, 2) pixels."""
    torch.manual_seed(0)
    light = (
        torch.nn.functional.avg_pool2d(torch.rand(n, 1, 3, height + 4, width + 4).flatten(0, 1), 5, 1) ** 3
    )
    ldr = (light[:, None] * TIMES[0, :, None, None, None] / 0.4).clamp(0, 1) ** (1 / 2.2)
    ldr[:, 0] = ldr[:, 0].roll((1, 2), dims=(-2, -1))
    return ldr, TIMES.expand(n, 3)


def randomised(config: APNTConfig) -> APNTFusion:
    """Equal weights in all layers that networks share, and a head that is not zero."""
    network = APNTFusion(config)
    for name, parameter in network.named_parameters():
        torch.manual_seed(len(name))
        torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


@pytest.mark.parametrize("switch", ["subpixel", "consistency", "merge"])
def test_every_switch_changes_the_result(switch: str) -> None:
    ldr, times = bracket()
    with torch.no_grad():
        before, after = (randomised(c)(ldr, times) for c in (SMALL, replace(SMALL, **{switch: True})))
    assert not torch.equal(before, after)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(16, 16), (17, 19), (70, 45), (33, 131)])
def test_any_size(size: tuple[int, int], stride: int) -> None:
    network = randomised(replace(ALL, stride=stride))
    with torch.no_grad():
        out, maps = network(*bracket(*size, n=2), return_maps=True)
    assert out.shape == (2, 3, *size)
    assert torch.isfinite(out).all()
    assert maps["error"][0].shape == (2, 1, *size)
    assert (maps["error"][0] > 0).all()


def test_every_weight_learns() -> None:
    network = APNTFusion(ALL)
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    ldr, times = bracket()
    for _ in range(2):  # the head starts at zero: the first step moves it alone
        optimiser.zero_grad()
        out, maps = network(ldr, times, return_maps=True)
        (out.sub(0.3).square().mean() + maps["error"][0].mean()).backward()
        optimiser.step()
    assert not [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]


@pytest.mark.parametrize("hidden", [0, 8])
def test_expected_error_teaches_its_head_alone(hidden: int) -> None:
    torch.manual_seed(0)  # with which no layer's ReLUs are all zero
    network = APNTFusion(replace(ALL, confidence_channels=hidden))
    _, maps = network(*bracket(), return_maps=True)
    maps["error"][0].mean().backward()
    learned = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    assert learned == {name for name, _ in network.named_parameters() if name.startswith("confidence.")}
    assert len(learned) == (6 if hidden else 2)


def test_likelihood_is_best_at_the_mean_error() -> None:
    torch.manual_seed(0)
    error = 0.03 * torch.randn(1, 3, 64, 64)
    mean = float(error.abs().mean())
    losses = [float(laplace_loss(torch.full((1, 1, 64, 64), mean * f), error)) for f in (0.8, 1.0, 1.25)]
    assert losses[1] == min(losses)
    assert float(expected_error(torch.zeros(()))) == pytest.approx(0.02)


def test_weights_without_the_switches_take_none_of_the_new_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their results stay what they were, bit by bit: nothing of what came later runs."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a checkpoint without this switch must not come here")

    from apnt.nn import alignment, apnt

    later = {
        alignment: ("refine", "resample", "parabola"),
        apnt: ("parabola", "merge", "consistency", "backward_distance", "expected_error"),
    }
    for module, names in later.items():
        for function in names:
            monkeypatch.setattr(module, function, refuse)
    monkeypatch.setattr(APNTFusion, "_search_smaller", lambda *_: (None, None))
    with torch.inference_mode():
        out = APNTFusion(SMALL).eval()(*bracket(40, 600))
    assert torch.isfinite(out).all()
    assert SMALL.reach == 0


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(16, 16), (40, 48)])
def test_a_border_is_that_of_the_picture_laid_around_by_hand(size: tuple[int, int], stride: int) -> None:
    """Radiance, and every map, are those of the reflected picture, cut."""
    network = randomised(replace(ALL, stride=stride))
    ldr, times = bracket(*size)
    around = torch.nn.functional.pad(ldr.flatten(0, 1), (8, 8, 8, 8), mode="reflect").unflatten(
        0, ldr.shape[:2]
    )
    with torch.inference_mode():
        out, maps = network(ldr, times, return_maps=True)
        network.config = replace(network.config, border=0)
        larger, larger_maps = network(around, times, return_maps=True)
    rows, columns = slice(8, 8 + size[0]), slice(8, 8 + size[1])
    assert torch.equal(out, larger[..., rows, columns])
    for name, stack in maps.items():
        for k, found in enumerate(stack):
            step = 1 if name == "error" else stride << (k if name in ("offset", "score") else 0)
            first = 8 // step
            assert torch.equal(
                found,
                larger_maps[name][k][..., first : first + found.shape[-2], first : first + found.shape[-1]],
            ), name


def test_reach_finds_what_lies_beyond_the_search() -> None:
    """40 pixels are beyond 8 + 2 + 2 (radii 2, 1, 2), and 10 to 11 at a quarter of the size are within."""
    torch.manual_seed(0)
    coarse = torch.rand(1, 3, 24, 64)
    light = torch.nn.functional.interpolate(coarse, scale_factor=8, mode="bicubic").clamp(0.02, 1)[
        ..., :180, :
    ]
    ldr = torch.stack([light.roll(40, dims=-1) * 0.2, light * 0.8, light], dim=1) ** (1 / 2.2)
    times = torch.tensor([[1.0, 4.0, 5.0]])
    shares = []
    for reach in (0, 128):
        network = APNTFusion.from_pretrained("default")
        network.config = replace(network.config, radii=(2, 2, 4), reach=reach)
        with torch.inference_mode():
            _, maps = network(ldr, times, return_maps=True)
        found = maps["offset"][0][0, :, 16:-16, 60:-60]
        right = (found - torch.tensor([0, 40])[:, None, None]).abs().amax(dim=0) <= 1
        shares.append(float(right.float().mean()))
    assert shares[0] < 0.05
    assert shares[1] > 0.9


def test_partners_that_agree_are_at_distance_zero() -> None:
    torch.manual_seed(0)
    source = [torch.randn(1, 6, 32 >> k, 40 >> k) for k in range(3)]
    target = [level.roll((-2 >> k if k < 2 else 0, 0), dims=(-2, -1)) for k, level in enumerate(source)]
    options = {"radii": (2, 2, 2), "normalize": "cosine"}
    match = progressive_match(source, target, **options)
    distance = backward_distance(source, target, match, **options)
    assert distance.shape == (1, 16, 20)
    assert not distance[:, 2:-2].any()
    target[1][..., 10:] = torch.randn(1, 6, 16, 10)  # a part that the source does not show
    match = progressive_match(source, target, **options)
    assert backward_distance(source, target, match, **options)[..., 12:].mean() > 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"aligned": False, "subpixel": True}, "subpixel must be False where aligned"),
        ({"aligned": False, "merge": True}, "merge must be False where aligned"),
        ({"consistency": True, "match_levels": (0, 2)}, "consistency must be off unless"),
        ({"reach": 20}, "reach must be 0, or from 64"),
        ({"reach": -1}, "reach must be 0, or from 64"),
        ({"reach": 10**400}, r"reach must be 0, or from 64 .* got 10+\.\.\. with"),
        ({"reach": 512, "match_features": "encoder"}, "reach must be 0, or from 64"),
        ({"reach": 512, "match_levels": (0, 1)}, "reach must be off unless"),
    ],
)
def test_refuses_what_contradicts(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SMALL, **fields)


def test_a_wider_network_begins_as_the_narrower(tmp_path: Path) -> None:
    """Further inputs begin with zeros: the same result, but for the order of the additions."""
    old = randomised(SMALL)
    old.save(tmp_path / "old.safetensors")
    new = APNTFusion(replace(SMALL, consistency=True, confidence=True)).eval()
    said = begin_from(new, tmp_path / "old.safetensors")
    with torch.no_grad():
        assert torch.allclose(new(*bracket()), old(*bracket()), atol=1e-5)
    assert any("fusion.reduce.weight was widened with zeros from" in line for line in said)
    assert any("confidence.weight (1x8x3x3) is not in the file" in line for line in said)
    wide = APNTFusion(replace(SMALL, channels=(12, 12, 12)))
    assert any(
        line.startswith("encoder.") and "widened" in line
        for line in begin_from(wide, tmp_path / "old.safetensors")
    )
    narrow, fresh = (APNTFusion(replace(SMALL, channels=(4, 4, 4))) for _ in range(2))
    assert any("begins anew" in line for line in begin_from(narrow, tmp_path / "old.safetensors"))
    assert narrow.fusion.reduce.weight.shape == fresh.fusion.reduce.weight.shape


def test_fit_names_what_is_left_out() -> None:
    state, said = checkpoint.fit({"a": torch.ones(2), "b": torch.ones(1)}, {"a": torch.zeros(3)})
    assert state["a"].tolist() == [1, 1, 0]
    assert said == ["a was widened with zeros from 2 to 3", "b of the file has no place here and is left out"]


def test_begin_from_refuses_what_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="weights must be one of"):
        begin_from(APNTFusion(SMALL), tmp_path / "missing.safetensors")
    with pytest.raises(InputError, match="init must be"):
        begin_from(APNTFusion(SMALL), "owner/name")
