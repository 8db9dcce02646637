"""Derivatives of every kind through both ops: reverse, forward, second, batched, and PyTorch's transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor

from apnt import _ext, ops, reference, testing

Function = Callable[[Tensor], Tensor]
NORMALIZE = ["search", "cosine", "paper", "none"]


def vectors(*shape: int) -> Tensor:
    return torch.randint(-2, 3, shape, dtype=torch.int32)


def cases(window_match: Any, patch_swap: Any, dtype: torch.dtype = torch.float64) -> dict[str, Function]:
    """Functions of one tensor (2, 2, 4, 5) through each op; of both inputs of the search at once."""
    torch.manual_seed(4)
    target, offset = torch.randn(2, 2, 4, 5).to(dtype), vectors(2, 2, 4, 5)
    center = vectors(2, 2, 4, 5)
    return {
        "swap": lambda x: patch_swap(x, offset),
        "source": lambda x: window_match(x, target, radius=1)[1],
        "target": lambda x: window_match(target, x, center, radius=1, normalize="cosine")[1],
        "both": lambda x: window_match(x, x.flip(-1), radius=1, normalize="paper")[1],
    }


TRANSFORMS: dict[str, Callable[[Function, Tensor, Tensor], Tensor]] = {
    "jvp": lambda f, x, v: torch.func.jvp(f, (x,), (v,))[1],
    "grad": lambda f, x, v: torch.func.grad(lambda a: f(a).square().sum())(x),
    "vjp": lambda f, x, v: torch.func.vjp(f, x)[1](f(x))[0],
    "vmap": lambda f, x, v: torch.func.vmap(f)(torch.stack([x, v])),
    "vmap, another dimension": lambda f, x, v: torch.func.vmap(f, in_dims=2, out_dims=1)(
        torch.stack([x, v], 2)
    ),
    "vmap of grad": lambda f, x, v: torch.func.vmap(torch.func.grad(lambda a: f(a).square().sum()))(
        torch.stack([x, v])
    ),
    "grad of vmap": lambda f, x, v: torch.func.grad(lambda a: torch.func.vmap(f)(a).square().sum())(
        torch.stack([x, v])
    ),
    "jacrev": lambda f, x, v: torch.func.jacrev(f)(x),
    "jacfwd": lambda f, x, v: torch.func.jacfwd(f)(x),
    "hessian": lambda f, x, v: torch.func.hessian(lambda a: f(a).pow(3).sum())(x),
    "linearize": lambda f, x, v: torch.func.linearize(f, x)[1](v),
    "functionalize": lambda f, x, v: torch.func.functionalize(f)(x),
    "dual numbers": lambda f, x, v: _dual(f, x, v),
}


def _dual(f: Function, x: Tensor, v: Tensor) -> Tensor:
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(f(forward_ad.make_dual(x, v))).tangent
        assert tangent is not None
        return tangent.clone()


# float64 has one kernel of window_match in the C++, whatever the instructions
# (csrc/cpu/window_match_portable.cpp).
ONE_FLOAT64 = ("reference", "cpp-portable", "cuda-on-cpu", "cuda", "triton")


@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node")
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transforms_of_the_swap_equal_those_of_the_formula(backend: testing.Backend, transform: str) -> None:
    check_transform(backend, "swap", transform)


@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node")
@pytest.mark.parametrize("backend", ONE_FLOAT64, indirect=True)
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("case", ["source", "target", "both"])
def test_transforms_equal_those_of_the_formula(backend: testing.Backend, case: str, transform: str) -> None:
    check_transform(backend, case, transform)


def check_transform(backend: testing.Backend, case: str, transform: str) -> None:
    # A vmap by hand, and derivatives by PyTorch of the plain formula at offsets that the reference finds.
    torch.manual_seed(5)
    x, v = torch.randn(2, 2, 2, 4, 5, dtype=torch.float64)
    run = TRANSFORMS[transform]
    actual = run(cases(backend.window_match, backend.patch_swap)[case], x, v)
    formula = cases(reference.window_match, reference.patch_swap)[case]
    if transform == "vmap":
        expected = torch.stack([formula(x), formula(v)])
    elif transform == "vmap, another dimension":
        expected = torch.stack([formula(x), formula(v)], 1)
    elif transform in ("vmap of grad", "grad of vmap"):
        expected = torch.stack([TRANSFORMS["grad"](formula, a, v) for a in (x, v)])
    elif transform in ("jvp", "linearize", "dual numbers"):  # the transpose of the reverse mode, twice
        expected = torch.autograd.functional.jvp(formula, x, v)[1]
    elif transform == "jacfwd":
        expected = torch.autograd.functional.jacobian(formula, x)
    elif transform == "hessian":
        expected = torch.autograd.functional.hessian(lambda a: formula(a).pow(3).sum(), x)
    else:
        expected = run(formula, x, v)
    assert actual.abs().max() > 0
    torch.testing.assert_close(actual, expected, atol=1e-10, rtol=1e-8)


# Every backend with every normalization, and each of both with centres and without.
@pytest.mark.parametrize(
    ("backend", "normalize", "centered"),
    [
        (backend, normalize, (b + k) % 2 == 1)
        for b, backend in enumerate(ONE_FLOAT64)
        for k, normalize in enumerate(NORMALIZE)
    ],
    indirect=["backend"],
)
def test_every_derivative_of_the_score(backend: testing.Backend, normalize: str, centered: bool) -> None:
    torch.manual_seed(6)
    inputs = tuple(torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    center = vectors(1, 2, 3, 4) if centered else None

    def score(source: Tensor, target: Tensor) -> Tensor:
        return backend.window_match(source, target, center, radius=1, normalize=normalize)[1]

    check_all(score, inputs)


@pytest.mark.parametrize("patch_size", [1, 3])
def test_every_derivative_of_the_swap(backend: testing.Backend, patch_size: int) -> None:
    torch.manual_seed(7)
    source, offset = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True), vectors(2, 2, 3, 4)
    check_all(lambda x: backend.patch_swap(x.square(), offset, patch_size=patch_size), (source,))


def check_all(function: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> None:
    batched = {"check_batched_grad": True}
    assert torch.autograd.gradcheck(
        function, inputs, check_forward_ad=True, check_batched_forward_grad=True, **batched
    )
    assert torch.autograd.gradgradcheck(
        function, inputs, check_fwd_over_rev=True, check_rev_over_rev=True, **batched
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_has_them_too(backend: testing.Backend, dtype: torch.dtype) -> None:
    torch.manual_seed(8)
    x, v = torch.randn(2, 2, 2, 4, 5).to(dtype)
    for name, function in cases(backend.window_match, backend.patch_swap, dtype).items():
        formula = cases(reference.window_match, reference.patch_swap, dtype)[name]
        for transform in ("jvp", "grad", "vmap"):
            actual, expected = (TRANSFORMS[transform](f, x, v) for f in (function, formula))
            assert actual.dtype == expected.dtype
            torch.testing.assert_close(actual, expected, atol=0.1, rtol=0.03)


def test_one_input_may_have_no_derivative(backend: testing.Backend) -> None:
    torch.manual_seed(9)
    source, target = torch.randn(2, 1, 2, 4, 5, dtype=torch.float64)
    for asks in ((True, False), (False, True)):
        pair = tuple(x.clone().requires_grad_(a) for x, a in zip((source, target), asks, strict=True))
        (wanted,) = [x for x in pair if x.requires_grad]
        score = backend.window_match(*pair, radius=1)[1]
        (first,) = torch.autograd.grad(score.square().sum(), wanted, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), wanted)
        formula = reference.window_match(*pair, radius=1)[1]
        (first,) = torch.autograd.grad(formula.square().sum(), wanted, create_graph=True)
        torch.testing.assert_close(second, torch.autograd.grad(first.square().sum(), wanted)[0])


def test_offsets_carry_no_derivative(backend: testing.Backend) -> None:
    x = torch.randn(1, 2, 4, 5)
    offset = torch.func.vmap(lambda a: backend.window_match(a, x, radius=1)[0])(torch.stack([x, x.flip(-1)]))
    assert offset.shape == (2, 1, 2, 4, 5)
    assert torch.equal(offset[0], torch.zeros_like(offset[0]))
    assert not torch.func.jvp(lambda a: backend.window_match(a, x, radius=1)[0].float(), (x,), (x,))[1].any()


@pytest.mark.skipif(not _ext.LOADED, reason=str(_ext.MISSING))
def test_an_operator_without_rules_says_so() -> None:
    x, offset = torch.randn(1, 2, 4, 5), vectors(1, 2, 4, 5)
    with pytest.raises(NotImplementedError, match="call apnt"):
        torch.func.jvp(lambda a: torch.ops.apnt.patch_swap(a, offset, 3), (x,), (x,))


@pytest.mark.skipif(not _ext.LOADED, reason=str(_ext.MISSING))
def test_traces_to_operators() -> None:
    offset = vectors(1, 2, 4, 5)
    traced = torch.jit.trace(lambda a: ops.patch_swap(a, offset), (torch.randn(1, 2, 4, 5),))
    assert "apnt::patch_swap" in str(traced.graph)
