"""Neural feature transfer (section III-B.3): patches replaced by their matches, overlaps averaged."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def patch_swap(source: Tensor, offset: Tensor, *, patch_size: int = 3) -> Tensor:
    """See :func:`apnt.ops.patch_swap`."""
    n, c, h, w = source.shape
    half = patch_size // 2
    compute = torch.promote_types(source.dtype, torch.float32)

    # One pixel a row, and a last row of zeros for every read that does not count.
    rows = source.to(compute).permute(0, 2, 3, 1).reshape(n * h * w, c)
    rows = F.pad(rows, (0, 0, 0, 1))
    y = torch.arange(h, device=source.device).view(h, 1)
    x = torch.arange(w, device=source.device).view(1, w)
    batch = torch.arange(n, device=source.device).view(n, 1, 1) * (h * w)
    # Clamped so that adding a pixel's position cannot overflow; positions outside stay outside.
    dy = F.pad(offset[:, 0].long().clamp(-h, h), (half, half, half, half))  # (N, H+2*half, W+2*half)
    dx = F.pad(offset[:, 1].long().clamp(-w, w), (half, half, half, half))

    total = torch.zeros((n * h * w, c), dtype=compute, device=source.device)
    count = torch.zeros((n, h, w), dtype=compute, device=source.device)
    for oy in range(-half, half + 1):
        for ox in range(-half, half + 1):
            top, left = half - oy, half - ox  # pixel x reads the offset of the patch centred at x - o
            read_y = y + dy[:, top : top + h, left : left + w]
            read_x = x + dx[:, top : top + h, left : left + w]
            centre_inside = (y - oy >= 0) & (y - oy < h) & (x - ox >= 0) & (x - ox < w)
            read_inside = (read_y >= 0) & (read_y < h) & (read_x >= 0) & (read_x < w)
            valid = centre_inside & read_inside  # (N, H, W)
            index = torch.where(valid, batch + read_y * w + read_x, n * h * w)
            total = total + rows.index_select(0, index.reshape(-1))
            count = count + valid
    mean = total.view(n, h, w, c) / count.clamp_min(1).unsqueeze(-1)
    return mean.permute(0, 3, 1, 2).to(source.dtype).contiguous()
