"""The compiled library's convolutions against PyTorch's in float64, on every set of instructions."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

from apnt import _ext
from apnt.nn import convolution, rolling
from apnt.nn.blocks import CAB
from apnt.nn.convolution import Convolution, Layers, join, library_dtype

LAST = torch.channels_last
PLAIN, WINOGRAD = 3e-6, 4e-5
"""Rounding errors of results of deviation 1; Winograd's sums are of larger numbers."""
BF16 = 0.05
"""The largest of bfloat16, whose factors are rounded after the transform; PyTorch's is half of it."""


@pytest.fixture(params=["portable", "avx2", "avx512"])
def instructions(request: pytest.FixtureRequest, hold_to: Callable[[str], None]) -> str:
    hold_to(request.param)
    return str(request.param)


@pytest.fixture(params=["avx512_bf16", "amx_bf16", "amx_bf16_emulated"])
def pairs(request: pytest.FixtureRequest, hold_to: Callable[[str], None]) -> None:
    """A processor that multiplies bfloat16, without its matrix units and with them."""
    hold_to(request.param)


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
    torch.ops.apnt.convolve(list(parts), weight, bias, relu, None, top, out)
    return out


def joined_layers() -> tuple[Layers, list[Tensor]]:
    """Layers, the first and the last of which are no whole vectors wide, and features that they join."""
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
    torch.ops.apnt.convolve([part], weight, None, False, None, 1, out)
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


@pytest.mark.usefixtures("pairs")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("side", [3, 1])
@pytest.mark.parametrize("channels", [1, 3, 16, 33])
def test_what_is_not_finite_stays_near(channels: int, side: int, threads: int) -> None:
    """Columns of a piece of work that is narrower than the one before it hold nothing of that."""
    layer = Convolution(channels, 4, side)
    x = torch.zeros(1, channels, 70, 130).bfloat16().to(memory_format=LAST)
    x[0, :, 68, 3] = torch.nan
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            found = layer(x)
    finally:
        torch.set_num_threads(before)
    rows, columns = found[0].isnan().any(dim=0).nonzero().unbind(1)
    reach = side // 2
    assert rows.min() == 68 - reach
    assert rows.max() == 68 + reach
    assert columns.max() - columns.min() <= 32


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
        [torch.ones(1, 16, 9, 13).to(memory_format=LAST)], torch.ones(9, 16, 3, 3), None, False, None, 1, out
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
OUT4 = torch.zeros(1, 4, 8, 8).to(memory_format=LAST)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": []}, "parts must not be empty"),
        ({"parts": [torch.zeros(1, 16, 8, 8).double()]}, "parts must be float32 or bfloat16"),
        (
            {"parts": [LAST16, LAST16[:, :, 1:]], "weight": torch.zeros(4, 32, 3, 3)},
            "parts must have one size",
        ),
        ({"weight": torch.zeros(4, 32, 3, 3)}, "weight must be"),
        ({"weight": torch.zeros(4, 16, 5, 5)}, "weight must be"),
        ({"bias": torch.zeros(3)}, "bias must be"),
        ({"onto": OUT4[:, :3]}, "onto must have the shape of out"),
        ({"onto": OUT4.bfloat16()}, "onto must have the type of out"),
        ({"onto": OUT4.contiguous()}, "onto must be channels-last"),
        ({"top": 1}, "top must lie"),
        ({"top": -1}, "top must lie"),
        ({"out": OUT4.half()}, "out must be float32 or bfloat16"),
        ({"out": torch.zeros(1, 5, 8, 8).to(memory_format=LAST)}, "out must have"),
        ({"out": torch.zeros(1, 4, 8, 8)}, "out must be channels-last"),
    ],
)
def test_direct_calls_are_checked(change: dict[str, object], message: str) -> None:
    if not _ext.LOADED:
        pytest.skip(str(_ext.MISSING))
    arguments = {
        "parts": [LAST16], "weight": torch.zeros(4, 16, 3, 3), "bias": None, "relu": False, "onto": None,
        "top": 0, "out": OUT4.clone(),
    } | change  # fmt: skip
    with pytest.raises(RuntimeError, match=message):
        torch.ops.apnt.convolve(*arguments.values())


NARROW = [
    # channels, type, layout: those of each part
    ((6, torch.float32, LAST), (3, torch.float32, torch.contiguous_format)),
    ((1, torch.bfloat16, torch.contiguous_format),),
    ((16, torch.bfloat16, LAST), (5, torch.float32, torch.contiguous_format), (32, torch.bfloat16, LAST)),
    ((3, torch.bfloat16, LAST), (16, torch.float32, LAST), (48, torch.float32, torch.contiguous_format)),
]


def narrow(parts: tuple[tuple[int, torch.dtype, torch.memory_format], ...]) -> list[Tensor]:
    return [
        torch.randn(2, c, 19, 23).to(dtype, memory_format=layout)[:, :, 2:17, 1:20]
        for c, dtype, layout in parts
    ]


def check_narrow(parts: list[Tensor], dtype: torch.dtype, relu: bool, side: int, tolerance: float) -> None:
    """Any rows of the result, and onto other features, which lie in a larger picture."""
    channels = sum(x.shape[1] for x in parts)
    weight, bias = torch.randn(20, channels, side, side) / (side * channels**0.5), torch.randn(20)
    wanted = F.conv2d(
        torch.cat([x.double() for x in parts], dim=1), weight.double(), bias.double(), padding=side // 2
    )
    wanted = wanted.relu() if relu else wanted
    large = torch.randn(2, 36, 17, 22).to(dtype).to(memory_format=LAST)
    for top, count in ((0, 15), (0, 4), (5, 6), (11, 4)):
        onto = large[:, 16:, :count, 3:]
        out = torch.full((2, 20, count, 19), torch.nan, dtype=dtype).to(memory_format=LAST)
        torch.ops.apnt.convolve(parts, weight, bias, relu, onto, top, out)
        expected = wanted[:, :, top : top + count] + onto.double()
        torch.testing.assert_close(out.double(), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("side", [3, 1])
@pytest.mark.parametrize("parts", NARROW)
def test_parts_of_any_kind_onto_others(
    instructions: str, parts: tuple[tuple[int, torch.dtype, torch.memory_format], ...], side: int, relu: bool
) -> None:
    torch.manual_seed(len(parts))
    check_narrow(narrow(parts), torch.float32, relu, side, WINOGRAD)


@pytest.mark.usefixtures("pairs")
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("side", [3, 1])
@pytest.mark.parametrize("parts", NARROW)
def test_bfloat16_parts_of_any_kind_onto_others(
    parts: tuple[tuple[int, torch.dtype, torch.memory_format], ...], side: int, relu: bool
) -> None:
    torch.manual_seed(len(parts))
    check_narrow(narrow(parts), torch.bfloat16, relu, side, BF16)


@pytest.mark.usefixtures("vectors")
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_blocks_whose_means_are_given_are_the_same(
    monkeypatch: pytest.MonkeyPatch, precision: torch.dtype
) -> None:
    """Their residual is added where the convolution writes."""
    torch.manual_seed(0)
    block = CAB(16).to(memory_format=LAST)
    x = torch.randn(1, 16, 31, 18).to(precision).to(memory_format=LAST)
    with torch.no_grad(), torch.autocast("cpu", precision, enabled=precision != torch.float32):
        if library_dtype([x]) != precision:
            pytest.skip(f"no convolutions in {precision} on {_ext.instruction_set()}")
        wanted = block(x)
        block.mean.given = block.body(x).float().mean(dim=(2, 3))
        calls = []
        real = torch.ops.apnt.convolve
        monkeypatch.setattr(torch.ops.apnt, "convolve", lambda *a: calls.append(a) or real(*a))
        found = block(x)
    assert calls[-1][4] is not None
    close = 1e-5 if precision == torch.float32 else 0.03
    torch.testing.assert_close(found, wanted, rtol=0, atol=close)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_blocks_of_few_channels_whose_means_are_given(instructions: str, channels: int) -> None:
    """PyTorch's convolutions, which are faster, add no residual."""
    torch.manual_seed(0)
    block = CAB(channels).to(memory_format=LAST)
    x = torch.randn(1, channels, 31, 18).to(memory_format=LAST)
    with torch.no_grad():
        wanted = block(x)
        block.mean.given = block.body(x).mean(dim=(2, 3))
        found = block(x)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


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
    assert all(call[-1].dtype == torch.bfloat16 for call in calls)
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
        assert len(calls) == 1
        layer(x.contiguous())
        assert len(calls) == 2
        assert library_dtype([x]) == torch.float32
        assert library_dtype([x, x.double()]) is None
        with torch.autocast("cpu", torch.float16):
            assert library_dtype([x]) is None
            layer(x)
    layer(x).sum().backward()
    assert len(calls) == 2
    # What is not known is for the ops to complain of, in words that name all sets.
    for chosen in ("portable", "x"):
        monkeypatch.setenv("APNT_CPU_ISA", chosen)
        assert library_dtype([x]) is None
        with torch.autocast("cpu", torch.bfloat16):
            assert library_dtype([x]) is None


@pytest.mark.usefixtures("vectors")
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_single_channel_is_for_matrix_units_alone(precision: torch.dtype) -> None:
    calls = []
    layers = Layers(Convolution(1, 16), nn.ReLU(), Convolution(16, 16)).to(memory_format=LAST)
    x = torch.rand(1, 1, 20, 24)
    half = precision == torch.bfloat16
    with (
        torch.no_grad(),
        torch.autocast("cpu", precision, enabled=half),
        pytest.MonkeyPatch.context() as patch,
    ):
        if library_dtype([x]) != precision:
            pytest.skip(f"no convolutions in {precision} on {_ext.instruction_set()}")
        wanted = F.conv2d(F.conv2d(x, layers[0].weight, layers[0].bias, padding=1).relu(), layers[2].weight,
                          layers[2].bias, padding=1)  # fmt: skip
        real = torch.ops.apnt.convolve
        patch.setattr(torch.ops.apnt, "convolve", lambda *a: calls.append(a) or real(*a))
        found = layers(x)
    assert len(calls) == (2 if half and _ext.instruction_set().startswith("amx") else 1)
    torch.testing.assert_close(found, wanted, rtol=0, atol=BF16 if half else WINOGRAD)


@pytest.mark.usefixtures("pairs")
def test_filters_of_bfloat16_are_for_pytorch() -> None:
    layer, x = Convolution(16, 16), torch.randn(1, 16, 9, 9).to(memory_format=LAST)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        wanted = layer(x)
        halves = Layers(layer.bfloat16(), nn.ReLU())
        torch.testing.assert_close(layer(x), wanted, rtol=0, atol=BF16)
        torch.testing.assert_close(halves(x), wanted.relu(), rtol=0, atol=BF16)


@pytest.mark.usefixtures("vectors")
def test_derivatives_that_no_grad_leaves() -> None:
    torch.manual_seed(0)
    layers = Layers(Convolution(16, 16), nn.ReLU(), Convolution(16, 16)).to(memory_format=LAST)
    x, towards = torch.randn(2, 2, 16, 9, 9).unbind(0)
    _, wanted = torch.func.jvp(layers, (x,), (towards,))
    with torch.no_grad():
        _, found = torch.func.jvp(layers, (x,), (towards,))
        with forward_ad.dual_level():
            _, dual = forward_ad.unpack_dual(layers(forward_ad.make_dual(x, towards)))
        images = torch.func.vmap(lambda image: layers(image[None])[0])(x)
        plain = layers(x)
    for each in (found, dual):
        torch.testing.assert_close(each, wanted, rtol=0, atol=WINOGRAD)
    torch.testing.assert_close(images, plain, rtol=0, atol=WINOGRAD)


@pytest.mark.usefixtures("pairs")
def test_parts_of_float16_are_for_pytorch() -> None:
    layer, x = Convolution(16, 16), torch.randn(1, 16, 9, 9).to(memory_format=LAST)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(layer(x.half()).float(), layer(x).float(), rtol=0, atol=BF16)


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
