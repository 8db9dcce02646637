"""Fractions of a pixel for the whole offsets of ``window_match``: a parabola over the scores."""

from __future__ import annotations

import torch
from torch import Tensor

from apnt.ops import _check
from apnt.ops.window_match import window_match

_FLAT = 1e-6  # curvature of the scores below which there is no summit to find


def parabola(
    source: Tensor,
    target: Tensor,
    offset: Tensor,
    *,
    patch_size: int = 3,
    normalize: str = "cosine",
    backend: str | None = None,
) -> Tensor:
    """Find the fraction of a pixel by which the summit of the scores lies beside each whole offset.

    In each direction, with the score ``z`` at the offset and ``m`` and ``p`` one pixel before and behind it::

        fraction = (m - p) / 2 / (m - 2 * z + p), at most half a pixel; 0 where the scores have no summit

    It is five searches of radius 0, so it runs, and has gradients, on every backend of
    :func:`apnt.ops.window_match`. The parabola errs towards 0 for sharp textures: a start for
    :func:`apnt.nn.subpixel.register`, not a measurement.

    Args:
        source, target: (N, C, H, W) features, as they were matched.
        offset: (N, 2, H, W) integers (dy, dx), pixels, from :func:`apnt.ops.window_match`.
        patch_size, normalize, backend: see :func:`apnt.ops.window_match`.

    Returns:
        (N, 2, H, W) (dy, dx) in [-0.5, 0.5], in the dtype of the scores; 0 in a direction in which a
        neighbour of the best position lies outside the image.

    Raises:
        InputError, TypeError: as :func:`apnt.ops.window_match`.
    """
    _check.check_features("source", source)
    _check.check_vectors("offset", offset, source)

    def score(axis: int, step: int) -> Tensor:
        """(N, H, W), of the candidates ``step`` pixels further."""
        moved = offset.clone()
        moved[:, axis] += step
        return window_match(
            source, target, moved, radius=0, patch_size=patch_size, normalize=normalize, backend=backend
        )[1]

    best = score(0, 0)
    fractions = []
    for axis in (0, 1):
        before, behind = score(axis, -1), score(axis, 1)
        curvature = before - 2 * best + behind
        size = source.shape[2 + axis]
        here = torch.arange(size, device=source.device)
        place = offset[:, axis] + (here[:, None] if axis == 0 else here)
        summit = (curvature < -_FLAT) & (place > 0) & (place < size - 1)
        # The inner where keeps the gradient finite where there is no summit.
        fraction = (before - behind) / 2 / torch.where(summit, curvature, -torch.ones_like(curvature))
        fractions.append(torch.where(summit, fraction, torch.zeros_like(fraction)).clamp(-0.5, 0.5))
    return torch.stack(fractions, dim=1)
