"""Op 2, ``patch_swap``: neural feature transfer (eq. 9)."""

from __future__ import annotations

from torch import Tensor

from apnt import reference
from apnt.ops import _check


def patch_swap(source: Tensor, offset: Tensor, *, patch_size: int = 3) -> Tensor:
    """Replace every patch by the patch that its offset points at, and average the overlaps (eq. 9).

    Equivalent to::

        out[x] = mean over o in the patch of source[x + offset[x - o]]

    over those ``o`` whose patch centre ``x - o`` and whose read position are both inside the image; where
    there is none, ``out`` is 0.

    Args:
        source: (N, C, H, W), the features that are moved; float32, float64, float16 or bfloat16.
            Differentiable.
        offset: (N, 2, H, W) integers (dy, dx), pixels, as :func:`apnt.ops.window_match` returns them; they
            may point outside the image.
        patch_size: odd.

    Returns:
        (N, C, H, W) in ``source``'s dtype; half precision is averaged in float32.

    Raises:
        InputError: shape, size, device or ``patch_size`` that does not fit.
        TypeError: dtype or type that does not fit.
    """
    _check.check_features("source", source)
    _check.check_vectors("offset", offset, source)
    _check.check_patch_size(patch_size)
    return reference.patch_swap(source, offset, patch_size=patch_size)
