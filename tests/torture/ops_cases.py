"""The ops against the reference: any shape, stride, view, vector, dtype, and way that PyTorch runs them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pool
import torch
from results import Row, timed
from torch import Tensor

from apnt import ops, reference, testing
from apnt.errors import InputError
from apnt.ops import _backend

DTYPES = tuple(testing.SCORE_TOLERANCE)
FAR = 2**31 - 1


def _layout(dice: random.Random, x: Tensor) -> Tensor:
    """The same values (N, C, H, W), otherwise in memory."""
    match dice.randrange(7):
        case 0:
            return x.to(memory_format=torch.channels_last)
        case 1:
            return x.transpose(2, 3).contiguous().transpose(2, 3)
        case 2:
            return x.repeat_interleave(2, 3)[..., ::2]
        case 3:
            return torch.nn.functional.pad(x, (1, 2, 3, 1))[..., 3:-1, 1:-2]
        case 4:
            return torch.cat([x, x], 1)[:, : x.shape[1]]
        case 5:
            return x.flip(3).contiguous().flip(3)
    return x


def _vectors(dice: random.Random, n: int, h: int, w: int) -> Tensor:
    """(N, 2, H, W): constant, smooth, by chance, or as far as the type reaches."""
    reach = dice.choice([0, 1, 3, max(h, w) + 2])
    generator = torch.Generator().manual_seed(dice.randrange(2**31))
    shape = (n, 2, h, w)
    if dice.random() < 0.2:
        wide = dice.random() < 0.5
        limits = torch.tensor(
            [-(2**63), -FAR - 1, -h, 0, 1, w, FAR, 2**63 - 1] if wide else [-FAR - 1, -1, 0, 1, FAR]
        )
        return limits[torch.randint(0, len(limits), shape, generator=generator)]
    size = dice.choice([1, 2, 7, max(h, w)])
    coarse = torch.randint(-reach, reach + 1, (n, 2, -(-h // size), -(-w // size)), generator=generator)
    field = coarse.repeat_interleave(size, 2).repeat_interleave(size, 3)[..., :h, :w]
    kinds = [torch.int32, torch.int64] + ([torch.int16, torch.int8] if reach < 100 else [])
    return field.to(dice.choice(kinds))


def _inputs(dice: random.Random) -> tuple[Tensor, Tensor, Tensor | None, dict[str, Any]]:
    n, c = dice.choice([0, 1, 1, 1, 2, 3]), dice.choice([1, 2, 3, 5, 16, 19, 35, 64])
    h, w = (1, 70) if dice.random() < 0.1 else (dice.randint(1, 20), dice.randint(1, 20))
    dtype = dice.choice(DTYPES)
    torch.manual_seed(dice.randrange(2**31))
    source, target = (torch.randn(n, c, h, w).to(dtype) for _ in range(2))
    match dice.randrange(8):
        case 0 if dtype != torch.float16:  # whose largest number is below the gradient of a norm of zero
            source = torch.zeros_like(source)
        case 1:
            source, target = source.sign(), target.sign()  # ties
        case 2 if n > 1:
            source = source[:1].expand(n, c, h, w)
    center = None if dice.random() < 0.4 else _vectors(dice, n, h, w)
    options = {
        "radius": dice.randint(0, 9 if h * w < 100 else 3),
        "patch_size": dice.choice([1, 3, 3, 3, 5]),
        "normalize": dice.choice(["search", "cosine", "paper", "none"]),
    }
    return source, target, center, options


def match_case(number: int, folder: Path, seed: int, backend: str) -> str | None:
    """``window_match`` and its gradient against the reference in float64."""
    dice = random.Random(f"{seed} match {number}")
    source, target, center, options = _inputs(dice)
    views = [_layout(dice, x).detach().requires_grad_() for x in (source, target)]
    offset, score = ops.window_match(*views, center, backend=backend, **options)
    near = None if center is None else center.long().clamp(-(2**31), FAR)  # the check adds positions
    testing.check_window_match(offset, score.detach(), source, target, near, **options)
    grad = torch.randn(score.shape, dtype=score.dtype)
    found = torch.autograd.grad(score, views, grad)
    rest = {key: value for key, value in options.items() if key != "radius"}
    testing.check_window_match_gradient(found, grad, source, target, offset, **rest)
    return None


def swap_case(number: int, folder: Path, seed: int, backend: str) -> str | None:
    """``patch_swap`` and its gradient, the same."""
    dice = random.Random(f"{seed} swap {number}")
    source, _, _, options = _inputs(dice)
    n, _, h, w = source.shape
    offset, patch_size = _vectors(dice, n, h, w), options["patch_size"]
    view = _layout(dice, source).detach().requires_grad_()
    out = ops.patch_swap(view, offset, patch_size=patch_size, backend=backend)
    testing.check_patch_swap(out.detach(), source, offset, patch_size=patch_size)
    grad = torch.randn(source.shape).to(source.dtype)
    (found,) = torch.autograd.grad(out, view, _layout(dice, grad))
    if n:
        testing.check_patch_swap_gradient(found, grad, source, offset, patch_size=patch_size)
    return None


WAYS: dict[str, Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor]] = {
    "torch.func.jvp": lambda f, x, v: torch.func.jvp(f, (x,), (v,))[1],
    "torch.func.grad": lambda f, x, v: torch.func.grad(lambda a: f(a).square().sum())(x),
    "torch.func.vjp": lambda f, x, v: torch.func.vjp(f, x)[1](f(v))[0],
    "torch.func.vmap": lambda f, x, v: torch.func.vmap(f)(torch.stack([x, v])),
    "grad of grad": lambda f, x, v: torch.func.grad(
        lambda a: torch.func.grad(lambda b: f(b).square().sum())(a).square().sum()
    )(x),
    "jvp of grad": lambda f, x, v: torch.func.jvp(torch.func.grad(lambda a: f(a).square().sum()), (x,), (v,))[
        1
    ],
    "vmap of grad": lambda f, x, v: torch.func.vmap(torch.func.grad(lambda a: f(a).square().sum()))(
        torch.stack([x, v])
    ),
    "functionalize": lambda f, x, v: torch.func.functionalize(f)(x),
    "autocast": lambda f, x, v: _autocast(f, x),
    "deterministic": lambda f, x, v: _deterministic(f, x),
    "inference_mode": lambda f, x, v: _inference(f, x),
    "threads": lambda f, x, v: _threads(f, x),
}


def _autocast(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return f(x)


def _inference(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.inference_mode():
        return f(x)


def _deterministic(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    torch.use_deterministic_algorithms(True)
    try:
        leaf = x.detach().requires_grad_()
        return torch.autograd.grad(f(leaf).square().sum(), leaf)[0]
    finally:
        torch.use_deterministic_algorithms(False)


def _threads(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        return f(x)
    finally:
        torch.set_num_threads(before)


def way_case(number: int, folder: Path, seed: int, backend: str) -> str | None:
    """One of :data:`WAYS` through one of the ops in float64, against the same through the reference."""
    dice = random.Random(f"{seed} way {number}")
    source, target, center, options = _inputs(dice)
    if source.shape[0] == 0:
        return None
    # Not whole numbers: of two patches whose scores differ by their rounding alone either is right, and their
    # gradients are not the same.
    source, target = (torch.randn(source.shape, dtype=torch.float64) for _ in range(2))
    tangent = torch.randn_like(source)
    n, _, h, w = source.shape
    offset = _vectors(dice, n, h, w)
    swap = dice.random() < 0.5
    name = dice.choice(list(WAYS))

    def run(module: Any, **which: str) -> Tensor:
        def through(x: Tensor) -> Tensor:
            if swap:
                return module.patch_swap(x, offset, patch_size=options["patch_size"], **which)
            return module.window_match(x, target, center, **options, **which)[1]

        return WAYS[name](through, source, tangent)

    actual, expected = run(ops, backend=backend), run(reference)
    if not torch.allclose(actual, expected, rtol=1e-6, atol=1e-6 * max(1e-3, float(expected.abs().max()))):
        what = "patch_swap" if swap else f"window_match {options}"
        return f"{name} of {what}: differs by {float((actual - expected).abs().max()):g}"
    return None


def ops_rows(total: int, seed: int) -> list[Row]:
    """Half of the cases the search, a quarter the swap, a quarter the ways of PyTorch."""
    backend = "cpp" if _backend.unavailable("cpp") is None else "reference"
    parts = (
        ("window_match and its gradient", match_case, total // 2),
        ("patch_swap and its gradient", swap_case, total // 4),
        ("ops under jvp, vjp, vmap, double backward, autocast, deterministic, threads", way_case, total // 4),
    )
    rows = []
    for what, case, count in parts:
        row = Row(f"{what} ({backend})")
        with timed(row):
            pool.run(row, lambda n, folder, case=case: case(n, folder, seed, backend), count)
        rows.append(row)
    return [*rows, _compiled(backend), _too_large(backend)]


def _compiled(backend: str) -> Row:
    row = Row(f"ops compiled by torch.compile, any size ({backend})")

    def network(source: Tensor, target: Tensor) -> Tensor:
        coarse, _ = ops.window_match(source, target, radius=1, backend=backend)
        fine, score = ops.window_match(source, target, coarse, radius=1, backend=backend)
        return ops.patch_swap(source, fine, backend=backend) * score[:, None]

    with timed(row):
        compiled = torch.compile(network, fullgraph=True, backend="aot_eager", dynamic=True)
        for size in range(4, 16):
            source, target = torch.randn(2, 1, 3, size, 2 * size)
            row.tries += 1
            if not torch.equal(compiled(source, target), network(source, target)):
                row.fault(f"size {size}: the compiled network differs")
    return row


def _too_large(backend: str) -> Row:
    """Sizes past the counters of the kernels, without memory: one stored number stands for all of them."""
    row = Row(f"images of 2**31 pixels and more are refused ({backend})")
    with timed(row):
        for h, w in ((46341, 46341), (1, 2**31), (2**31, 1), (2**20, 2**12)):
            x = torch.zeros(1).expand(1, 1, h, w)
            vectors = torch.zeros(1, dtype=torch.int32).expand(1, 2, h, w)
            for run in (
                lambda x=x, v=vectors: ops.patch_swap(x, v, backend=backend),
                lambda x=x, v=vectors: ops.window_match(x, x, v, radius=1, backend=backend),
            ):
                row.tries += 1
                try:
                    run()
                    row.fault(f"{h} x {w} pixels were taken")
                except InputError:
                    pass
    if backend == "reference":
        row.skipped = "no compiled backend"
    return row
