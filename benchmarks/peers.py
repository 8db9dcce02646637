"""What a researcher has without this library: the same search and the same swap, other ways."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from apnt.reference.window_match import patch_norm, visit_order

Step = Callable[..., tuple[Tensor, Tensor]]


def visit(
    target: Tensor, shifted: Tensor, norm: Tensor, best: Tensor, choice: Tensor, number: Tensor
) -> tuple[Tensor, Tensor]:
    """One displacement: product, sum over the patch, norm, and what is best so far, (N, 1, H, W)."""
    product = (target * shifted).sum(1, keepdim=True)
    score = F.avg_pool2d(product, 3, 1, 1, divisor_override=1) / norm
    better = score > best
    return torch.where(better, score, best), torch.where(better, number, choice)


def displacement_loop(
    source: Tensor, target: Tensor, radius: int, step: Step = visit
) -> tuple[Tensor, Tensor]:
    """One shifted product and one average pooling for each displacement: the usual PyTorch formulation.

    Args:
        source, target, radius: as for :func:`apnt.ops.window_match`.
        step: :func:`visit`, or what ``torch.compile`` made of it.

    Returns:
        The best displacement's number (N, H, W) in :func:`visit_order`, and its score, as ``"search"``.
    """
    n, _, h, w = source.shape
    norm = patch_norm(source, 3)[:, None]
    border = (radius,) * 4
    padded, padded_norm = F.pad(source, border), F.pad(norm, border, value=torch.inf)
    best = torch.full((n, 1, h, w), -torch.inf, dtype=source.dtype, device=source.device)
    choice = torch.zeros((n, 1, h, w), dtype=torch.int64, device=source.device)
    numbers = torch.arange((2 * radius + 1) ** 2, device=source.device)
    for i, (dy, dx) in enumerate(visit_order(radius)):
        there = (..., slice(radius + dy, radius + dy + h), slice(radius + dx, radius + dx + w))
        best, choice = step(target, padded[there], padded_norm[there], best, choice, numbers[i])
    return choice[:, 0], best[:, 0]


def tiles_through_bmm(source: Tensor, target: Tensor, radius: int, tile: int = 8) -> Tensor:
    """Tiles of pixels times the pixels around them as batched matrix products: best score (N, H, W).

    Every product of a tile with its surroundings is computed, half of them for nothing; then the diagonals
    are summed over the patch. H and W are padded to multiples of ``tile``.
    """
    n, c, h, w = source.shape
    rows, columns = -(-h // tile), -(-w // tile)
    below, right = rows * tile - h, columns * tile - w
    own, around = tile + 2, tile + 2 + 2 * radius
    reach = radius + 1
    norm = F.pad(
        patch_norm(source, 3)[:, None], (radius, right + radius, radius, below + radius), value=torch.inf
    )
    source = F.pad(source, (reach, right + reach, reach, below + reach))
    target = F.pad(target, (1, right + 1, 1, below + 1))
    targets = target.unfold(2, own, tile).unfold(3, own, tile)  # (N, C, rows, columns, own, own)
    sources = source.unfold(2, around, tile).unfold(3, around, tile)
    window = 2 * radius + 1
    best = source.new_empty((n, rows, columns, tile, tile))
    for row in range(rows):
        a = targets[:, :, row].permute(0, 2, 3, 4, 1).reshape(n * columns, own * own, c)
        b = sources[:, :, row].permute(0, 2, 1, 3, 4).reshape(n * columns, c, around * around)
        products = torch.bmm(a, b)  # (tiles, own**2, around**2)
        diagonals = products.as_strided(
            (n * columns, own, own, window, window),
            (products.stride(0), own * around**2 + around, around**2 + 1, around, 1),
        )
        lines = diagonals[:, :tile] + diagonals[:, 1 : tile + 1] + diagonals[:, 2:]
        scores = lines[:, :, :tile] + lines[:, :, 1 : tile + 1] + lines[:, :, 2:]
        strip = norm[:, 0, row * tile : row * tile + tile + 2 * radius]
        norms = strip.unfold(1, window, 1).unfold(2, window, 1)  # (N, tile, columns * tile, window, window)
        norms = norms.reshape(n, tile, columns, tile, window, window).transpose(1, 2)
        best[:, row] = (scores.view(n, columns, tile, tile, window, window) / norms).amax((-2, -1))
    return best.permute(0, 1, 3, 2, 4).reshape(n, rows * tile, columns * tile)[:, :h, :w]


def unfolded_patches(source: Tensor, target: Tensor, radius: int) -> Tensor:
    """Unfold every patch, gather every window of unfolded patches, multiply: best score (1, H, W).

    As in texture transfer networks; row by row, or the windows alone would take gigabytes.
    """
    _, _, h, w = source.shape
    window = 2 * radius + 1
    targets = F.unfold(target, 3, padding=1).view(-1, h, w)  # (C * 9, H, W)
    sources = F.unfold(source, 3, padding=1).view(-1, h, w)
    sources = sources / sources.norm(dim=0).clamp_min(1e-6)
    sources = F.pad(sources, (radius,) * 4)
    best = []
    for y in range(h):
        windows = sources[:, y : y + window].unfold(2, window, 1)  # (C * 9, window, W, window)
        windows = windows.permute(2, 0, 1, 3).reshape(w, -1, window**2)
        best.append(torch.bmm(targets[:, y].t()[:, None], windows).amax((-2, -1)))
    return torch.stack(best)[None]


def correlation_sampler(source: Tensor, target: Tensor, radius: int, kernel: int) -> Tensor:
    """The package ``spatial-correlation-sampler`` with patches of ``kernel`` pixels: best score (N, H, W).

    With a kernel of 1 the sum over the patch is a pooling of our own.

    Raises:
        ImportError: the package is not installed.
    """
    from spatial_correlation_sampler import spatial_correlation_sample

    window = 2 * radius + 1
    scores = spatial_correlation_sample(target, source, kernel, window, padding=kernel // 2)
    n, _, _, h, w = scores.shape
    scores = scores.view(n, window**2, h, w)
    if kernel == 1:
        scores = F.avg_pool2d(scores, 3, 1, 1, divisor_override=1)
    return scores.amax(1)


def nine_grid_samples(source: Tensor, offset: Tensor) -> Tensor:
    """patch_swap by nine calls of ``grid_sample`` and a count: (N, C, H, W)."""
    _, _, h, w = source.shape
    y = torch.arange(h, device=source.device, dtype=torch.float32).view(1, h, 1)
    x = torch.arange(w, device=source.device, dtype=torch.float32).view(1, 1, w)
    field = F.pad(offset.float(), (1, 1, 1, 1), value=torch.inf)
    ones = torch.ones_like(source[:, :1])
    total, count = torch.zeros_like(source), torch.zeros_like(ones)
    for oy in (0, 1, 2):
        for ox in (0, 1, 2):
            at_y = (y + field[:, 0, oy : oy + h, ox : ox + w]) * 2 / max(1, h - 1) - 1
            at_x = (x + field[:, 1, oy : oy + h, ox : ox + w]) * 2 / max(1, w - 1) - 1
            grid = torch.stack([at_x, at_y], -1).clamp(-4, 4).to(source.dtype)
            total += F.grid_sample(source, grid, mode="nearest", align_corners=True)
            count += F.grid_sample(ones, grid, mode="nearest", align_corners=True)
    return total / count.clamp_min(1)
