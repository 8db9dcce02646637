"""What the compiled operators owe PyTorch: schemas, fakes, gradients, compilation, memory, threads."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from apnt import _ext, ops

pytestmark = pytest.mark.skipif(not _ext.LOADED, reason=str(_ext.MISSING))

MATCH = [  # centered, radius, patch_size, normalize, dtype
    (False, 2, 3, "search", torch.float32),
    (True, 1, 3, "cosine", torch.bfloat16),
    (True, 0, 1, "paper", torch.float64),
    (False, 1, 5, "none", torch.float16),
]
WANTED = list(itertools.product([False, True], repeat=2))
"""Which gradients are asked for: two of them by each of MATCH, each of them by two."""
SWAP = [(3, torch.float32), (1, torch.float64), (5, torch.bfloat16), (3, torch.float16)]


def vectors(reach: int, *shape: int) -> Tensor:
    return torch.randint(-reach, reach + 1, shape, dtype=torch.int32)


def make_inputs(
    centered: bool, dtype: torch.dtype, grad: bool = True
) -> tuple[Tensor, Tensor, Tensor | None]:
    torch.manual_seed(1)
    source, target = (torch.randn(2, 5, 9, 11).to(dtype).requires_grad_(grad) for _ in range(2))
    return source, target, vectors(4, 2, 2, 9, 11) if centered else None


@pytest.mark.parametrize("number", range(len(MATCH)), ids=[str(case) for case in MATCH])
def test_window_match_is_a_proper_operator(number: int) -> None:
    centered, radius, patch_size, normalize, dtype = MATCH[number]
    source, target, center = make_inputs(centered, dtype)
    torch.library.opcheck(
        torch.ops.apnt.window_match, (source, target, center, radius, patch_size, normalize)
    )
    with torch.no_grad():
        score, offset = torch.ops.apnt.window_match(source, target, center, radius, patch_size, normalize)
    for wanted in (WANTED[number], WANTED[number - 1]):
        arguments = (torch.randn_like(score), source.detach(), target.detach(), offset, patch_size, normalize)
        torch.library.opcheck(torch.ops.apnt.window_match_backward, (*arguments, *wanted, True))


@pytest.mark.parametrize(("patch_size", "dtype"), SWAP)
def test_patch_swap_is_a_proper_operator(patch_size: int, dtype: torch.dtype) -> None:
    source, grad, _ = make_inputs(False, dtype)
    offset = vectors(4, 2, 2, 9, 11)
    torch.library.opcheck(torch.ops.apnt.patch_swap, (source, offset, patch_size))
    torch.library.opcheck(torch.ops.apnt.patch_swap_backward, (grad, offset, patch_size, False))


def network(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Two levels and a transfer, as the network does it."""
    coarse, _ = ops.window_match(source, target, radius=1)
    fine, score = ops.window_match(source, target, coarse, radius=1, normalize="cosine")
    return score, ops.patch_swap(source, fine)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiles_whole_with_gradients(dtype: torch.dtype) -> None:
    source, target, _ = make_inputs(False, dtype)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    found: list[Any] = []
    for function in (compiled, network):
        score, moved = function(source, target)
        found.append((score, moved, *torch.autograd.grad(score.sum() + moved.sum(), [source, target])))
    for actual, expected in zip(*found, strict=True):
        assert torch.equal(actual, expected)


def test_compiles_once_for_every_size() -> None:
    torch._dynamo.reset()
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager", dynamic=True)
    for h, w in ((7, 9), (12, 6), (8, 8), (6, 30)):
        source, target = torch.randn(2, 1, 4, h, w)
        for actual, expected in zip(compiled(source, target), network(source, target), strict=True):
            assert torch.equal(actual, expected)
    assert len(torch._dynamo.eval_frame._debug_get_cache_entry_list(network)) == 1


def test_patch_swap_has_every_derivative() -> None:
    torch.manual_seed(2)
    source = torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    offset = vectors(2, 1, 2, 4, 5)
    assert torch.autograd.gradgradcheck(
        lambda x: ops.patch_swap(x**2, offset, backend="cpp").square(), (source,), atol=1e-6
    )


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize(("centered", "radius", "patch_size", "normalize", "dtype"), MATCH)
def test_window_match_writes_every_element(
    centered: bool, radius: int, patch_size: int, normalize: str, dtype: torch.dtype
) -> None:
    source, target, center = make_inputs(centered, dtype)
    options: dict[str, Any] = {"radius": radius, "patch_size": patch_size, "normalize": normalize}
    offset, score = ops.window_match(source, target, center, backend="cpp", **options)
    assert offset.abs().max() < 100
    assert score.isfinite().all()
    for grad in torch.autograd.grad(score.sum(), [source, target]):
        assert grad.isfinite().all()


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize(("patch_size", "dtype"), SWAP)
def test_patch_swap_writes_every_element(patch_size: int, dtype: torch.dtype) -> None:
    source, _, _ = make_inputs(False, dtype)
    for offset in (vectors(3, 2, 2, 9, 11), torch.full((2, 2, 9, 11), 99), torch.zeros(2, 2, 9, 11).int()):
        out = ops.patch_swap(source, offset, patch_size=patch_size, backend="cpp")
        assert out.isfinite().all()
        assert torch.autograd.grad(out.sum(), source)[0].isfinite().all()


def test_threads_do_not_change_a_bit() -> None:
    torch.manual_seed(3)
    source, target = torch.randn(2, 1, 40, 150, 90)
    source.requires_grad_()
    target.requires_grad_()
    center = vectors(3, 1, 2, 150, 90)
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found: list[Tensor] = []
            for where in (None, center):
                offset, score = ops.window_match(source, target, where, radius=2, backend="cpp")
                moved = ops.patch_swap(source, offset, backend="cpp")
                found += [offset, score, moved]
                found += torch.autograd.grad((score**2).sum() + (moved**2).sum(), [source, target])
            results.append(found)
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            assert torch.equal(one, other)


def test_direct_calls_are_checked() -> None:
    # What apnt.ops refuses with a better sentence must not reach the kernels past it either.
    x, v = torch.zeros(1, 2, 4, 5), torch.zeros(1, 2, 4, 5, dtype=torch.int32)
    match, swap = torch.ops.apnt.window_match, torch.ops.apnt.patch_swap
    for call in (
        lambda: match(x[0], x, None, 1, 3, "search"),
        lambda: match(x.int(), x.int(), None, 1, 3, "search"),
        lambda: match(x, x[:, :1], None, 1, 3, "search"),
        lambda: match(x, x.double(), None, 1, 3, "search"),
        lambda: match(x, x, v.long(), 1, 3, "search"),
        lambda: match(x, x, v[..., :4], 1, 3, "search"),
        lambda: match(x, x, None, -1, 3, "search"),
        lambda: match(x, x, None, 1, 2, "search"),
        lambda: match(x, x, None, 1, 3, "l2"),
        lambda: swap(x, v[:, :1], 3),
        lambda: swap(x, v.long(), 3),
        lambda: swap(x, v, 4),
        lambda: swap(x[..., :0], v[..., :0], 3),
        lambda: torch.ops.apnt.patch_swap_backward(x[..., :4], v, 3, True),
        lambda: torch.ops.apnt.window_match_backward(x[0], x, x, v, 3, "search", True, True, True),
    ):
        with pytest.raises(RuntimeError):
            call()
