"""Tests of the CUDA kernels that need a GPU: streams, devices, graphs, addresses beyond 32 bits.

The parity suite runs on the GPU as the variant "cuda" of the tests of the ops: see benchmarks/gpu_check.sh.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from apnt import ops, testing
from apnt.ops import _backend

pytestmark = pytest.mark.skipif(
    _backend.unavailable("cuda") is not None, reason=str(_backend.unavailable("cuda"))
)

SIZE = (1, 24, 70, 90)


def make_inputs(device: str = "cuda") -> tuple[Tensor, Tensor, Tensor]:
    """Source, target, and centres two pixels around."""
    torch.manual_seed(0)
    source, target = torch.randn(2, *SIZE)
    center = torch.randint(-2, 3, (1, 2, *SIZE[2:]), dtype=torch.int32)
    return source.to(device), target.to(device), center.to(device)


def everything(source: Tensor, target: Tensor, center: Tensor) -> list[Tensor]:
    """Results and gradients of both ops: coarse, fine, moved, and what the leaves get."""
    leaves = [x.detach().requires_grad_() for x in (source, target)]
    coarse, first = ops.window_match(*leaves, radius=4, backend="cuda")
    fine, second = ops.window_match(*leaves, center, radius=1, backend="cuda")
    moved = ops.patch_swap(leaves[0], fine, backend="cuda")
    grads = torch.autograd.grad(first.sum() + second.sum() + moved.square().sum(), leaves)
    return [coarse, fine, *(x.detach() for x in (first, second, moved)), *grads]


def assert_same(actual: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(actual, expected, strict=True):
        assert torch.equal(one, other)


def test_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(_backend.VARIABLE, raising=False)
    assert _backend.choose(None, torch.empty(1, 1, 1, 1, device="cuda")) == "cuda"


@pytest.mark.usefixtures("deterministic")
def test_runs_on_the_current_stream() -> None:
    inputs = make_inputs()
    expected = everything(*inputs)
    late = [torch.zeros_like(x) for x in inputs]
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)  # a tenth of a second: what does not wait finds zeros
        for to, x in zip(late, inputs, strict=True):
            to.copy_(x)
        found = everything(*late)
    stream.synchronize()
    assert_same(found, expected)


@pytest.mark.usefixtures("deterministic")
def test_runs_on_the_tensors_device() -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one GPU")
    expected = [x.cpu() for x in everything(*make_inputs("cuda:0"))]
    assert torch.cuda.current_device() == 0
    found = everything(*make_inputs("cuda:1"))
    assert torch.cuda.current_device() == 0
    assert {x.device.index for x in found} == {1}
    assert_same([x.cpu() for x in found], expected)
    source, target, _ = make_inputs("cuda:0")
    with pytest.raises(RuntimeError, match="target must have source's device"):
        torch.ops.apnt.window_match(source, target.to("cuda:1"), None, 1, 3, "search")


@pytest.mark.usefixtures("deterministic")
def test_captured_in_a_graph() -> None:
    inputs = make_inputs()
    static = [x.clone() for x in inputs]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        everything(*static)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = everything(*static)

    for shift in (3, 11):
        other = [x.roll(shift, 3) for x in inputs]
        for to, x in zip(static, other, strict=True):
            to.copy_(x)
        graph.replay()
        torch.cuda.synchronize()
        assert_same(captured, everything(*other))


def test_atomics_in_a_graph() -> None:
    source, _, center = make_inputs()
    leaf = source.clone().requires_grad_()

    def gradient() -> Tensor:
        return torch.autograd.grad(ops.patch_swap(leaf, center, backend="cuda").sum(), leaf)[0]

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        expected = gradient()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = gradient()
    for _ in range(2):  # the second time it must not add to the first
        graph.replay()
        torch.cuda.synchronize()
        torch.testing.assert_close(captured, expected)


@pytest.mark.usefixtures("deterministic")
def test_deterministic_gradients_are_the_same_bits() -> None:
    inputs = make_inputs()
    first = everything(*inputs)
    for _ in range(3):
        assert_same(everything(*inputs), first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiles_whole(dtype: torch.dtype) -> None:
    source, target, _ = (x.to(dtype) if x.is_floating_point() else x for x in make_inputs())

    def network(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        coarse, _ = ops.window_match(source, target, radius=2)
        fine, score = ops.window_match(source, target, coarse, radius=1)
        return score, ops.patch_swap(source, fine)

    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    for actual, expected in zip(compiled(source, target), network(source, target), strict=True):
        assert torch.equal(actual, expected)


def test_proper_operators() -> None:
    source, target, center = (x[..., :9, :11].contiguous() for x in make_inputs())
    leaves = [x.requires_grad_() for x in (source, target)]
    torch.library.opcheck(torch.ops.apnt.window_match, (*leaves, center, 1, 3, "search"))
    torch.library.opcheck(torch.ops.apnt.patch_swap, (leaves[0], center, 3))


def test_addresses_beyond_32_bits() -> None:
    h, w, channels = 1400, 1400, 1100
    elements = channels * h * w
    assert elements > 2**31
    needed = 2 * elements * 3 + (4 << 30)
    if torch.cuda.mem_get_info()[0] < needed:
        pytest.skip(f"it takes {needed >> 30} GiB of GPU memory")
    source = torch.empty(1, channels, h, w, dtype=torch.float16, device="cuda").normal_()
    shift = torch.tensor([1, -2], dtype=torch.int32, device="cuda").view(1, 2, 1, 1).expand(1, 2, h, w)
    moved = ops.patch_swap(source, shift, backend="cuda")
    assert torch.equal(moved[..., : h - 1, 2:], source[..., 1:, : w - 2])
    del moved
    offset, score = ops.window_match(source, source, radius=1, backend="cuda")
    assert offset.abs().max() == 0
    corner = (source[..., -8:, -8:].double() ** 2).sum(1)
    expected = corner[..., 1:, 1:].unfold(1, 3, 1).unfold(2, 3, 1).sum((-1, -2)).sqrt()
    bound = testing.SCORE_TOLERANCE[torch.float16] * expected
    testing.assert_close("score", score[:, -6:-1, -6:-1], expected, bound)
