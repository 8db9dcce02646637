"""The compiled library's convolutions against PyTorch's in float64, on every set of instructions."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apnt import _ext
from apnt.nn import convolution, rolling
from apnt.nn.convolution import Convolution, Layers, join, library_dtype

LAST = torch.channels_last
PLAIN, WINOGRAD = 3e-6, 4e-5
"""Rounding errors of results of deviation 1; Winograd's sums are of larger numbers."""
BF16 = 0.05
"""The largest of bfloat16, whose factors are rounded after the transform; PyTorch's is half of it."""


@pytest.fixture(params=["portable", "avx2", "avx512"])
def instructions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("APNT_CPU_ISA", request.param)
    used = _ext.instruction_set()
    if used != request.param:
        pytest.skip(str(_ext.MISSING or used))
    return str(used)


@pytest.fixture(params=["avx512_bf16", "amx_bf16", "amx_bf16_emulated"])
def pairs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that multiplies bfloat16, without its matrix units and with them."""
    monkeypatch.setenv("APNT_CPU_ISA", request.param)
    used = _ext.instruction_set()
    if used != request.param:
        pytest.skip(str(_ext.MISSING or used))


@pytest.fixture
def vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's convolutions in the network, in the widest set that this machine has."""
    monkeypatch.delenv("APNT_CPU_ISA", raising=False)
    if _ext.instruction_set() in (None, "portable"):
        reason = f"the library's convolutions need AVX2, this machine runs {_ext.instruction_set()}"
        pytest.skip(_ext.MISSING or reason)


def convolve(
    parts: Sequence[Tensor], weight: Tensor, bias: Tensor | None, relu: bool, top: int, height: int
) -> Tensor:
    n, _, _, width = parts[0].shape
    out = torch.full((n, weight.shape[0], height, width), torch.nan, dtype=parts[0].dtype).to(
        memory_format=LAST
    )
    torch.ops.apnt.convolve(list(parts), weight, bias, relu, top, out)
    return out


def joined_layers() -> tuple[Layers, list[Tensor]]:
    """Layers, the first and the last of which are not the library's 3x3, and features that they join."""
    torch.manual_seed(0)
    layers = Layers(
        Convolution(38, 32), nn.ReLU(inplace=True), Convolution(32, 16), Convolution(16, 5, side=1)
    )
    parts = [torch.randn(2, c, 61, 37).to(memory_format=LAST) for c in (32, 6)]
    return layers.to(memory_format=LAST), parts


SIZES = [
    # images, channels of the parts, outputs, height, width
    (1, (16,), 16, 7, 9),
    (2, (32, 16), 9, 17, 30),
    (1, (48,), 48, 33, 5),
    (1, (16,), 3, 1, 1),
    (3, (16, 16, 32), 80, 4, 2),
    (1, (112,), 7, 40, 41),
]


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("side", [3, 1])
@pytest.mark.parametrize(("images", "channels", "outputs", "height", "width"), SIZES)
def test_equals_float64(
    instructions: str, images: int, channels: tuple[int, ...], outputs: int, height: int, width: int,
    side: int, relu: bool,
) -> None:  # fmt: skip
    torch.manual_seed(height)
    parts = [torch.randn(images, c, height, width).to(memory_format=LAST) for c in channels]
    weight = torch.randn(outputs, sum(channels), side, side) / (side * sum(channels) ** 0.5)
    weight = weight.to(memory_format=LAST if relu else torch.contiguous_format)
    bias = torch.randn(outputs) if relu else None
    wanted = F.conv2d(
        join(parts).double(), weight.double(), None if bias is None else bias.double(), padding=side // 2
    )
    wanted = wanted.relu() if relu else wanted
    for top, count in ((0, height), (height // 3, height - height // 2)):
        found = convolve(parts, weight, bias, relu, top, count)
        torch.testing.assert_close(
            found.double(), wanted[:, :, top : top + count], rtol=0, atol=WINOGRAD if side == 3 else PLAIN
        )


@pytest.mark.usefixtures("pairs")
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("side", [3, 1])
@pytest.mark.parametrize(
    ("images", "channels", "outputs", "height", "width"),
    [*SIZES, (2, (32,), 32, 70, 203), (1, (16, 64), 48, 65, 97)],
)
def test_bfloat16_equals_float64(
    images: int, channels: tuple[int, ...], outputs: int, height: int, width: int, side: int, relu: bool
) -> None:
    torch.manual_seed(width)
    parts = [torch.randn(images, c, height, width).bfloat16().to(memory_format=LAST) for c in channels]
    weight = torch.randn(outputs, sum(channels), side, side) / (side * sum(channels) ** 0.5)
    bias = torch.randn(outputs) if relu else None
    wanted = F.conv2d(
        join(parts).double(), weight.double(), None if bias is None else bias.double(), padding=side // 2
    )
    wanted = wanted.relu() if relu else wanted
    for top, count in ((0, height), (height // 3, height - height // 2)):
        found = convolve(parts, weight, bias, relu, top, count).double()
        rows = wanted[:, :, top : top + count]
        torch.testing.assert_close(found, rows, rtol=0, atol=BF16)
        plain = "amx" in os.environ["APNT_CPU_ISA"]  # the factors are those that were asked for, rounded once
        assert (found - rows).square().mean().sqrt() < (0.004 if plain else 0.0075)


@pytest.mark.usefixtures("pairs")
def test_bfloat16_reads_and_writes_where_it_is_told() -> None:
    torch.manual_seed(0)
    large = torch.randn(2, 48, 20, 23).bfloat16().to(memory_format=LAST)
    part, weight = large[:, 16:32, 3:14, 5:20], torch.randn(9, 16, 3, 3) / 12
    whole = torch.full((2, 24, 12, 17), 7.0).bfloat16().to(memory_format=LAST)
    out = whole[:, 8:17, 2:9, :15]
    torch.ops.apnt.convolve([part], weight, None, False, 1, out)
    wanted = F.conv2d(part.double(), weight.double(), padding=1)[:, :, 1:8]
    torch.testing.assert_close(out.double(), wanted, rtol=0, atol=BF16)
    out[:] = 7
    assert (whole == 7).all()


@pytest.mark.usefixtures("pairs")
def test_bfloat16_keeps_what_is_not_finite() -> None:
    x = torch.zeros(1, 16, 8, 8).bfloat16().to(memory_format=LAST)
    x[0, 3, 4, 5] = torch.nan
    found = convolve([x], torch.ones(16, 16, 3, 3), None, True, 0, 8)
    assert found[0, :, 3:6, 4:7].isnan().all()
    assert not found[0, :, :3].isnan().any()


def test_reads_parts_where_they_lie(instructions: str) -> None:
    torch.manual_seed(0)
    large = torch.randn(2, 48, 20, 23).to(memory_format=LAST)
    part = large[:, 16:32, 3:14, 5:20]
    weight = torch.randn(16, 16, 3, 3) / 12
    found = convolve([part], weight, None, False, 0, 11)
    wanted = F.conv2d(part.double(), weight.double(), padding=1)
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=WINOGRAD)


def test_single_pixels_of_any_layout_and_number_of_channels(instructions: str) -> None:
    torch.manual_seed(0)
    parts = [
        torch.randn(2, 32, 9, 11).to(memory_format=LAST),
        torch.randn(2, 5, 9, 11),
        torch.randn(2, 1, 9, 22)[..., ::2],
    ]
    weight, bias = torch.randn(7, 38, 1, 1) / 6, torch.randn(7)
    wanted = F.conv2d(torch.cat(parts, dim=1).double(), weight.double(), bias.double())
    found = convolve(parts, weight, bias, False, 0, 9)
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=PLAIN)


@pytest.mark.usefixtures("pairs")
def test_bfloat16_of_single_pixels_of_any_layout_and_number_of_channels() -> None:
    torch.manual_seed(0)
    parts = [
        torch.randn(2, 32, 9, 11).bfloat16().to(memory_format=LAST),
        torch.randn(2, 6, 9, 11).bfloat16(),
        torch.randn(2, 1, 9, 22).bfloat16()[..., ::2],
    ]
    weight, bias = torch.randn(7, 39, 1, 1) / 6, torch.randn(7)
    wanted = F.conv2d(torch.cat(parts, dim=1).double(), weight.double(), bias.double())
    found = convolve(parts, weight, bias, False, 0, 9)
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=BF16)


def test_writes_nothing_beside_the_result(instructions: str) -> None:
    whole = torch.full((1, 24, 12, 14), 7.0).to(memory_format=LAST)
    out = whole[:, 8:17, 2:9, :13]
    torch.ops.apnt.convolve(
        [torch.ones(1, 16, 9, 13).to(memory_format=LAST)], torch.ones(9, 16, 3, 3), None, False, 1, out
    )
    assert out[0, 0, 0, 0] == 2 * 3 * 16
    out[:] = 7
    assert (whole == 7).all()


def test_what_is_not_finite_stays_so(instructions: str) -> None:
    x = torch.zeros(1, 16, 8, 8).to(memory_format=LAST)
    x[0, 3, 4, 5] = torch.nan
    found = convolve([x], torch.ones(16, 16, 3, 3), None, True, 0, 8)
    assert found[0, :, 3:6, 4:7].isnan().all()


LAST16 = torch.zeros(1, 16, 8, 8).to(memory_format=LAST)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": []}, "parts must not be empty"),
        ({"parts": [torch.zeros(1, 16, 8, 8)]}, "parts must be channels-last for 3x3"),
        (
            {"parts": [torch.zeros(1, 24, 8, 8).to(memory_format=LAST)], "weight": torch.zeros(4, 24, 3, 3)},
            "16",
        ),
        ({"parts": [torch.zeros(1, 16, 8, 8).double()]}, "parts must be float32 or bfloat16"),
        (
            {"parts": [LAST16, LAST16.bfloat16()], "weight": torch.zeros(4, 32, 3, 3)},
            "parts must have one type",
        ),
        ({"parts": [LAST16.bfloat16()]}, "out must have the parts' type"),
        ({"weight": torch.zeros(4, 32, 3, 3)}, "weight must be"),
        ({"weight": torch.zeros(4, 16, 5, 5)}, "weight must be"),
        ({"bias": torch.zeros(3)}, "bias must be"),
        ({"top": 1}, "top must lie"),
        ({"top": -1}, "top must lie"),
        ({"out": torch.zeros(1, 5, 8, 8).to(memory_format=LAST)}, "out must have"),
        ({"out": torch.zeros(1, 4, 8, 8)}, "out must be channels-last"),
    ],
)
def test_direct_calls_are_checked(change: dict[str, object], message: str) -> None:
    if not _ext.LOADED:
        pytest.skip(str(_ext.MISSING))
    arguments = {
        "parts": [torch.zeros(1, 16, 8, 8).to(memory_format=LAST)], "weight": torch.zeros(4, 16, 3, 3),
        "bias": None, "relu": False, "top": 0, "out": torch.zeros(1, 4, 8, 8).to(memory_format=LAST),
    } | change  # fmt: skip
    with pytest.raises(RuntimeError, match=message):
        torch.ops.apnt.convolve(*arguments.values())


@pytest.mark.usefixtures("vectors")
def test_layers_are_those_that_are_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    layers, parts = joined_layers()
    wanted = layers(*parts)
    assert wanted.requires_grad
    monkeypatch.setattr(rolling, "STRIP", 4096)
    with torch.no_grad():
        found = layers(*parts)
    torch.testing.assert_close(found, wanted, rtol=0, atol=WINOGRAD)
    wanted.sum().backward()
    assert all(parameter.grad is not None for parameter in layers.parameters())


@pytest.mark.usefixtures("pairs")
@pytest.mark.parametrize("height", [1, 12, 13, 14, 25, 27, 40])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_layers_computed_some_rows_at_a_time_are_the_same(
    monkeypatch: pytest.MonkeyPatch, height: int, count: int
) -> None:
    """To the last bit: sums in bfloat16 are plain, or Winograd's along rows."""
    torch.manual_seed(count)
    layers = Layers(*(layer for _ in range(count) for layer in (Convolution(16, 16), nn.ReLU())))
    x = torch.randn(2, 16, height, 9).bfloat16().to(memory_format=LAST)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        wanted = layers(x)
        monkeypatch.setattr(rolling, "STRIP", 1)
        calls = []
        real = torch.ops.apnt.convolve
        monkeypatch.setattr(torch.ops.apnt, "convolve", lambda *a: calls.append(a) or real(*a))
        assert torch.equal(layers(x), wanted)
    assert max(call[-1].shape[2] for call in calls) <= 5 * count
    assert sum(call[-1].shape[2] for call in calls) == count * height  # none is computed twice


def test_bfloat16_needs_its_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    if not _ext.LOADED:
        pytest.skip(str(_ext.MISSING))
    monkeypatch.setenv("APNT_CPU_ISA", "portable")
    with pytest.raises(RuntimeError, match="convolutions of bfloat16 need avx512_bf16, got portable"):
        convolve([LAST16.bfloat16()], torch.zeros(4, 16, 3, 3), None, False, 0, 8)


@pytest.mark.usefixtures("pairs")
def test_layers_under_autocast_are_those_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    layers, parts = joined_layers()
    with torch.no_grad():
        wanted = layers(*parts)
        monkeypatch.setattr(rolling, "STRIP", 4096)
        calls = []
        real = torch.ops.apnt.convolve
        monkeypatch.setattr(torch.ops.apnt, "convolve", lambda *a: calls.append(a) or real(*a))
        with torch.autocast("cpu", torch.bfloat16):
            found = layers(*parts)
    assert calls
    assert all(part.dtype == torch.bfloat16 for call in calls for part in call[0])
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), wanted, rtol=0, atol=BF16)


@pytest.mark.usefixtures("vectors")
def test_the_library_runs_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = torch.ops.apnt.convolve
    monkeypatch.setattr(torch.ops.apnt, "convolve", lambda *a: calls.append(a) or real(*a))
    layer, exact = Convolution(16, 16), Convolution(16, 16, exact=True)
    x = torch.randn(1, 16, 8, 8).to(memory_format=LAST)
    with torch.no_grad():
        layer(x)
        assert len(calls) == 1
        exact(x)
        layer(x.contiguous())
        assert library_dtype([x]) == torch.float32
        assert library_dtype([x, x.double()]) is None
        with torch.autocast("cpu", torch.float16):
            assert library_dtype([x]) is None
            layer(x)
    layer(x).sum().backward()
    assert len(calls) == 1
    monkeypatch.setenv("APNT_CPU_ISA", "portable")
    assert library_dtype([x]) is None


def test_equal_patches_have_equal_exact_features() -> None:
    torch.manual_seed(0)
    patch = torch.randn(1, 16, 3, 3)
    x = torch.zeros(1, 16, 12, 17).to(memory_format=LAST)
    places = [(1, 1), (1, 6), (5, 3), (6, 11), (8, 7)]
    for y, across in places:
        x[:, :, y : y + 3, across : across + 3] = patch
    with torch.no_grad():
        found = Convolution(16, 16, exact=True)(x)
    first = found[0, :, 2, 2]
    assert all(torch.equal(found[0, :, y + 1, across + 1], first) for y, across in places)


def test_layers_refuse_what_they_cannot_cut() -> None:
    with pytest.raises(TypeError, match="layers must be Convolution, or ReLU after one, got MaxPool2d"):
        Layers(Convolution(3, 4), nn.MaxPool2d(2))
    with pytest.raises(TypeError, match="got ReLU"):
        Layers(nn.ReLU())


def test_reach_is_that_of_all_layers() -> None:
    layers = Layers(Convolution(16, 16), nn.ReLU(), Convolution(16, 4, side=1), Convolution(4, 2))
    assert (layers.reach, layers.outputs) == (2, 2)
    assert convolution.join([torch.zeros(1, 2, 3, 4)]).shape == (1, 2, 3, 4)
