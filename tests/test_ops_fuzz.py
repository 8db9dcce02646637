"""Both ops on every backend: any shape, dtype, layout and centre against float64, with gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from apnt import testing

FUZZ = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    # The backend is the same for all examples of a test.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
DTYPES = tuple(testing.SCORE_TOLERANCE)
FAR = 2**31 - 1


def guarded(x: Tensor, margin: int) -> tuple[Tensor, Tensor]:
    """``x`` as a view inside a larger buffer of NaN (or of far vectors), and that buffer."""
    fill = torch.nan if x.is_floating_point() else FAR
    buffer = torch.full((x.numel() + 2 * margin,), fill, dtype=x.dtype)
    view = buffer[margin : margin + x.numel()].view(x.shape)
    view.copy_(x)
    return view, buffer


LAYOUTS = {
    "contiguous": lambda x: x,
    "channels last": lambda x: x.to(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "every second column": lambda x: x.repeat_interleave(2, 3)[..., ::2],
    "cut out": lambda x: torch.nn.functional.pad(x, (1, 2, 3, 1))[..., 3:-1, 1:-2],
    "some channels": lambda x: torch.cat([x, x], 1)[:, : x.shape[1]],
}


@st.composite
def fields(draw: st.DrawFn, n: int, h: int, w: int) -> Tensor:
    """Vectors (N, 2, H, W): smooth, in pieces, random, or far outside the image."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**20)))

    def random(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high + 1, shape, generator=generator, dtype=torch.int32)

    kind = draw(st.sampled_from(["constant", "pieces", "blocks", "random", "speckle", "far"]))
    reach = draw(st.sampled_from([1, 2, max(h, w) + 2]))
    if kind == "random":
        return random(-reach, reach, n, 2, h, w)
    if kind == "far":
        limits = torch.tensor([-FAR - 1, -h, 0, 1, w, FAR], dtype=torch.int64)
        return limits[random(0, 5, n, 2, h, w)].int()
    size = {"constant": max(h, w), "blocks": 2}.get(kind, 7)
    coarse = random(-reach, reach, n, 2, -(-h // size), -(-w // size))
    field = coarse.repeat_interleave(size, 2).repeat_interleave(size, 3)[..., :h, :w].contiguous()
    if kind == "speckle":
        field[random(0, 19, *field.shape) == 0] += 1
    return field


@st.composite
def images(draw: st.DrawFn) -> dict[str, Any]:
    """Sizes of the inputs: small, odd, thin, and sometimes wider than a vector of any processor."""
    thin = draw(st.booleans())
    return {
        "n": draw(st.integers(1, 2)),
        "c": draw(st.sampled_from([1, 2, 3, 5, 16, 19, 35])),
        "h": draw(st.integers(1, 6 if thin else 24)),
        "w": draw(st.integers(1, 70 if thin else 24)),
        "dtype": draw(st.sampled_from(DTYPES)),
        "layout": LAYOUTS[draw(st.sampled_from(list(LAYOUTS)))],
        "margin": draw(st.integers(0, 17)),
        "patch_size": draw(st.sampled_from([1, 3, 3, 3, 5])),
        "seed": draw(st.integers(0, 2**20)),
    }


@FUZZ
@given(data=st.data(), image=images())
def test_window_match(backend: testing.Backend, data: st.DataObject, image: dict[str, Any]) -> None:
    n, c, h, w, dtype = (image[name] for name in ("n", "c", "h", "w", "dtype"))
    options = {
        "radius": data.draw(st.integers(0, 9) if h * w < 200 else st.integers(0, 3)),
        "patch_size": image["patch_size"],
        "normalize": data.draw(st.sampled_from(["search", "cosine", "paper", "none"])),
    }
    center = data.draw(st.none() | fields(n, h, w))
    torch.manual_seed(image["seed"])
    source, source_buffer = guarded(torch.randn(n, c, h, w).to(dtype), image["margin"])
    target, target_buffer = guarded(torch.randn(n, c, h, w).to(dtype), image["margin"])
    before = source_buffer.clone(), target_buffer.clone()
    source_view, target_view = image["layout"](source), image["layout"](target)
    grad = torch.randn(n, h, w, dtype=torch.float64 if dtype == torch.float64 else torch.float32)

    inputs = [x.detach().requires_grad_() for x in (source_view, target_view)]
    center_view = None if center is None else guarded(center, image["margin"])[0]
    offset, score = backend.window_match(*inputs, center_view, **options)
    testing.check_window_match(offset, score.detach(), source, target, center, **options)
    for buffer, old in zip((source_buffer, target_buffer), before, strict=True):
        assert torch.equal(buffer.isnan(), old.isnan())
        assert torch.equal(buffer.nan_to_num(), old.nan_to_num())

    found = torch.autograd.grad(score, inputs, grad)
    testing.check_window_match_gradient(found, grad, source, target, offset, **without(options, "radius"))


@FUZZ
@given(data=st.data(), image=images())
def test_patch_swap(backend: testing.Backend, data: st.DataObject, image: dict[str, Any]) -> None:
    n, c, h, w, dtype, patch_size = (image[name] for name in ("n", "c", "h", "w", "dtype", "patch_size"))
    offset = data.draw(fields(n, h, w))
    torch.manual_seed(image["seed"])
    source, buffer = guarded(torch.randn(n, c, h, w).to(dtype), image["margin"])
    before = buffer.clone()
    offset_view, _ = guarded(offset, image["margin"])
    view = image["layout"](source).detach().requires_grad_()

    out = backend.patch_swap(view, offset_view, patch_size=patch_size)
    testing.check_patch_swap(out.detach(), source, offset, patch_size=patch_size)
    assert torch.equal(buffer.nan_to_num(), before.nan_to_num())

    grad = torch.randn(n, c, h, w).to(dtype)
    (found,) = torch.autograd.grad(out, view, image["layout"](grad))
    testing.check_patch_swap_gradient(found, grad, source, offset, patch_size=patch_size)


def without(options: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != name}


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_layouts_are_what_they_say(layout: str) -> None:
    x = torch.randn(2, 3, 4, 5)
    assert torch.equal(LAYOUTS[layout](x), x)
