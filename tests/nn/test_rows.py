"""Strips of rows give what the whole picture gives, and no gradient passes through them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from apnt.nn import rows
from apnt.nn.blocks import CAB, Mean, add_weighted, mean5x5
from apnt.nn.convolution import Convolution
from apnt.nn.rows import by_rows, strips


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of a few rows."""
    monkeypatch.setattr(rows, "STRIP", 4096)


def picture(batch: int, channels: int, layout: torch.memory_format) -> Tensor:
    torch.manual_seed(channels)
    return torch.randn(batch, channels, 61, 37).to(memory_format=layout)


LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def counted(function: Callable[..., Tensor], heights: list[int]) -> Callable[..., Tensor]:
    def call(*x: Tensor) -> Tensor:
        heights.append(x[0].shape[2])
        return function(*x)

    return call


@LAYOUTS
@pytest.mark.parametrize("batch", [1, 2])
def test_two_convolutions_of_two_pictures(layout: torch.memory_format, batch: int) -> None:
    layers = nn.Sequential(
        nn.Conv2d(12, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(8, 5, 3, padding=1)
    )
    first, second = picture(batch, 8, layout), picture(batch, 4, layout)
    heights: list[int] = []
    with torch.no_grad():
        wanted = layers(torch.cat([first, second], dim=1))
        function = counted(lambda *x: layers(torch.cat(x, dim=1)), heights)
        found = by_rows(function, [first, second], 2, 5)
    assert len(heights) > 2
    assert max(heights) < 61
    torch.testing.assert_close(found, wanted)
    assert found.is_contiguous(memory_format=layout) == wanted.is_contiguous(memory_format=layout)


def test_a_reach_that_is_too_short_shows() -> None:
    conv = Convolution(8, 8, exact=True)  # the rounding of others depends on where a strip begins
    x = picture(1, 8, torch.contiguous_format)
    with torch.no_grad():
        assert not torch.allclose(by_rows(conv, [x], 0, 8), conv(x))
        assert torch.allclose(by_rows(conv, [x], 1, 8), conv(x), atol=1e-6)


def test_gradients_are_those_of_the_whole() -> None:
    conv, heights = Convolution(8, 8), list[int]()
    x = picture(1, 8, torch.contiguous_format).requires_grad_()
    by_rows(counted(conv, heights), [x], 1, 8).sum().backward()
    assert heights == [61]
    assert x.grad is not None


@pytest.mark.parametrize(
    ("height", "row", "reach"), [(61, 100, 0), (61, 10**6, 0), (61, 10**6, 2), (5, 1, 0), (1, 9, 1)]
)
def test_strips_cover_every_row_once(height: int, row: int, reach: int) -> None:
    found = [(part.own.start, part.own.stop) for part in strips(height, row, reach)]
    least = max(4 * reach, 1)
    assert [r for top, bottom in found for r in range(top, bottom)] == list(range(height))
    # Equal lengths: one strip more may make them half of the least.
    assert all(bottom - top >= min(least // 2, height) for top, bottom in found)


@LAYOUTS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_mean_of_all_pixels(layout: torch.memory_format, dtype: torch.dtype) -> None:
    x = (picture(2, 8, layout) + 3).to(dtype)
    with torch.no_grad():
        found = Mean()(x)
    torch.testing.assert_close(found.double(), x.double().mean(dim=(2, 3)), rtol=1e-5, atol=0)


@LAYOUTS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 2])
def test_weighted_sum(layout: torch.memory_format, dtype: torch.dtype, batch: int) -> None:
    x, y, weight = (
        picture(batch, 7, layout).to(dtype),
        picture(batch, 7, layout).to(dtype),
        torch.rand(batch, 7),
    )
    wanted = x.double() + y.double() * weight.to(dtype)[:, :, None, None].double()
    with torch.no_grad():
        found = add_weighted(x, y.clone(), weight.to(dtype))
    torch.testing.assert_close(
        found.double(), wanted, rtol=8e-3 if dtype == torch.bfloat16 else 1e-6, atol=1e-6
    )


def test_block_without_gradients_is_the_block_with_them() -> None:
    torch.manual_seed(0)
    block = CAB(8).to(memory_format=torch.channels_last)
    x = picture(2, 8, torch.channels_last)
    kept = x.clone()
    with torch.no_grad():
        found = block(x)
    torch.testing.assert_close(found, block(x))
    assert torch.equal(x, kept)


def test_mean_of_squares_continues_the_border() -> None:
    x = picture(2, 3, torch.contiguous_format)
    edged = nn.functional.pad(x, (2, 2, 2, 2), mode="replicate")
    torch.testing.assert_close(mean5x5(x), nn.functional.avg_pool2d(edged, 5, 1), rtol=1e-5, atol=1e-6)
