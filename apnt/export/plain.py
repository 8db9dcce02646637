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
    best = torch.full((n, 1, h, w), -torch.inf, device=source.device)
    choice = torch.zeros((n, 1, h, w), dtype=torch.int64, device=source.device)
    for dy, dx in visit_order(radius):
        there = (..., slice(radius + dy, radius + dy + h), slice(radius + dx, radius + dx + w))
        score = _box_sum((target * padded[there]).sum(1, keepdim=True), patch_size) / norm[there]
        better = score > best  # strict: a tie stays with the candidate visited first
        best = torch.where(better, score, best)
        choice = torch.where(better, _place(dy, dx, radius), choice)
    return best[:, 0], _displacement(choice, radius).int()


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
    score = torch.cat(scores, dim=1)  # (P, window**2)
    inner = torch.arange(window, device=device)
    at = corner(radius) + (inner[:, None] * (w + 2 * radius) + inner).reshape(-1)
    score = score / norm.reshape(-1).index_select(0, at.reshape(-1)).view(-1, window**2)
    score = torch.where(score > -torch.inf, score, -torch.inf)  # false for NaN
    best = score.amax(1, keepdim=True)
    tied = score >= best - TIE_ULPS * torch.finfo(score.dtype).eps * best.abs()
    choice = torch.zeros_like(score[:, 0], dtype=torch.int64)
    for dy, dx in reversed(visit_order(radius)):  # the first in visit order stays
        place = _place(dy, dx, radius)
        choice = torch.where(tied[:, place], place, choice)
    step = _displacement(choice.view(n, 1, h, w), radius)
    offset = step + torch.stack([at_y - y, at_x - x], dim=1)
    return score.gather(1, choice[:, None]).view(n, h, w), offset.int()


def _place(dy: int, dx: int, radius: int) -> int:
    """The number of a displacement in the raster of its window."""
    return (dy + radius) * (2 * radius + 1) + dx + radius


def _displacement(place: Tensor, radius: int) -> Tensor:
    """Places in the raster (N, 1, H, W) to (dy, dx), (N, 2, H, W)."""
    window = 2 * radius + 1
    return torch.cat([place // window, place % window], dim=1) - radius
