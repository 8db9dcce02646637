"""Gradient of op 1's score.

With k a target pixel, j = k + offset[k], u an offset in the patch, T the patch of target at k, S that of
source at j:

    score[k] = <S, T> / norm        share[k] = grad[k] / norm        norm_term[k] = share[k] * <S, T>
    d target[k + u] += share[k] * source[j + u] - norm_term[k] / |T|**2 * target[k + u]
    d source[j + u] += share[k] * target[k + u] - norm_term[k] / |S|**2 * source[j + u]

The norm term is the gradient through the norm; it is 0 if the score is not divided by that norm or the norm
is at its floor. ``shares_kernel`` computes both numbers for every pixel; the rest are moves of features as in
``patch_swap.py``.
"""

from __future__ import annotations

from torch import Tensor

from apnt.kernels import norms
from apnt.kernels.language import jit, on_device, sum_type, tl
from apnt.kernels.patch_swap import move, move_back
from apnt.kernels.pixels import blocks, load_features, pixel_grid, pixels_of_program


@jit
def shares_kernel(
    grad,
    source,
    target,
    offset,
    source_norm,
    target_norm,
    share,
    source_norm_term,
    target_norm_term,
    h,
    w,
    source_n,
    source_c,
    source_y,
    source_x,
    target_n,
    target_c,
    target_y,
    target_x,
    C: tl.constexpr,
    PATCH: tl.constexpr,
    BY_SOURCE: tl.constexpr,
    BY_TARGET: tl.constexpr,
    CEILING: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Maps (N, H, W): share, norm_term / |S|**2 if BY_SOURCE, and norm_term / |T|**2 if BY_TARGET.

    source_norm and target_norm are one over the floored norms; CEILING is one over the floor.
    """
    HALF: tl.constexpr = PATCH // 2
    image, plane, p, y, x, live = pixels_of_program(h, w, BLOCK_P)
    here = image * plane + p
    at = offset + image * plane + here
    to_y, to_x = y + tl.load(at, mask=live, other=0), x + tl.load(at + plane, mask=live, other=0)
    inside = live & (to_y >= 0) & (to_y < h) & (to_x >= 0) & (to_x < w)
    value = tl.load(grad + here, mask=live, other=0)
    over_source = tl.full((BLOCK_P,), 1, SUM)
    over_target = tl.full((BLOCK_P,), 1, SUM)
    if BY_SOURCE:
        over_source = tl.load(source_norm + image * plane + to_y * w + to_x, mask=inside, other=0)
    if BY_TARGET:
        over_target = tl.load(target_norm + here, mask=live, other=0)
    value *= over_source * over_target
    tl.store(share + here, value, mask=live)

    channel = tl.arange(0, BLOCK_C)
    dots = tl.zeros((BLOCK_C, BLOCK_P), SUM)
    for uy in range(-HALF, HALF + 1):
        for ux in range(-HALF, HALF + 1):
            ty, tx, sy, sx = y + uy, x + ux, to_y + uy, to_x + ux
            both = inside & (ty >= 0) & (ty < h) & (tx >= 0) & (tx < w)
            both = both & (sy >= 0) & (sy < h) & (sx >= 0) & (sx < w)
            for first in range(0, C, BLOCK_C):
                c = (first + channel).to(tl.int64)
                mask = (c < C)[:, None] & both[None, :]
                s = load_features(source, image, c, sy, sx, source_n, source_c, source_y, source_x, mask, SUM)
                t = load_features(target, image, c, ty, tx, target_n, target_c, target_y, target_x, mask, SUM)
                dots += s * t
    norm_term = value * tl.sum(dots, 0)
    if BY_SOURCE:
        term = tl.where(over_source < CEILING, norm_term * over_source * over_source, 0)
        tl.store(source_norm_term + here, term, mask=live)
    if BY_TARGET:
        term = tl.where(over_target < CEILING, norm_term * over_target * over_target, 0)
        tl.store(target_norm_term + here, term, mask=live)


def window_match_backward(
    grad_score: Tensor,
    source: Tensor,
    target: Tensor,
    offset: Tensor,
    patch_size: int,
    normalize: str,
    for_source: bool,
    for_target: bool,
    deterministic: bool,
) -> tuple[Tensor, Tensor]:
    """Implementation of ``apnt_triton::window_match_backward``; a gradient that is not requested has
    shape (0,)."""
    n, c, h, w = source.shape
    if n == 0:
        return tuple(
            source.new_empty(source.shape if wanted else (0,)) for wanted in (for_source, for_target)
        )
    by_source, by_target = normalize in ("search", "cosine"), normalize in ("cosine", "paper")
    grad_score = grad_score.contiguous()
    share, source_norm_term, target_norm_term = grad_score, None, None
    if by_source or by_target:
        share = grad_score.new_empty((n, h, w))
        source_norm_term = grad_score.new_empty((n, h, w)) if by_source else None
        target_norm_term = grad_score.new_empty((n, h, w)) if by_target else None
        with on_device(source):
            shares_kernel[pixel_grid(share)](
                grad_score,
                source,
                target,
                offset,
                # A map that is neither read nor written may be any pointer.
                norms.reciprocal_norms(source, patch_size) if by_source else share,
                norms.reciprocal_norms(target, patch_size) if by_target else share,
                share,
                source_norm_term if by_source else share,
                target_norm_term if by_target else share,
                h,
                w,
                *source.stride(),
                *target.stride(),
                C=c,
                PATCH=patch_size,
                BY_SOURCE=by_source,
                BY_TARGET=by_target,
                CEILING=1 / norms.FLOOR,
                SUM=sum_type(source.dtype),
                **blocks(c, h, w),
            )
    grad_source, grad_target = source.new_empty((0,)), source.new_empty((0,))
    if for_source:
        grad_source = move_back(
            target,
            offset,
            patch_size,
            source.dtype,
            deterministic,
            weight=share,
            own=source,
            norm_term=source_norm_term,
        )
    if for_target:
        grad_target = move(source, offset, patch_size, weight=share, own=target, norm_term=target_norm_term)
    return grad_source, grad_target
