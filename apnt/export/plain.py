"""The two ops in operators that every runtime has, as many for any size: what ONNX files are made of.

Their offsets are those of :mod:`apnt.ops` but for ties, which sums in another order decide.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from apnt.reference import patch_swap as reference_swap
from apnt.reference.score import NORM_FLOOR
from apnt.reference.window_match import TIE_ULPS, visit_order

OUTSIDE = float("nan")
"""Norm of patches outside the image: scores divided by it lose every comparison."""


def patch_swap(source: Tensor, offset: Tensor, patch_size: int = 3) -> Tensor:
    """``apnt::patch_swap``."""
    return reference_swap(source, offset, patch_size=patch_size)


def window_match(
    source: Tensor,
    target: Tensor,
    center: Tensor | None,
    radius: int,
    patch_size: int = 3,
    normalize: str = "search",
    tf32: bool = False,
) -> tuple[Tensor, Tensor]:
    """``apnt::window_match`` in float32: scores (N, H, W) and offsets (N, 2, H, W) int32."""
    source, target = source.float(), target.float()
    norm = _norm(source, patch_size)
    if normalize not in ("search", "cosine"):
        norm = torch.ones_like(norm)
    norm = F.pad(norm, (radius,) * 4, value=OUTSIDE)  # (N, 1, H + 2 * radius, W + 2 * radius)
    if center is None:
        score, offset = _around_itself(source, target, norm, radius, patch_size)
    else:
        score, offset = _around_center(source, target, norm, center, radius, patch_size)
    if normalize in ("cosine", "paper"):
        score = score / _norm(target, patch_size)[:, 0]
    return score, offset


def _norm(x: Tensor, patch_size: int) -> Tensor:
    """(N, C, H, W) to (N, 1, H, W): floored norm of the patch around each pixel."""
    return _box_sum((x * x).sum(1, keepdim=True), patch_size).clamp_min(NORM_FLOOR**2).sqrt()


def _box_sum(x: Tensor, size: int) -> Tensor:
    """(N, 1, H, W), sums over size x size pixels, zero outside."""
    return F.conv2d(x, torch.ones(1, 1, size, size, device=x.device), padding=size // 2)


def _around_itself(
    source: Tensor, target: Tensor, norm: Tensor, radius: int, patch_size: int
) -> tuple[Tensor, Tensor]:
    """Eq. 7: one displacement after the other."""
    n, _, h, w = target.shape
    padded = F.pad(source, (radius,) * 4)
    order = visit_order(radius)
    best = torch.full((n, 1, h, w), -torch.inf, device=source.device)
    choice = torch.zeros((n, 1, h, w), dtype=torch.int64, device=source.device)
    for i, (dy, dx) in enumerate(order):
        there = (..., slice(radius + dy, radius + dy + h), slice(radius + dx, radius + dx + w))
        score = _box_sum((target * padded[there]).sum(1, keepdim=True), patch_size) / norm[there]
        better = score > best  # strict: a tie stays with the candidate visited first
        best = torch.where(better, score, best)
        choice = torch.where(better, i, choice)
    table = torch.tensor(order, dtype=torch.int32, device=source.device)  # (K, 2)
    offset = table.index_select(0, choice.reshape(-1)).view(n, h, w, 2).permute(0, 3, 1, 2)
    return best[:, 0], offset


def _around_center(
    source: Tensor, target: Tensor, norm: Tensor, center: Tensor, radius: int, patch_size: int
) -> tuple[Tensor, Tensor]:
    """Eq. 8: of every pixel the rows of its area, each times all pixels of its patch."""
    n, c, h, w = source.shape
    half, window = patch_size // 2, 2 * radius + 1
    pad, extent = radius + half, 2 * radius + patch_size
    device = source.device
    y = torch.arange(h, device=device).view(1, h, 1)
    x = torch.arange(w, device=device).view(1, 1, w)
    batch = torch.arange(n, device=device).view(n, 1, 1)
    # Clamped twice: first so that the addition cannot overflow, then to the image.
    at_y = (y + center[:, 0].long().clamp(-h, h)).clamp(0, h - 1)  # (N, H, W)
    at_x = (x + center[:, 1].long().clamp(-w, w)).clamp(0, w - 1)

    def corner(border: int) -> Tensor:
        """(P, 1) of the P = N * H * W pixels, the place of their area's corner in an image with a border."""
        return ((batch * (h + 2 * border) + at_y) * (w + 2 * border) + at_x).view(-1, 1)

    rows = F.pad(source, (pad,) * 4).permute(0, 2, 3, 1).reshape(-1, c)
    framed = F.pad(target, (half,) * 4)
    patch = torch.stack(
        [framed[:, :, i : i + h, j : j + w] for i in range(patch_size) for j in range(patch_size)], dim=-1
    )
    patch = patch.permute(0, 2, 3, 1, 4).reshape(-1, c, patch_size**2)
    across = torch.arange(extent, device=device)
    first = corner(pad) + across  # (P, extent)
    products = []  # of each row of the area, (P, extent, patch_size**2)
    for i in range(extent):
        area = rows.index_select(0, (first + i * (w + 2 * pad)).reshape(-1)).view(-1, extent, c)
        products.append(torch.bmm(area, patch))
    scores = []
    for dy in range(window):
        terms = [
            products[dy + i][:, j : j + window, i * patch_size + j]
            for i in range(patch_size)
            for j in range(patch_size)
        ]
        scores.append(torch.stack(terms).sum(0))
    order = torch.tensor(visit_order(radius), device=device)  # (K, 2)
    raster = (order[:, 0] + radius) * window + order[:, 1] + radius
    score = torch.cat(scores, dim=1).index_select(1, raster)
    place = (order[:, 0] + radius) * (w + 2 * radius) + order[:, 1] + radius
    score = score / norm.reshape(-1).index_select(0, (corner(radius) + place).reshape(-1)).view(-1, window**2)
    score = torch.where(score > -torch.inf, score, -torch.inf)  # false for NaN
    best = score.amax(1, keepdim=True)
    tied = score >= best - TIE_ULPS * torch.finfo(score.dtype).eps * best.abs()
    choice = tied.float().argmax(1)  # the first in visit order
    step = order.index_select(0, choice).view(n, h, w, 2)
    offset = torch.stack([at_y - y + step[..., 0], at_x - x + step[..., 1]], dim=1)
    return score.gather(1, choice[:, None]).view(n, h, w), offset.int()
