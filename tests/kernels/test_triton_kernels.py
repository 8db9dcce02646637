"""What the Triton kernels owe beyond the suite of every backend; and wrong kernels, which the suite must
not pass.

Where there is no GPU, tests/kernels/test_triton.py runs this file in a process that interprets the kernels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from apnt import reference, testing
from apnt.ops import _backend

if _backend.unavailable("triton") is not None:
    pytest.skip(str(_backend.unavailable("triton")), allow_module_level=True)

import triton
import triton.language as tl

from apnt.kernels import language, patch_swap, window_match

TRITON = testing.Backend("triton")


def make_inputs(dtype: torch.dtype = torch.float32, h: int = 7, w: int = 15) -> tuple[Tensor, Tensor, Tensor]:
    """Features of two images of four tiles each, and vectors."""
    torch.manual_seed(h * w)
    source, target = torch.randn(2, 2, 5, h, w).to(dtype)
    return source, target, torch.randint(-5, 6, (2, 2, h, w), dtype=torch.int32)


EVERY_DTYPE = [(dtype, 3, "cosine") for dtype in testing.SCORE_TOLERANCE]
OTHERS = [(torch.float32, 5, "search"), (torch.float32, 1, "paper"), (torch.float32, 3, "none")]


# The suite of every backend checks the gradients by atomic additions.
@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize(("dtype", "patch_size", "normalize"), EVERY_DTYPE + OTHERS)
def test_window_match_is_deterministic(dtype: torch.dtype, patch_size: int, normalize: str) -> None:
    source, target, center = make_inputs(dtype)
    source.requires_grad_()
    target.requires_grad_()
    options: dict[str, Any] = {"patch_size": patch_size, "normalize": normalize}
    offset, score = TRITON.window_match(source, target, center, radius=2, **options)
    testing.check_window_match(offset, score.detach(), source, target, center, radius=2, **options)
    grad = torch.randn_like(score)
    first = torch.autograd.grad(score, [source, target], grad, retain_graph=True)
    testing.check_window_match_gradient(first, grad, source, target, offset, **options)
    second = torch.autograd.grad(score, [source, target], grad)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize(
    ("dtype", "patch_size"),
    [*((dtype, 3) for dtype in testing.SCORE_TOLERANCE), (torch.float32, 5), (torch.float32, 1)],
)
def test_patch_swap_is_deterministic(dtype: torch.dtype, patch_size: int) -> None:
    source, grad, offset = make_inputs(dtype)
    offset[:, :, :4] = torch.randint(-99, 99, offset[:, :, :4].shape)
    source.requires_grad_()
    out = TRITON.patch_swap(source, offset, patch_size=patch_size)
    testing.check_patch_swap(out.detach(), source, offset, patch_size=patch_size)
    (first,) = torch.autograd.grad(out, source, grad, retain_graph=True)
    testing.check_patch_swap_gradient(first, grad, source, offset, patch_size=patch_size)
    (second,) = torch.autograd.grad(out, source, grad)
    assert torch.equal(first, second)


@pytest.mark.usefixtures("deterministic")
def test_a_crowd_of_patches_on_one_pixel() -> None:
    # More than a piece, of which a program of the interpreter has 2048.
    h, w = 46, 47
    torch.manual_seed(2)
    source, grad = torch.randn(2, 1, 3, h, w)
    here = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"))
    offset = (torch.tensor([20, 30]).view(2, 1, 1) - here)[None].int()
    source.requires_grad_()
    out = TRITON.patch_swap(source, offset)
    testing.check_patch_swap(out.detach(), source, offset)
    (found,) = torch.autograd.grad(out, source, grad)
    testing.check_patch_swap_gradient(found, grad, source, offset)


@pytest.mark.parametrize("centered", [False, True])
def test_gradient_of_one_input_alone(centered: bool) -> None:
    source, target, center = make_inputs()
    both = [x.clone().requires_grad_() for x in (source, target)]
    _, score = TRITON.window_match(*both, center if centered else None, radius=1)
    expected = torch.autograd.grad(score.sum(), both)
    for i, inputs in enumerate([(both[0], target), (source, both[1])]):
        _, score = TRITON.window_match(*inputs, center if centered else None, radius=1)
        testing.assert_close("gradient", torch.autograd.grad(score.sum(), both[i])[0], expected[i], 1e-5)


@pytest.mark.parametrize("size", [(1, 40), (15, 2), (9, 17)], ids=str)
def test_tiles_and_steps_meet(size: tuple[int, int]) -> None:
    # More than one tile, channels that do not fill the last block, windows of several steps.
    torch.manual_seed(sum(size))
    source, target = torch.randn(2, 1, 19, *size)
    center = torch.randint(-9, 10, (1, 2, *size), dtype=torch.int32)
    for where, radius in ((None, 9), (center, 5)):
        offset, score = TRITON.window_match(source, target, where, radius=radius)
        testing.check_window_match(offset, score, source, target, where, radius=radius)


@pytest.mark.skipif(not language.INTERPRET, reason="only interpreted kernels can be watched")
@pytest.mark.parametrize(("shared", "rounds"), [(True, 1), (False, 4)])
def test_blocks_that_share_a_centre_are_done_at_once(
    monkeypatch: pytest.MonkeyPatch, shared: bool, rounds: int
) -> None:
    # On a finer level 2 x 2 pixels share a centre; any other field is right too, but takes longer.
    calls = 0
    original = window_match.shifted_sum

    def count(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        return original(*args)

    monkeypatch.setattr(window_match, "shifted_sum", count)
    source, target, center = make_inputs(h=12, w=16)  # all blocks are one program's
    if shared:
        center = center[..., ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3)
        # At the border the clamping of centres gives the pixels of a block different centres.
        inner = torch.zeros_like(center)
        inner[..., 6:-6, 6:-6] = center[..., 6:-6, 6:-6].clamp(-5, 5)
        inner[..., 4:-4, 6:-6] = center[..., 4:-4, 6:-6].clamp(-4, 4)
        center = inner
    offset, score = TRITON.window_match(source, target, center, radius=2)
    testing.check_window_match(offset, score, source, target, center, radius=2)
    assert calls == source.shape[0] * rounds * 2  # the sums over columns and over rows


def vectors() -> Tensor:
    return torch.randint(-2, 3, (1, 2, 3, 5), dtype=torch.int32, device=TRITON.device)


@pytest.mark.parametrize(
    ("centered", "normalize", "dtype", "gradients"),
    [
        (True, "search", torch.float32, [(True, True), (False, False)]),
        (False, "cosine", torch.float16, [(True, False), (False, True)]),
    ],
)
def test_operators_are_proper(
    centered: bool, normalize: str, dtype: torch.dtype, gradients: list[tuple[bool, bool]]
) -> None:
    torch.manual_seed(1)
    source, target = (x.to(TRITON.device, dtype) for x in torch.randn(2, 1, 2, 3, 5))
    source, target = source.requires_grad_(), target.requires_grad_()
    offset = vectors()
    center = offset if centered else None
    ops = torch.ops.apnt_triton
    torch.library.opcheck(ops.window_match, (source, target, center, 1, 3, normalize))
    torch.library.opcheck(ops.patch_swap, (source, offset, 3))
    with torch.no_grad():
        score, found = ops.window_match(source, target, center, 1, 3, normalize)
    for wanted in gradients:
        arguments = (torch.randn_like(score), source.detach(), target.detach(), found, 3, normalize)
        torch.library.opcheck(ops.window_match_backward, (*arguments, *wanted, True))
    torch.library.opcheck(ops.patch_swap_backward, (source, offset, 3, True))


def test_schemas_are_those_of_the_library() -> None:
    for name in ("window_match", "window_match_backward", "patch_swap", "patch_swap_backward"):
        ours, theirs = (
            str(getattr(getattr(torch.ops, n), name).default._schema) for n in ("apnt_triton", "apnt")
        )
        assert ours == theirs.replace("apnt::", "apnt_triton::")


def test_direct_calls_are_checked() -> None:
    x = torch.zeros(1, 2, 4, 5, device=TRITON.device)
    v = torch.zeros(1, 2, 4, 5, dtype=torch.int32, device=TRITON.device)
    ops = torch.ops.apnt_triton
    score = x[:, 0].contiguous()
    for call, message in (
        (lambda: ops.window_match(x[0], x, None, 1, 3, "search"), "source must have shape"),
        (lambda: ops.window_match(x, x[:, :1], None, 1, 3, "search"), "target must have source's number"),
        (lambda: ops.window_match(x, x, v.long(), 1, 3, "search"), "center must be int32"),
        (lambda: ops.window_match(x, x, v[..., :4], 1, 3, "search"), "center must have shape"),
        (lambda: ops.window_match(x, x, None, -1, 3, "search"), "radius must be 0 or more"),
        (lambda: ops.window_match(x, x, None, 1, 2, "search"), "patch_size must be odd"),
        (lambda: ops.window_match(x, x, None, 1, 3, "l2"), "normalize must be one of"),
        (lambda: ops.patch_swap(x, v[:, :1], 3), "offset must have shape"),
        (lambda: ops.patch_swap(x, v, 4), "patch_size must be odd"),
        (lambda: ops.patch_swap_backward(x[..., :4], v, 3, True), "offset must have shape"),
        (
            lambda: ops.window_match_backward(x[:, 0, :3], x, x, v, 3, "search", True, True, True),
            "grad_score must have shape",
        ),
        (
            lambda: ops.window_match_backward(score.double(), x, x, v, 3, "search", True, True, True),
            "grad_score must have shape",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()


# Wrong kernels, each by one mistake. What finds them here is what the suite calls for every backend.


@triton.jit
def the_last_of_equals(score, rank, best_score, best_rank):
    return score >= best_score


@triton.jit
def raster_order(dy, dx, RY: tl.constexpr, RX: tl.constexpr, RANK: tl.constexpr):
    return ((dy + RY) * (2 * RX + 1) + dx + RX).to(RANK)


@triton.jit
def one_element_too_far(x, SIZE: tl.constexpr, SHIFT: tl.constexpr, PATCH: tl.constexpr):
    total = x
    for i in tl.static_range(1, PATCH):
        total += tl.gather(x, tl.minimum(tl.arange(0, SIZE) + i * SHIFT + 1, SIZE - 1), 0)
    return total


@triton.jit
def without_the_first_row(i, size):
    return (i >= 1) & (i < size)


@triton.jit
def from_the_middle(offset, image, plane, y, x, live, uy, ux, h, w):
    ky, kx = y - uy, x - ux
    k = ky * w + kx
    inside = live & (ky >= 0) & (ky < h) & (kx >= 0) & (kx < w)
    at = offset + image * 2 * plane + k
    from_y = ky + tl.load(at, mask=inside, other=0)
    from_x = kx + tl.load(at + plane, mask=inside, other=0)
    inside = inside & (from_y >= 0) & (from_y < h) & (from_x >= 0) & (from_x < w)
    return k, from_y, from_x, inside


@triton.jit
def by_one_more(a, b, SUM: tl.constexpr):
    return a / (b + 1)


def ties(centered: bool) -> None:
    """Whole numbers in a repeating pattern: the result is exact."""
    torch.manual_seed(3)
    pattern = torch.randint(0, 3, (1, 2, 2, 3)).float()
    source, target = pattern.repeat(1, 1, 6, 4)[:, :, :11, :10], pattern.repeat(1, 1, 6, 4)[:, :, 1:12, 2:12]
    center = torch.randint(-6, 7, (1, 2, 11, 10), dtype=torch.int32) if centered else None
    expected, _ = reference.window_match(source.double(), target.double(), center, radius=4)
    assert torch.equal(TRITON.window_match(source, target, center, radius=4)[0], expected)


def match(centered: bool) -> None:
    """Random features against the reference."""
    source, target, center = make_inputs()
    where = center if centered else None
    offset, score = TRITON.window_match(source, target, where, radius=2)
    testing.check_window_match(offset, score, source, target, where, radius=2)


def swap(gradient: bool) -> None:
    """Features moved at random, and back."""
    source, grad, offset = make_inputs()
    source.requires_grad_()
    out = TRITON.patch_swap(source, offset)
    if gradient:
        (found,) = torch.autograd.grad(out, source, grad)
        testing.check_patch_swap_gradient(found, grad, source, offset)
    else:
        testing.check_patch_swap(out.detach(), source, offset)


@functools.cache
def right(check: Callable[[bool], None], which: bool) -> None:
    """The check passes without a mistake; once for all mistakes that it has to find."""
    check(which)


PLANTED = {
    "any of equals": (window_match, "better", the_last_of_equals, ties),
    "the first of equals": (window_match, "rank_of", raster_order, ties),
    "the wrong neighbour": (window_match, "shifted_sum", one_element_too_far, match),
    "no first row": (window_match, "in_image", without_the_first_row, match),
    "the wrong pixel of a patch": (patch_swap, "patch_read", from_the_middle, swap),
    "the wrong mean": (patch_swap, "divide", by_one_more, swap),
}


@pytest.mark.skipif(not language.INTERPRET, reason="only interpreted kernels can be exchanged")
@pytest.mark.parametrize("which", [False, True])
@pytest.mark.parametrize("name", list(PLANTED))
def test_wrong_kernels_are_found(name: str, which: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    module, function, wrong, check = PLANTED[name]
    right(check, which)
    monkeypatch.setattr(module, function, wrong)
    with pytest.raises(AssertionError):
        check(which)
