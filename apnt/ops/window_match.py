"""Op 1, ``window_match``: neural texture matching (eq. 5-8)."""

from __future__ import annotations

from torch import Tensor

from apnt import reference
from apnt.errors import InputError
from apnt.ops import _check

NORMALIZE = ("search", "cosine", "paper", "none")
"""A score is divided by the source patch's norm, by both norms, by the target patch's (eq. 5), by nothing."""


def window_match(
    source: Tensor,
    target: Tensor,
    center: Tensor | None = None,
    *,
    radius: int,
    patch_size: int = 3,
    normalize: str = "search",
) -> tuple[Tensor, Tensor]:
    """Find, for every pixel of ``target``, the most similar patch of ``source`` inside a window (eq. 5-8).

    Equivalent to::

        score[k, j] = (patch(source, j) * patch(target, k)).sum() / norm
        offset[k] = argmax of score[k, j] over |j - (k + center[k])| <= radius, minus k

    A patch is ``patch_size`` x ``patch_size`` pixels with all their channels, zero outside the image. A
    candidate ``j`` outside the image is none, and a window centre outside of it is clamped to its border
    first, so every window has a candidate. Ties go to the candidate nearest to the clamped centre, then to
    the first in raster order.

    Args:
        source: (N, C, H, W), the features that are searched; float32, float64, float16 or bfloat16.
        target: (N, C, H, W), the features that ask; same dtype and device.
        center: (N, 2, H, W) integers (dy, dx), pixels: where each target pixel's window is centred,
            relative to that pixel. None means zero everywhere.
        radius: the window has (2 * radius + 1)**2 candidates.
        patch_size: odd.
        normalize: the score is divided by the norm of the source patch (``"search"``), by the norms of both
            (``"cosine"``), by the norm of the target patch (``"paper"``, eq. 5 to the letter) or by nothing
            (``"none"``). Norms are floored at 1e-6.

    Returns:
        ``offset``, (N, 2, H, W) int32 (dy, dx) of the best candidate, relative to the target pixel; and
        ``score``, (N, H, W), its similarity, differentiable with respect to both inputs; float64
        for float64 input, else float32, in which products of half-precision features are summed.

    Raises:
        InputError: shape, size, device, ``radius``, ``patch_size`` or ``normalize`` that does not fit.
        TypeError: dtype or type that does not fit.
    """
    _check.check_features("source", source)
    _check.check_features("target", target)
    _check.check_same("target", target, source)
    if center is not None:
        _check.check_vectors("center", center, source)
    _check.check_radius(radius)
    _check.check_patch_size(patch_size)
    if normalize not in NORMALIZE:
        raise InputError(f"normalize must be one of {', '.join(NORMALIZE)}, got {normalize!r}")
    return reference.window_match(
        source, target, center, radius=radius, patch_size=patch_size, normalize=normalize
    )
