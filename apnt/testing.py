"""What it takes for a backend of the ops to be right: tolerances, and comparisons that know about ties.

Everything is compared with the reference in float64 on the same, already rounded, inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from apnt import ops, reference
from apnt.reference.score import patch_norm, score_at

SCORE_TOLERANCE = {
    torch.float64: 2e-15,  # worst seen: 2.3e-16
    torch.float32: 2e-6,  # worst seen: 2.1e-7
    torch.float16: 2e-6,  # worst seen: 2.2e-7
    torch.bfloat16: 2e-6,  # worst seen: 1.5e-7
}
"""Largest error of a score by dtype of the features, as a share of the largest score that patches of these
norms could have (:func:`score_bound`). Half-precision features are summed in float32, hence the equal rows.
Worst seen: the reference on a CPU, 1 to 256 channels, patches of 1 to 5, all normalisations.
"""

TF32_SCORE_TOLERANCE = 2e-3  # worst seen: 9.1e-4, of one channel and patches of 1
"""As :data:`SCORE_TOLERANCE`, where float32 features are rounded to TF32: each factor by up to 2**-11, so a
score by up to 2**-10, and that of the best candidate likewise. Worst seen: the CUDA kernels on a CPU.
"""

GRADIENT_TOLERANCE = {
    torch.float64: 4e-15,  # worst seen: 6.2e-16
    torch.float32: 2e-6,  # worst seen: 3.9e-7
    torch.float16: 6e-4,  # worst seen: 4.0e-4, the rounding of the result
    torch.bfloat16: 4.5e-3,  # worst seen: 3.3e-3, the rounding of the result
}
"""Largest error of a gradient of the score by dtype, as a share of the largest one that the norms allow.
Worst seen: the CPU kernels and the reference, 1 to 256 channels, patches of 1 to 5, all normalisations.
"""

SWAP_GRADIENT_TOLERANCE = {
    torch.float64: 4e-15,  # worst seen: 1.4e-15
    torch.float32: 2e-6,  # worst seen: 8.7e-7
    torch.float16: 6e-4,  # worst seen: 4.9e-4, the rounding of the result
    torch.bfloat16: 4.5e-3,  # worst seen: 3.9e-3, the rounding of the result
}
"""Largest error of a gradient of a moved feature by dtype, as a share of the sum of the sizes of what is
added up in it, beside one step of the smallest numbers of the dtype. Worst seen: as above.
"""

SWAP_TOLERANCE = {
    torch.float64: 1e-15,
    torch.float32: 1e-6,  # worst seen: 2.2e-7
    torch.float16: 6e-4,  # worst seen: 3.0e-4, the rounding of the result
    torch.bfloat16: 4.5e-3,  # worst seen: 3.3e-3, the rounding of the result
}
"""Largest error of a moved feature by dtype, as a share of the largest feature. Worst seen: as above."""


@dataclass(frozen=True)
class Backend:
    """The ops on one backend, for tests that make their tensors on the CPU: moves them there and back."""

    name: str

    @property
    def device(self) -> str:
        """Where the backend's tensors lie."""
        # Without a GPU, Triton's kernels are interpreted on the CPU.
        return "cuda" if self.name in ("cuda", "triton") and torch.cuda.is_available() else "cpu"

    def window_match(
        self, source: Tensor, target: Tensor, center: Tensor | None = None, **options: Any
    ) -> tuple[Tensor, Tensor]:
        """:func:`apnt.ops.window_match` on this backend."""
        offset, score = ops.window_match(
            self._there(source), self._there(target), self._there(center), backend=self.name, **options
        )
        return offset.to("cpu"), score.to("cpu")

    def patch_swap(self, source: Tensor, offset: Tensor, **options: Any) -> Tensor:
        """:func:`apnt.ops.patch_swap` on this backend."""
        return ops.patch_swap(self._there(source), self._there(offset), backend=self.name, **options).to(
            "cpu"
        )

    def _there(self, x: Any) -> Any:
        # Only from the CPU: what is no tensor, or lies elsewhere, is for the op to refuse.
        return x.to(self.device) if isinstance(x, Tensor) and x.device.type == "cpu" else x


def assert_close(name: str, actual: Tensor, expected: Tensor, allowed: Tensor | float) -> None:
    """Fail unless ``|actual - expected| <= allowed`` everywhere, and show the worst element and the share.

    Args:
        name: what is compared, for the message.
        actual: any shape and floating dtype; NaN fails.
        expected: same shape.
        allowed: absolute error, a number or a tensor of the same shape.

    Raises:
        AssertionError: with the worst element, both values and the share of elements that fail.
    """
    assert actual.shape == expected.shape, (
        f"{name}: shape {tuple(actual.shape)}, expected {tuple(expected.shape)}"
    )
    if actual.numel() == 0:
        return
    error = (actual.detach().double() - expected.detach().double()).abs()
    error = torch.where(error.isnan(), torch.inf, error)
    excess = error - torch.as_tensor(allowed, dtype=torch.float64, device=error.device)
    wrong = excess > 0
    if not wrong.any():
        return
    flat = int(excess.argmax())
    index = tuple(int(i) for i in torch.unravel_index(torch.tensor(flat), error.shape))
    raise AssertionError(
        f"{name}: worst at {index}: {actual[index].item():.9g}, expected {expected[index].item():.9g}, "
        f"error {error[index].item():.3g} exceeds what is allowed by {excess[index].item():.3g}; "
        f"{int(wrong.sum())} of {wrong.numel()} elements ({wrong.double().mean().item():.2%}) are wrong"
    )


def score_bound(
    source: Tensor, target: Tensor, offset: Tensor, *, patch_size: int = 3, normalize: str = "search"
) -> Tensor:
    """Largest absolute score (N, H, W) that patches of these norms could have: the scale of its error."""
    chosen, target_norm = _norm_at(source, offset, patch_size), patch_norm(target, patch_size)
    bound = chosen * target_norm
    if normalize in ("search", "cosine"):
        bound = bound / chosen
    if normalize in ("cosine", "paper"):
        bound = bound / target_norm
    return bound


def _norm_at(source: Tensor, offset: Tensor, patch_size: int) -> Tensor:
    """Norm (N, H, W) of the source patch that each pixel chose."""
    n, _, h, w = source.shape
    at_y = torch.arange(h, device=source.device).view(h, 1) + offset[:, 0]
    at_x = torch.arange(w, device=source.device) + offset[:, 1]
    return patch_norm(source, patch_size)[torch.arange(n, device=source.device).view(n, 1, 1), at_y, at_x]


def check_window_match(
    offset: Tensor,
    score: Tensor,
    source: Tensor,
    target: Tensor,
    center: Tensor | None = None,
    *,
    radius: int,
    patch_size: int = 3,
    normalize: str = "search",
    tolerance: float | None = None,
) -> None:
    """Fail unless ``offset`` and ``score`` are a right answer of :func:`apnt.ops.window_match`.

    Right is an offset that is a candidate and whose float64 score is less than the tolerance below the best
    one's, and a score that is the float64 score of that candidate within the tolerance. So an index may
    differ from the reference's only on a tie. The tie rule itself is tested on whole numbers, exactly.

    Args:
        offset: (N, 2, H, W) int32, the answer to check.
        score: (N, H, W), the answer to check.
        source, target, center, radius, patch_size, normalize: the inputs of the op.
        tolerance: None takes :data:`SCORE_TOLERANCE` of ``source``'s dtype.

    Raises:
        AssertionError: with the worst element, both values and the share of elements that fail.
    """
    n, _, h, w = source.shape
    tolerance = SCORE_TOLERANCE[source.dtype] if tolerance is None else tolerance
    source, target = source.detach().double(), target.detach().double()
    assert offset.dtype == torch.int32, f"offset: dtype {offset.dtype}, expected torch.int32"
    assert offset.shape == (n, 2, h, w), f"offset: shape {tuple(offset.shape)}, expected {(n, 2, h, w)}"

    here = torch.stack(
        torch.meshgrid(
            torch.arange(h, device=source.device), torch.arange(w, device=source.device), indexing="ij"
        )
    )
    last = torch.tensor([h - 1, w - 1], device=source.device).view(2, 1, 1)
    window = here + (0 if center is None else center.long())
    window = torch.minimum(window.clamp_min(0), last).expand(n, 2, h, w)
    at = here + offset
    legal = ((at >= 0) & (at <= last) & ((at - window).abs() <= radius)).all(1)
    assert legal.all(), (
        f"offset: {int((~legal).sum())} of {legal.numel()} are no candidates, the first at (n, y, x) = "
        f"{tuple((~legal).nonzero()[0].tolist())}: {offset.permute(0, 2, 3, 1)[~legal][0].tolist()}"
    )

    best, _ = reference.window_match(
        source, target, center, radius=radius, patch_size=patch_size, normalize=normalize
    )
    chosen_score = score_at(source, target, offset, patch_size=patch_size, normalize=normalize)
    best_score = score_at(source, target, best, patch_size=patch_size, normalize=normalize)
    chosen_bound = score_bound(source, target, offset, patch_size=patch_size, normalize=normalize)
    best_bound = score_bound(source, target, best, patch_size=patch_size, normalize=normalize)
    differs = (offset != best).any(1)
    allowed = tolerance * torch.maximum(chosen_bound, best_bound)
    assert_close("score of the offset", chosen_score[differs], best_score[differs], allowed[differs])
    assert_close("score", score, chosen_score, tolerance * chosen_bound)


def check_window_match_gradient(
    grads: tuple[Tensor, ...],
    grad_score: Tensor,
    source: Tensor,
    target: Tensor,
    offset: Tensor,
    *,
    patch_size: int = 3,
    normalize: str = "search",
    tolerance: float | None = None,
) -> None:
    """Fail unless ``grads`` are the gradients of the score with respect to ``source`` and ``target``.

    Args:
        grads: both gradients, (N, C, H, W), to check.
        grad_score: (N, H, W), the gradient of the score.
        source, target, patch_size, normalize: the inputs of the op.
        offset: (N, 2, H, W), the answer whose score is differentiated.
        tolerance: None takes :data:`GRADIENT_TOLERANCE` of ``source``'s dtype.

    Raises:
        AssertionError: with the worst element, both values and the share of elements that fail.
    """
    tolerance = GRADIENT_TOLERANCE[source.dtype] if tolerance is None else tolerance
    exact_source, exact_target = (x.detach().double().requires_grad_() for x in (source, target))
    inputs = (exact_source, exact_target, offset)
    score = score_at(*inputs, patch_size=patch_size, normalize=normalize)
    expected = torch.autograd.grad(score, [exact_source, exact_target], grad_score.double())
    if not grad_score.numel():
        return
    # What a normalisation takes away again counts too: d(s/|s|)/ds is a difference of larger numbers.
    bound = score_bound(*inputs, patch_size=patch_size, normalize=normalize) * grad_score.double().abs()
    norms = (_norm_at(exact_source, offset, patch_size), patch_norm(exact_target, patch_size))
    for name, x, value, norm in zip(("source", "target"), grads, expected, norms, strict=True):
        scale = torch.maximum(value.abs().amax(), (bound / norm).detach().amax())
        assert_close(f"gradient of {name}", x, value, tolerance * scale)


def check_patch_swap(
    out: Tensor, source: Tensor, offset: Tensor, *, patch_size: int = 3, tolerance: float | None = None
) -> None:
    """Fail unless ``out`` is a right answer of :func:`apnt.ops.patch_swap`.

    Args:
        out: (N, C, H, W), the answer to check, in ``source``'s dtype.
        source, offset, patch_size: the inputs of the op.
        tolerance: None takes :data:`SWAP_TOLERANCE` of ``source``'s dtype.

    Raises:
        AssertionError: with the worst element, both values and the share of elements that fail.
    """
    assert out.dtype == source.dtype, f"out: dtype {out.dtype}, expected {source.dtype}"
    tolerance = SWAP_TOLERANCE[source.dtype] if tolerance is None else tolerance
    exact = source.detach().double()
    scale = exact.abs().max().item() if exact.numel() else 0.0
    assert_close("out", out, reference.patch_swap(exact, offset, patch_size=patch_size), tolerance * scale)


def check_patch_swap_gradient(
    grad: Tensor,
    grad_out: Tensor,
    source: Tensor,
    offset: Tensor,
    *,
    patch_size: int = 3,
    tolerance: float | None = None,
) -> None:
    """Fail unless ``grad`` is the gradient of :func:`apnt.ops.patch_swap` with respect to ``source``.

    Args:
        grad: (N, C, H, W), the gradient to check, in ``source``'s dtype.
        grad_out: (N, C, H, W), the gradient of the result.
        source, offset, patch_size: the inputs of the op.
        tolerance: as a share of the sum of the terms' sizes; None takes
            :data:`SWAP_GRADIENT_TOLERANCE` of ``source``'s dtype.

    Raises:
        AssertionError: with the worst element, both values and the share of elements that fail.
    """
    assert grad.dtype == source.dtype, f"gradient: dtype {grad.dtype}, expected {source.dtype}"
    tolerance = SWAP_GRADIENT_TOLERANCE[source.dtype] if tolerance is None else tolerance
    exact = source.detach().double().requires_grad_()
    out = reference.patch_swap(exact, offset, patch_size=patch_size)
    (expected,) = torch.autograd.grad(out, exact, grad_out.double(), retain_graph=True)
    (terms,) = torch.autograd.grad(out, exact, grad_out.double().abs())
    limits = torch.finfo(source.dtype)
    assert_close("gradient", grad, expected, tolerance * terms + limits.smallest_normal * limits.eps)
