"""A tone curve that leaves local contrast alone: fast local Laplacian filtering.

Paris, Hasinoff and Kautz, "Local Laplacian filters" (2011), in the sampled form of Aubry et al., "Fast local
Laplacian filters" (2014). Each coefficient of the result's Laplacian pyramid is that of the image after a
remapping which keeps differences up to about a size around the coefficient's own brightness and takes
larger ones, the edges, to where the tone curve has them. So edges keep their shape, and nothing rings.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from apnt import scratch
from apnt.strips import parts, rows_of

_SPACING = 0.6  # stops between the samples of brightness
_FINE = 3  # levels that are made a strip at a time
_PIXELS = 1 << 21  # of a strip, about
_HALO = 4  # rows beyond a strip that its own depend on, at the finest of the other levels
_WIDE = 3  # levels, the coarsest, that may follow the curve alone
_COARSEST = 4  # pixels: the shorter side of the last level, at least


def local_laplacian(
    image: np.ndarray,
    curve: Callable[[np.ndarray], np.ndarray],
    detail: float,
    size: float,
    plain: float = 0.0,
) -> np.ndarray:
    """Apply a tone curve to large differences, and a gain to small ones.

    The finest levels of the pyramids are made a strip at a time; the others are small.

    Args:
        image: (H, W) float32, log2 luminance.
        curve: increasing, of any shape to the same shape.
        detail: gain of small differences; 1 keeps them.
        size: stops; differences up to about this are small.
        plain: from 0 to 1, by how much less so the wider they are: at 1 what is as wide as the picture is as
            the curve has it.

    Returns:
        (H, W) float32.
    """
    levels = max(1, int(np.log2(max(1, min(image.shape) / _COARSEST))))
    fine = min(levels, _FINE)
    low, high = float(image.min()), float(image.max())
    count = max(2, int(np.ceil(float(np.float32(high) - np.float32(low)) / _SPACING)) + 1)
    samples = np.linspace(low, high + 1e-3, count, dtype=np.float32)
    shapes = [image.shape]
    for _ in range(fine):
        shapes.append(((shapes[-1][0] + 1) // 2, (shapes[-1][1] + 1) // 2))
    block = 1 << fine
    length = -(-rows_of(image.shape[1], _PIXELS) // block) * block
    cut = list(parts(len(image), length, _HALO * block))

    result = [scratch.empty(shape, np.float32) for shape in shapes[:-1]]
    small = np.empty(shapes[-1], np.float32)
    remapped = scratch.empty((count, *shapes[-1]), np.float32)
    small_curved = np.empty(shapes[-1], np.float32)
    for rows in cut:
        gaussian = _gaussian(image[rows.seen], fine)
        own = gaussian[0]
        curved = curve(own)
        found = [np.zeros_like(level) for level in gaussian[:-1]]
        for n, sample in enumerate(samples):
            bent = _remap(own, curved, sample, np.float32(curve(sample)), detail, size)
            rest = _add_levels(found, gaussian, bent, samples, n)
            remapped[n][_at(rows.own, shapes, fine)] = rest[_at(rows.inner, None, fine)]
        if plain > 0:
            rest = _gaussian(curved, fine)[-1]
            small_curved[_at(rows.own, shapes, fine)] = rest[_at(rows.inner, None, fine)]
        small[_at(rows.own, shapes, fine)] = gaussian[-1][_at(rows.inner, None, fine)]
        for k, level in enumerate(found):
            result[k][_at(rows.own, shapes, k)] = level[_at(rows.inner, None, k)]

    gaussian = _gaussian(small, levels - fine)
    coarse = [np.zeros_like(level) for level in gaussian[:-1]]
    for n in range(count):
        _add_levels(coarse, gaussian, remapped[n].copy(), samples, n)
    if plain > 0:
        _follow(coarse, _gaussian(small_curved, levels - fine), plain)
    output = _collapsed(curve(gaussian[-1]), coarse)
    whole = scratch.empty(image.shape, np.float32)
    for rows in cut:
        own = _collapsed(
            output[_at(rows.seen, shapes, fine)],
            [level[_at(rows.seen, shapes, k)] for k, level in enumerate(result)],
        )
        whole[rows.own] = own[rows.inner]
    return whole


def _follow(levels: list[np.ndarray], curved: list[np.ndarray], share: float) -> None:
    """Make the coarsest levels those of the curved image: the last by ``share``, those before it by less."""
    for k, level in enumerate(levels):
        own = np.float32(share * max(0.0, 1 - (len(levels) - 1 - k) / _WIDE))
        level *= 1 - own
        level += own * (curved[k] - cv2.pyrUp(curved[k + 1], dstsize=level.shape[::-1]))


def _at(rows: slice, shapes: list[tuple[int, ...]] | None, level: int) -> slice:
    """The same rows of a level; the picture's last row, where ``shapes`` tells it, may be of an odd one."""
    last = shapes is not None and rows.stop == shapes[0][0]
    stop = shapes[level][0] if shapes is not None and last else -(-rows.stop >> level)
    return slice(rows.start >> level, stop)


def _gaussian(image: np.ndarray, levels: int) -> list[np.ndarray]:
    """The image, and so many halved ones."""
    found = [image]
    for _ in range(levels):
        found.append(cv2.pyrDown(found[-1]))
    return found


def _add_levels(
    result: list[np.ndarray], gaussian: list[np.ndarray], remapped: np.ndarray, samples: np.ndarray, n: int
) -> np.ndarray:
    """Add the levels of a remapped image, which is overwritten, where the image is near its sample.

    Returns:
        What is left: the remapped image, halved as often as there are levels.
    """
    spacing = float(samples[1] - samples[0])
    for k in range(len(result)):
        coarse = cv2.pyrDown(remapped)
        share = 1 - np.abs(gaussian[k] - samples[n]) / np.float32(spacing)
        np.maximum(share, 0, out=share)
        remapped -= cv2.pyrUp(coarse, dstsize=remapped.shape[::-1])
        remapped *= share
        result[k] += remapped
        remapped = coarse
    return remapped


def _collapsed(output: np.ndarray, result: list[np.ndarray]) -> np.ndarray:
    """The image of a Laplacian pyramid, fine to coarse, and of what lies below it."""
    for level in reversed(result):
        output = cv2.pyrUp(output, dstsize=level.shape[::-1]) + level
    return np.asarray(output)


def _remap(
    image: np.ndarray, curved: np.ndarray, at: np.float32, there: np.float32, detail: float, size: float
) -> np.ndarray:
    """``curve(i) + (detail (i - g) - (curve(i) - curve(g))) exp(-(i - g)^2 / 2 size^2)``."""
    away = image - at
    near = away * away
    near *= np.float32(-0.5 / size**2)
    np.exp(near, out=near)
    away *= np.float32(detail)
    away += there
    away -= curved
    away *= near
    away += curved
    return away
