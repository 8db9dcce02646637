"""patch_swap against hand-made numbers, against loops over everything in float64, and at its edges."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from apnt import testing
from apnt.errors import InputError

Op = Callable[..., Tensor]


@pytest.fixture
def patch_swap(backend: testing.Backend) -> Op:
    return backend.patch_swap


def brute_force(source: Tensor, offset: Tensor, patch_size: int) -> Tensor:
    """Write every patch where it goes and divide by how many landed: the scatter form, one loop per index."""
    n, c, h, w = source.shape
    source = source.double()
    total, count = torch.zeros(n, c, h, w, dtype=torch.float64), torch.zeros(n, h, w)
    reach = range(-(patch_size // 2), patch_size // 2 + 1)
    for b, y, x in itertools.product(range(n), range(h), range(w)):  # the patch around (y, x) is replaced
        dy, dx = offset[b, :, y, x].tolist()
        for oy, ox in itertools.product(reach, reach):
            to_y, to_x, from_y, from_x = y + oy, x + ox, y + oy + dy, x + ox + dx
            if 0 <= to_y < h and 0 <= to_x < w and 0 <= from_y < h and 0 <= from_x < w:
                total[b, :, to_y, to_x] += source[b, :, from_y, from_x]
                count[b, to_y, to_x] += 1
    return total / count.clamp_min(1)[:, None]


def random_offset(n: int, h: int, w: int, reach: int) -> Tensor:
    return torch.randint(-reach, reach + 1, (n, 2, h, w), dtype=torch.int32)


def row_offset(*dx: int) -> Tensor:
    offset = torch.zeros(1, 2, 1, len(dx), dtype=torch.int32)
    offset[0, 1, 0] = torch.tensor(dx)
    return offset


def test_moves_pixels_by_hand(patch_swap: Op) -> None:
    source = torch.tensor([[[[10.0, 20, 30, 40]]]])
    out = patch_swap(source, row_offset(1, 2, -2, 0), patch_size=1)
    assert out.flatten().tolist() == [20, 40, 10, 40]


def test_averages_overlaps_by_hand(patch_swap: Op) -> None:
    # Pixel 0 is covered by patches 0 (offset 1: reads 1) and 1 (offset 2: reads 2): (20 + 30) / 2.
    # Pixel 1: patches 0, 1, 2 read 2, 3, -1; the last is outside: (30 + 40) / 2.
    # Pixel 2: patches 1, 2, 3 read 4 (outside), 0, 2: (10 + 30) / 2.
    # Pixel 3: patches 2, 3 read 1, 3: (20 + 40) / 2.
    source = torch.tensor([[[[10.0, 20, 30, 40]]]])
    out = patch_swap(source, row_offset(1, 2, -2, 0))
    assert out.flatten().tolist() == [25, 35, 20, 30]


def test_nothing_to_read_is_zero(patch_swap: Op) -> None:
    source = torch.full((1, 2, 3, 3), torch.nan)
    assert patch_swap(source, torch.full((1, 2, 3, 3), 50)).abs().sum() == 0
    source = torch.ones(1, 2, 3, 3)
    for dtype in (torch.int32, torch.int64):
        for value in (torch.iinfo(dtype).min, torch.iinfo(dtype).max):
            assert patch_swap(source, torch.full((1, 2, 3, 3), value, dtype=dtype)).sum() == 0


@pytest.mark.parametrize("patch_size", [1, 3, 5])
def test_zero_offset_is_the_identity(patch_swap: Op, patch_size: int) -> None:
    torch.manual_seed(0)
    source = torch.randint(-9, 9, (2, 3, 6, 7)).float()
    out = patch_swap(source, torch.zeros(2, 2, 6, 7, dtype=torch.int32), patch_size=patch_size)
    assert torch.equal(out, source)


def test_one_offset_everywhere_is_a_shift(patch_swap: Op) -> None:
    torch.manual_seed(1)
    source = torch.randint(-9, 9, (1, 3, 8, 9)).float()
    offset = torch.tensor([2, -3], dtype=torch.int32).view(1, 2, 1, 1).expand(1, 2, 8, 9)
    out = patch_swap(source, offset)
    assert torch.equal(out[..., :6, 3:], source[..., 2:, :6])
    assert out[..., 6:, :].abs().sum() == 0
    assert out[..., :3].abs().sum() == 0


@pytest.mark.parametrize(
    "case",
    [(1, 2, 1, 1, 3, 1), (2, 3, 2, 3, 5, 1), (1, 4, 7, 5, 1, 3), (2, 3, 6, 7, 3, 2), (1, 2, 9, 8, 5, 12)],
    ids=str,
)
@pytest.mark.parametrize("dtype", list(testing.SWAP_TOLERANCE), ids=str)
def test_equals_loops(patch_swap: Op, case: tuple[int, ...], dtype: torch.dtype) -> None:
    n, c, h, w, patch_size, reach = case
    torch.manual_seed(sum(case))
    source, offset = torch.randn(n, c, h, w, dtype=torch.float64).to(dtype), random_offset(n, h, w, reach)
    out = patch_swap(source, offset, patch_size=patch_size)
    assert out.dtype == dtype
    allowed = testing.SWAP_TOLERANCE[dtype] * source.double().abs().max().item()
    testing.assert_close("out", out, brute_force(source, offset, patch_size), allowed)
    testing.check_patch_swap(out, source, offset, patch_size=patch_size)


LARGE = {
    # A kernel that keeps what it reads in a window has to do without it.
    "far apart": (300, 400, 350),
    # Neighbouring tiles without two equal offsets.
    "wide noise": (40, 1000, 2),
    # Pixels that everybody reads.
    "few targets": (50, 70, 0),
    # One pixel that everybody reads.
    "one target": (50, 70, 0),
    # Wider and higher than a tile, which reads and writes beside itself.
    "tiles": (150, 600, 40),
}


@pytest.mark.parametrize("name", list(LARGE))
def test_large_images_and_gradients(patch_swap: Op, name: str) -> None:
    h, w, reach = LARGE[name]
    torch.manual_seed(h)
    if name.endswith("target") or name.endswith("targets"):
        here = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"))
        offset = (torch.randint(20, 22 if name == "few targets" else 21, (1, 2, h, w)) - here).int()
    else:
        offset = random_offset(1, h, w, reach)
    source, grad = torch.randn(2, 1, 3, h, w)
    source.requires_grad_()
    out = patch_swap(source, offset)
    testing.check_patch_swap(out.detach(), source, offset)
    (found,) = torch.autograd.grad(out, source, grad)
    testing.check_patch_swap_gradient(found, grad, source, offset)


@pytest.mark.usefixtures("deterministic")
def test_results_do_not_depend_on_the_number_of_threads(patch_swap: Op) -> None:
    torch.manual_seed(9)
    source = torch.randn(1, 5, 152, 600, requires_grad=True)
    offset = random_offset(1, 38, 150, 30).repeat_interleave(4, 2).repeat_interleave(4, 3)
    threads = torch.get_num_threads()
    results = []
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            out = patch_swap(source, offset)
            results.append((out, *torch.autograd.grad(out.square().sum(), source)))
    finally:
        torch.set_num_threads(threads)
    for out, grad in results[1:]:
        assert torch.equal(out, results[0][0])
        assert torch.equal(grad, results[0][1])


def test_half_precision_is_averaged_in_float32(patch_swap: Op) -> None:
    # The sum of nine overflows float16, the mean does not.
    source = torch.full((1, 1, 5, 5), 60000.0, dtype=torch.float16)
    assert torch.equal(patch_swap(source, torch.zeros(1, 2, 5, 5, dtype=torch.int32)), source)


@pytest.mark.parametrize("channels", [3, 8])
def test_memory_layout_does_not_matter(patch_swap: Op, channels: int) -> None:
    torch.manual_seed(2)
    source, offset = torch.randn(2, channels, 6, 7), random_offset(2, 6, 7, 3)
    expected = patch_swap(source, offset)
    layouts: list[Callable[[Tensor], Tensor]] = [
        lambda x: x.to(memory_format=torch.channels_last),
        lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
        lambda x: x.repeat_interleave(2, 3)[..., ::2],
        lambda x: torch.cat([x, x], 1)[:, : x.shape[1]],
    ]
    for layout in layouts:
        assert torch.equal(patch_swap(layout(source), layout(offset)), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("channels", "patch_size"), [(8, 3), (40, 3), (40, 1)])
def test_patches_that_move_together(
    patch_swap: Op, channels: int, patch_size: int, dtype: torch.dtype
) -> None:
    # Runs of pixels of one offset, some of which leads out of the image, and what lies between them.
    torch.manual_seed(6)
    source = torch.randn(2, channels, 21, 38).to(dtype)
    offset = (
        torch.randint(-9, 10, (2, 2, 3, 4)).repeat_interleave(7, 2).repeat_interleave(10, 3)[..., :38].int()
    )
    offset[0, :, :7, :10] = torch.tensor([-40, 3])[:, None, None]
    found = patch_swap(source.to(memory_format=torch.channels_last), offset, patch_size=patch_size)
    expected = brute_force(source, offset, patch_size)
    tolerance = 1e-6 if dtype == torch.float32 else 0.02
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=tolerance)
    assert (found[0, :, 1:6, 1:9] == 0).all()


def test_any_integer_dtype(patch_swap: Op) -> None:
    torch.manual_seed(3)
    source, offset = torch.randn(1, 3, 6, 7), random_offset(1, 6, 7, 3)
    for dtype in (torch.int8, torch.int16, torch.int64):
        assert torch.equal(patch_swap(source, offset.to(dtype)), patch_swap(source, offset))


def test_empty_batch(patch_swap: Op) -> None:
    out = patch_swap(torch.zeros(0, 3, 4, 5, requires_grad=True), torch.zeros(0, 2, 4, 5).int())
    assert out.shape == (0, 3, 4, 5)
    out.sum().backward()


@pytest.mark.parametrize("patch_size", [1, 3])
def test_gradient(patch_swap: Op, patch_size: int) -> None:
    torch.manual_seed(4)
    source = torch.randn(2, 1, 3, 4, dtype=torch.float64, requires_grad=True)
    offset = random_offset(2, 3, 4, 3)
    # On a GPU the order of the additions may differ from one time to the next.
    assert torch.autograd.gradcheck(
        lambda x: patch_swap(x, offset, patch_size=patch_size), (source,), nondet_tol=1e-14
    )


def test_gradient_by_hand(patch_swap: Op) -> None:
    # The transpose of test_averages_overlaps_by_hand: every read gives 1 / count back.
    source = torch.tensor([[[[10.0, 20, 30, 40]]]], requires_grad=True)
    patch_swap(source, row_offset(1, 2, -2, 0)).sum().backward()
    assert source.grad is not None
    assert source.grad.flatten().tolist() == [0.5, 1.0, 1.5, 1.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gradient_is_summed_in_float32(patch_swap: Op, dtype: torch.dtype) -> None:
    # A few pixels are read from everywhere; only the sum may be rounded, not its terms.
    torch.manual_seed(8)
    y, x = torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij")
    offset = (torch.randint(0, 3, (1, 2, 12, 12)) - torch.stack([y, x])).int()
    source, weight = torch.randn(1, 4, 12, 12).to(dtype), torch.rand(1, 4, 12, 12).to(dtype)
    gradients: list[Tensor] = []
    for x in (source, source.double()):
        x.requires_grad_()
        gradients += torch.autograd.grad(patch_swap(x, offset), x, weight.to(x.dtype))
    actual, expected = gradients
    assert actual.dtype == dtype
    rounding = torch.finfo(dtype).eps / 2 * expected.abs()
    testing.assert_close("gradient", actual, expected, 1.01 * rounding + 1e-6)


@pytest.mark.usefixtures("deterministic")
def test_deterministic_mode_is_supported(patch_swap: Op) -> None:
    torch.manual_seed(5)
    source, offset = torch.randn(1, 4, 16, 16, requires_grad=True), random_offset(1, 16, 16, 9)
    first, second = (
        torch.autograd.grad(patch_swap(source, offset).square().sum(), source)[0] for _ in range(2)
    )
    assert torch.equal(first, second)


@pytest.mark.parametrize("grad", [False, True])
def test_traces_without_a_graph_break(patch_swap: Op, grad: bool) -> None:
    torch.manual_seed(6)
    source, offset = torch.randn(1, 3, 6, 7, requires_grad=grad), random_offset(1, 6, 7, 3)
    traced = torch.compile(lambda s, o: patch_swap(s, o), fullgraph=True, backend="eager")
    assert torch.equal(traced(source, offset), patch_swap(source, offset))


X = torch.zeros(2, 3, 4, 5)
V = torch.zeros(2, 2, 4, 5, dtype=torch.int32)
BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"source": X[0]}, InputError, "source must have shape (N, C, H, W), got (3, 4, 5)"),
    ({"source": X.long()}, TypeError, "source must be float32, float64, float16 or bfloat16, got int64"),
    ({"source": None}, TypeError, "source must be a torch.Tensor, got NoneType"),
    ({"offset": None}, TypeError, "offset must be a torch.Tensor, got NoneType"),
    ({"offset": V.half()}, TypeError, "offset must hold integers (int32), got float16"),
    ({"offset": V[0]}, InputError, "offset must have shape (N, 2, H, W) and hold (dy, dx), got (2, 4, 5)"),
    ({"offset": V[..., :4]}, InputError, "offset must have shape (2, 2, 4, 5) to match source (2, 3, 4, 5)"),
    ({"offset": V.to("meta")}, InputError, "offset must be on source's device cpu, got meta"),
    ({"patch_size": 4}, InputError, "patch_size must be odd and at least 1, got 4"),
    ({"patch_size": "3"}, TypeError, "patch_size must be an int, got str"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD, ids=[b[2][:50] for b in BAD])
def test_errors_name_the_argument(
    backend: testing.Backend, patch_swap: Op, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        patch_swap(**{"source": X, "offset": V, **change})
    where = "device cuda:0" if backend.device == "cuda" else "device cpu"
    assert message.replace("device cpu", where) in str(caught.value)


def test_checker_finds_wrong_matches(patch_swap: Op) -> None:
    torch.manual_seed(7)
    source, offset = torch.randn(1, 2, 4, 5), random_offset(1, 4, 5, 2)
    out = patch_swap(source, offset)
    out[0, 1, 2, 3] += 1e-4
    with pytest.raises(AssertionError, match=r"out: worst at \(0, 1, 2, 3\).* 1 of 40 elements"):
        testing.check_patch_swap(out, source, offset)
