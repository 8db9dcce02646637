"""Neural texture matching (eq. 5-8): for every pixel of ``target`` the best patch of ``source`` in a window.

In the paper's notation the matching features ``source`` are ``Psi_l(H^_s)`` and ``target`` ``Psi_l(H_m)``.
The score of candidate ``j`` for pixel ``k`` is the inner product of eq. 5, ``<P_j(source), P_k(target)>``,
divided by the norms that ``normalize`` names; eq. 7 searches a window around ``k`` itself, eq. 8 one around
the coarser level's match.

The search never unfolds an image and never stores the scores of all candidates: with one window for all
pixels it loops over displacements, with a centre per pixel over chunks of pixels. Equal patches must have
equal scores at every position, or rounding would decide ties: sums run in an order that does not depend on
the position; where a matrix product decides the order, a few ulp are a tie.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from apnt.reference.score import NORM_FLOOR, box_sum, dot, patch_norm, score_at
from apnt.reference.transforms import fold, functionalized, has_tangent, transformed, unfold

_CHUNK_BYTES = 4 << 20  # source rows gathered at a time: small enough to stay in the cache
TIE_ULPS = 16  # scores this close are tied where a matrix product chose the order of additions


def window_match(
    source: Tensor,
    target: Tensor,
    center: Tensor | None = None,
    *,
    radius: int,
    patch_size: int = 3,
    normalize: str = "search",
) -> tuple[Tensor, Tensor]:
    """See :func:`apnt.ops.window_match`."""
    compute = torch.promote_types(source.dtype, torch.float32)
    source, target = source.to(compute), target.to(compute)
    derived = transformed() or has_tangent(source) or has_tangent(target)
    search = _Search.apply if derived else _search
    offset, score = search(source, target, center, radius, patch_size, normalize)
    if derived or (torch.is_grad_enabled() and (source.requires_grad or target.requires_grad)):
        score = score_at(source, target, offset, patch_size=patch_size, normalize=normalize)
    return offset, score


def _search(
    source: Tensor, target: Tensor, center: Tensor | None, radius: int, patch_size: int, normalize: str
) -> tuple[Tensor, Tensor]:
    """Offsets (N, 2, H, W) int32, and the scores (N, H, W) of the best candidates, without gradients."""
    # Autocast would have the matrix products of the search run in half precision.
    with torch.no_grad(), torch.autocast(source.device.type, enabled=False):
        if source.shape[0] == 0:
            h, w = source.shape[2:]
            offset = torch.zeros((0, 2, h, w), dtype=torch.int64, device=source.device)
            score = source.new_zeros((0, h, w))
        elif center is None:
            offset, score = _search_shared(source, target, radius, patch_size, normalize)
        else:
            offset, score = _search_centered(source, target, center, radius, patch_size, normalize)
    return offset.to(torch.int32), score


class _Search(torch.autograd.Function):
    """The search for ``torch.func`` and forward mode, which know no writes into given memory."""

    @staticmethod
    def forward(*args: Any) -> tuple[Tensor, Tensor]:
        return _search(*args)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(*output)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *_: Any) -> tuple[None, ...]:
        return (None,) * 6

    @staticmethod
    def jvp(ctx: Any, *_: Any) -> tuple[None, None]:
        return None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *args: Any
    ) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        outs = _Search.apply(*fold(info.batch_size, in_dims, args))
        return tuple(unfold(info.batch_size, out) for out in outs), (0, 0)


def visit_order(radius: int) -> list[tuple[int, int]]:
    """Displacements (dy, dx) of a window, nearest to its centre first, then in raster order: the tie rule."""
    span = range(-radius, radius + 1)
    return sorted(((dy, dx) for dy in span for dx in span), key=lambda d: (d[0] ** 2 + d[1] ** 2, d))


def _search_shared(
    source: Tensor, target: Tensor, radius: int, patch_size: int, normalize: str
) -> tuple[Tensor, Tensor]:
    """Eq. 7, one window, centred on the pixel itself: a product and a box sum per displacement (eq. 6)."""
    n, _, h, w = source.shape
    source_norm = patch_norm(source, patch_size) if normalize in ("search", "cosine") else None
    best = torch.full((n, h, w), -torch.inf, dtype=source.dtype, device=source.device)
    choice = torch.zeros((n, h, w), dtype=torch.int64, device=source.device)
    order = visit_order(radius)
    for i, (dy, dx) in enumerate(order):
        if abs(dy) >= h or abs(dx) >= w:
            continue
        # Where pixel and candidate are both inside. Elsewhere every product is zero, like the box's padding.
        here = (..., slice(max(0, -dy), h - max(0, dy)), slice(max(0, -dx), w - max(0, dx)))
        there = (..., slice(max(0, dy), h + min(0, dy)), slice(max(0, dx), w + min(0, dx)))
        score = box_sum(dot(target[here], source[there]), patch_size)
        if source_norm is not None:
            score = score / source_norm[there]
        better = score > best[here]  # strict: a tie stays with the candidate visited first
        best[here] = torch.where(better, score, best[here])
        choice[here] = torch.where(better, i, choice[here])
    if normalize in ("cosine", "paper"):
        best = best / patch_norm(target, patch_size)
    table = torch.tensor(order, device=source.device)  # (K, 2)
    return table[choice].permute(0, 3, 1, 2).contiguous(), best


def _search_centered(
    source: Tensor, target: Tensor, center: Tensor, radius: int, patch_size: int, normalize: str
) -> tuple[Tensor, Tensor]:
    """Eq. 8, a window of its own for every pixel: gathered rows and small matrix products, in chunks."""
    n, c, h, w = source.shape
    device = source.device
    half = patch_size // 2
    pad = radius + half
    window, extent = 2 * radius + 1, 2 * radius + patch_size

    y = torch.arange(h, device=device).view(1, h, 1)
    x = torch.arange(w, device=device).view(1, 1, w)
    batch = torch.arange(n, device=device).view(n, 1, 1)
    # Clamped twice: first so that the addition cannot overflow, then to the image.
    center_y = (y + center[:, 0].long().clamp(-h, h)).clamp(0, h - 1)  # (N, H, W)
    center_x = (x + center[:, 1].long().clamp(-w, w)).clamp(0, w - 1)

    total = n * h * w
    per_pixel = (extent**2 * (c + patch_size**2) + patch_size**2 * c) * source.element_size()
    step = max(1, min(total, _CHUNK_BYTES // per_pixel))

    def squares(
        image: Tensor, border: int, size: int, at_y: Tensor, at_x: Tensor
    ) -> Callable[[slice], Tensor]:
        """Reader of the size x size squares with their top left corner ``border`` above and left of a pixel.

        It maps a slice of the N*H*W pixels to their squares, (P, size**2, C), zero outside the image.
        """
        channels, height, width = image.shape[1], h + 2 * border, w + 2 * border
        rows = F.pad(image.permute(0, 2, 3, 1), (0, 0, *(border,) * 4)).reshape(-1)
        runs = rows.unfold(0, size * channels, channels)  # a view: every run of `size` neighbours is one row
        corner = ((batch * height + at_y) * width + at_x).expand(n, h, w).reshape(-1, 1)
        below = width * torch.arange(size, device=device)
        # One buffer for all chunks: fresh memory for each costs more than the copy.
        # functionalize knows no output that is given.
        buffer = None if functionalized() else image.new_empty((step * size, size * channels))

        def read(part: slice) -> Tensor:
            index = (corner[part] + below).reshape(-1)  # (P * size)
            given = None if buffer is None else buffer[: index.shape[0]]
            out = torch.index_select(runs, 0, index, out=given)
            return out.view(-1, size**2, channels)

        return read

    # The zero border is as wide as a window that is centred on the image's corner reads.
    read_area = squares(source, pad, extent, center_y, center_x)
    read_patch = squares(target, half, patch_size, y, x)
    read_norm = None
    if normalize in ("search", "cosine"):
        read_norm = squares(patch_norm(source, patch_size)[:, None], radius, window, center_y, center_x)

    order = torch.tensor(visit_order(radius), device=device)  # (K, 2)
    raster = (order[:, 0] + radius) * window + order[:, 1] + radius  # place of each in the window's raster
    flat_y, flat_x = center_y.reshape(-1, 1), center_x.reshape(-1, 1)
    slack = TIE_ULPS * torch.finfo(source.dtype).eps

    choices, scores = [], []
    for start in range(0, total, step):
        part = slice(start, min(total, start + step))
        size = part.stop - part.start
        products = torch.bmm(read_patch(part), read_area(part).transpose(1, 2))
        products = products.view(size, patch_size, patch_size, extent, extent)
        score = torch.zeros((size, window, window), dtype=source.dtype, device=device)
        for i in range(patch_size):
            for j in range(patch_size):
                score = score + products[:, i, j, i : i + window, j : j + window]
        score = score.reshape(size, window**2)
        if read_norm is not None:
            # Floored again, because it is 0 outside the image.
            score = score / read_norm(part)[..., 0].clamp_min(NORM_FLOOR)
        score = score.index_select(1, raster)
        at_y, at_x = flat_y[part] + order[:, 0], flat_x[part] + order[:, 1]
        inside = (at_y >= 0) & (at_y < h) & (at_x >= 0) & (at_x < w)
        # The comparison is false for NaN: a candidate outside the image must never win.
        score = torch.where(inside & (score > -torch.inf), score, -torch.inf)
        best = score.amax(1, keepdim=True)
        tied = score >= best - slack * best.abs()
        choice = tied.to(torch.int8).argmax(1, keepdim=True)  # the first in visit order
        choices.append(choice)
        scores.append(score.gather(1, choice))
    best = torch.cat(scores).view(n, h, w)
    if normalize in ("cosine", "paper"):
        best = best / patch_norm(target, patch_size)
    step_yx = order[torch.cat(choices)].view(n, h, w, 2)
    return torch.stack([center_y - y + step_yx[..., 0], center_x - x + step_yx[..., 1]], 1), best
