"""Twice the size: the compiled library's against PyTorch's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from apnt import _ext
from apnt.nn import blocks
from apnt.nn.blocks import add_resized, resize

LAST = torch.channels_last
SHAPES = [
    (2, 16, 9, 7),
    (1, 48, 5, 12),
    (1, 5, 20, 17),
    (1, 33, 1, 6),
    (1, 17, 6, 1),
    (3, 1, 1, 1),
    (0, 16, 4, 4),
]
ROUNDING = {torch.float32: 1e-6, torch.bfloat16: 8e-3}


@pytest.fixture(params=["portable", "avx2", "avx512"])
def _instructions(request: pytest.FixtureRequest, hold_to: Callable[[str], None]) -> None:
    hold_to(request.param)


def features(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape).to(dtype).contiguous(memory_format=LAST)


def by_pytorch(x: Tensor, onto: Tensor | None, relu: bool) -> Tensor:
    """In float64."""
    size = (2 * x.shape[2], 2 * x.shape[3])
    y = F.interpolate(x.double(), size, mode="bilinear", align_corners=False)
    y = y if onto is None else y + onto.double()
    return y.relu() if relu else y


@pytest.mark.usefixtures("_instructions")
@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("shape", SHAPES)
def test_is_pytorchs(shape: tuple[int, int, int, int], dtype: torch.dtype) -> None:
    torch.manual_seed(3)
    n, c, h, w = shape
    x, onto = features(*shape, dtype=dtype), features(n, c, 2 * h, 2 * w, dtype=dtype)
    for added in (None, onto):
        for relu in (False, True):
            found = torch.ops.apnt.upsample(x, added, relu)
            assert found.dtype == dtype
            assert found.is_contiguous(memory_format=LAST)
            expected = by_pytorch(x, added, relu) if n else found.double()
            close = (found.double() - expected).abs() <= ROUNDING[dtype] * (1 + expected.abs())
            assert close.all()


@pytest.mark.usefixtures("_instructions")
@pytest.mark.parametrize("dtype", ROUNDING)
def test_flat_features_stay_flat(dtype: torch.dtype) -> None:
    """To the last bit: of equal patches the nearest is to match."""
    torch.manual_seed(3)
    x = features(1, 32, 1, 1, dtype=dtype).expand(1, 32, 6, 9).contiguous(memory_format=LAST)
    found = torch.ops.apnt.upsample(x, None, False)
    assert torch.equal(found, x[:, :, :1, :1].expand(1, 32, 12, 18))


@pytest.mark.usefixtures("_instructions")
def test_nan_is_not_hidden() -> None:
    x = features(1, 16, 3, 3)
    x[0, 4, 1, 1] = torch.nan
    assert torch.ops.apnt.upsample(x, None, True)[0, 4].isnan().any()


@pytest.mark.skipif(_ext.MISSING is not None, reason=str(_ext.MISSING))
def test_the_network_takes_it_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    x, onto = features(1, 16, 6, 8), features(1, 16, 12, 16)
    calls: list[tuple[int, ...]] = []
    plain = F.interpolate

    def counted(x: Tensor, *arguments: object, **options: object) -> Tensor:
        calls.append(tuple(x.shape))
        return plain(x, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(blocks.F, "interpolate", counted)
    with torch.no_grad():
        sums, doubled = add_resized(x, onto), resize(x, (12, 16))
        assert not calls
        few, other = features(1, 3, 6, 8), (11, 16)
        resize(few, (12, 16)), resize(x, other), resize(x.contiguous(), (12, 16))
        assert len(calls) == 3
    with torch.enable_grad():
        torch.testing.assert_close(add_resized(x, onto), sums)
        torch.testing.assert_close(resize(x, (12, 16)), doubled)
        assert len(calls) == 5


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": torch.zeros(1, 16, 4, 4)}, "x must be channels-last"),
        ({"x": features(1, 16, 4, 4).double()}, "float32 or bfloat16"),
        ({"onto": features(1, 16, 8, 6)}, "twice the height and width"),
        ({"onto": features(1, 16, 8, 8).bfloat16()}, "type of x"),
        ({"onto": torch.zeros(1, 16, 8, 8)}, "onto must be channels-last"),
    ],
    ids=["x planar", "x float64", "onto too small", "onto of another type", "onto planar"],
)
@pytest.mark.skipif(_ext.MISSING is not None, reason=str(_ext.MISSING))
def test_what_does_not_fit_is_refused(changed: dict[str, Tensor], message: str) -> None:
    arguments = {"x": features(1, 16, 4, 4), "onto": features(1, 16, 8, 8), "relu": True, **changed}
    with pytest.raises(RuntimeError, match=message):
        torch.ops.apnt.upsample(*arguments.values())
