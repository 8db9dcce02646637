"""The score of a match, and how it changes along tangents: smooth where the search for it is not."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

NORM_FLOOR = 1e-6
"""Smallest norm that a score is divided by."""

_BAND_BYTES = 4 << 20  # products of one displacement that are stored at a time


def _sum_channels(x: Tensor) -> Tensor:
    """(N, C, ...) -> (N, ...) as a tree of additions, the same at every position (``sum`` is not)."""
    while x.shape[1] > 1:
        half = x.shape[1] // 2
        rest = x[:, 2 * half :]
        x = x[:, :half] + x[:, half : 2 * half]
        if rest.shape[1]:
            x = torch.cat([x, rest], 1)
    return x[:, 0]


def box_sum(x: Tensor, size: int) -> Tensor:
    """(..., H, W) -> (..., H, W): sum over a size x size box around each pixel, zero outside."""
    half = size // 2
    h, w = x.shape[-2:]
    x = F.pad(x, (half, half, half, half))
    rows = x[..., 0:h, :]
    for i in range(1, size):
        rows = rows + x[..., i : i + h, :]
    out = rows[..., 0:w]
    for i in range(1, size):
        out = out + rows[..., i : i + w]
    return out


def patch_norm(x: Tensor, patch_size: int) -> Tensor:
    """(N, C, H, W) -> (N, H, W): floored norm of the patch around each pixel."""
    # Floored before the root: the gradient of a zero patch is then zero, not NaN.
    return box_sum(dot(x, x), patch_size).clamp_min(NORM_FLOOR**2).sqrt()


def dot(a: Tensor, b: Tensor) -> Tensor:
    """(N, C, H, W), (N, C, H, W) -> (N, H, W): inner product of the channels, in bands of rows."""
    n, c, h, w = a.shape
    row_bytes = n * c * w * a.element_size()
    step = max(1, _BAND_BYTES // max(1, row_bytes))
    if step >= h:
        return _sum_channels(a * b)
    bands = [_sum_channels(a[:, :, y : y + step] * b[:, :, y : y + step]) for y in range(0, h, step)]
    return torch.cat(bands, 1)


def score_at(source: Tensor, target: Tensor, offset: Tensor, *, patch_size: int, normalize: str) -> Tensor:
    """Score (N, H, W) of the candidate that ``offset`` (N, 2, H, W) chose for each pixel, differentiable.

    Every chosen candidate must be inside the image.
    """
    n, c, h, w = source.shape
    half = patch_size // 2
    width = w + 2 * half
    source_rows = F.pad(source.permute(0, 2, 3, 1), (0, 0, *(half,) * 4)).reshape(-1, c)
    target_rows = F.pad(target.permute(0, 2, 3, 1), (0, 0, *(half,) * 4))  # (N, H+2*half, W+2*half, C)
    at_y = offset[:, 0] + torch.arange(h, device=source.device).view(h, 1)
    at_x = offset[:, 1] + torch.arange(w, device=source.device)
    batch = torch.arange(n, device=source.device).view(n, 1, 1)
    corner = ((batch * (h + 2 * half) + at_y) * width + at_x).reshape(-1)

    score = source.new_zeros((n, h, w))
    for i in range(patch_size):
        for j in range(patch_size):
            rows = source_rows.index_select(0, corner + (i * width + j)).view(n, h, w, c)
            score = score + (rows * target_rows[:, i : i + h, j : j + w]).sum(-1)
    if normalize in ("search", "cosine"):
        score = score / _at_match(patch_norm(source, patch_size), offset)
    if normalize in ("cosine", "paper"):
        score = score / patch_norm(target, patch_size)
    return score


def score_tangent(
    source: Tensor,
    target: Tensor,
    offset: Tensor,
    source_tangent: Tensor | None,
    target_tangent: Tensor | None,
    *,
    patch_size: int,
    normalize: str,
) -> Tensor:
    """Directional derivative (N, H, W) of the score at fixed offsets; None is a tangent of zero.

    With the product ``p`` of two patches and their norms ``a`` and ``b``, the score is ``p / (a b)`` and

        d(score) = dp / (a b) - score (da / a + db / b).
    """
    compute = torch.promote_types(source.dtype, torch.float32)
    source, target = source.to(compute), target.to(compute)
    change = source.new_zeros(source.shape[:1] + source.shape[2:])
    norm = change + 1
    relative = change
    if source_tangent is not None:
        source_tangent = source_tangent.to(compute)
        change = change + score_at(source_tangent, target, offset, patch_size=patch_size, normalize="none")
    if target_tangent is not None:
        target_tangent = target_tangent.to(compute)
        change = change + score_at(source, target_tangent, offset, patch_size=patch_size, normalize="none")
    if normalize in ("search", "cosine"):
        norm = _at_match(patch_norm(source, patch_size), offset)
        if source_tangent is not None:
            relative = _at_match(_norm_change(source, source_tangent, patch_size), offset)
    if normalize in ("cosine", "paper"):
        norm = norm * patch_norm(target, patch_size)
        if target_tangent is not None:
            relative = relative + _norm_change(target, target_tangent, patch_size)
    score = score_at(source, target, offset, patch_size=patch_size, normalize=normalize)
    return change / norm - score * relative


def _norm_change(x: Tensor, tangent: Tensor, patch_size: int) -> Tensor:
    """(N, H, W): derivative of the logarithm of :func:`patch_norm`; zero where the floor is the norm."""
    square = box_sum(dot(x, x), patch_size)
    change = box_sum(dot(x, tangent), patch_size) / square.clamp_min(NORM_FLOOR**2)
    return torch.where(square >= NORM_FLOOR**2, change, 0)


def _at_match(x: Tensor, offset: Tensor) -> Tensor:
    """(N, H, W) -> (N, H, W): values at the position that each pixel's offset points at, inside the image."""
    n, h, w = x.shape
    at_y = offset[:, 0] + torch.arange(h, device=x.device).view(h, 1)
    at_x = offset[:, 1] + torch.arange(w, device=x.device)
    batch = torch.arange(n, device=x.device).view(n, 1, 1)
    return x.reshape(-1).index_select(0, ((batch * h + at_y) * w + at_x).reshape(-1)).view(n, h, w)
