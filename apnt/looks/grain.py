"""Less noise in a picture that is shown brighter than it was taken."""

from __future__ import annotations

import cv2
import numpy as np

from apnt import scratch
from apnt.looks.colour import luminance
from apnt.strips import parts, rows_of

_SIGMA = 5 / 3  # pixels: of the window in which a channel is averaged
_SOFT = 2.0  # pixels: of how shares of noise are blurred, so that no pixel stands out
_AREA = 8.0  # pixels: over which noise is as strong, about
_ROUGHER, _UNEVEN = 0.5, 10.0  # times the noise of its brightness: detail, and at most what a place may have
_HALO = 48  # rows beyond a strip that its own depend on, at most

_LEVELS = 12  # of brightness, each with noise of its own
_NOISE = 1.4  # times the median of the windows' variances: what counts as noise alone
_KEPT = 0.5  # share, in the logarithm, of the noise of luminance that is kept: it looks like grain
_LARGEST = 2.0  # of the ratios that are kept

_TILE, _TILES = 64, 8  # pixels, and tiles along each side, in which noise is measured

_Noise = tuple[np.ndarray, np.ndarray, np.ndarray]
"""(K,) mean of a channel, (K,) variance of its noise, (K,) how rough it is there: log2 of a variance."""


def without_grain(image: np.ndarray, share: float = 1.0) -> np.ndarray:
    """Take noise away, of colour all and of luminance a part; edges that stand out of it stay.

    Lee's filter of local statistics (1980) of each channel: a pixel goes towards the mean of its window by
    the share of the window's variance that noise explains. The noise of each brightness is read off the
    windows of that brightness. Where a place is rougher than those, there is more of it: elsewhere other
    frames gave the light. So the grain comes out even.

    Args:
        image: (H, W, 3) float32, linear, not negative.
        share: how much of this is done, from 0 to 1.

    Returns:
        (H, W, 3) float32, not negative.
    """
    noise = [_noise(_tiles(image[..., channel])) for channel in range(3)]
    result = scratch.empty(image.shape, np.float32)
    for rows in parts(len(image), rows_of(image.shape[1]), _HALO):
        seen = image[rows.seen]
        channels = [np.ascontiguousarray(seen[..., c]) for c in range(3)]
        means = [_mean(channel) for channel in channels]
        each = list(zip(channels, means, noise, strict=True))
        uneven = np.stack([_uneven(*one) for one in each]).max(axis=0)
        clean = np.stack([_lee(*one, uneven, share) for one in each], axis=-1)
        before, after = luminance(seen), luminance(clean)
        lit = (before > 0) & (after > 0)
        grain = np.where(lit, before, 1) / np.where(lit, after, 1)
        clean *= (np.clip(grain, 1 / _LARGEST, _LARGEST) ** (_KEPT / np.sqrt(uneven)))[..., None]
        result[rows.own] = clean[rows.inner]
    return result


def _lee(
    channel: np.ndarray, mean: np.ndarray, noise: _Noise, uneven: np.ndarray, share: float
) -> np.ndarray:
    """(H, W) of (H, W), not negative."""
    variance = _variance(channel, mean)
    explained = (
        np.interp(mean, *noise[:2]).astype(np.float32) * uneven / np.maximum(variance, np.float32(1e-30))
    )
    explained = cv2.GaussianBlur(np.minimum(explained, 1), (0, 0), _SOFT)
    return channel - explained * np.float32(share) * (channel - mean)


def _uneven(channel: np.ndarray, mean: np.ndarray, noise: _Noise) -> np.ndarray:
    """Times by which noise is of larger variance than elsewhere at the same brightness, (H, W), from 1."""
    rough = _rough(channel, mean)
    more = np.exp2(rough - np.interp(mean, noise[0], noise[2]).astype(np.float32)) - np.float32(_ROUGHER)
    return np.clip(more, 1, np.float32(_UNEVEN))


def _rough(channel: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Log2 of the geometric mean of squares around each pixel of what is finest; ``mean`` of :func:`_mean`.

    The geometric mean, because edges hardly count in it.
    """
    fine = channel - cv2.GaussianBlur(channel, (0, 0), 0.7)
    squares = np.log2(fine * fine + np.float32(1e-6) * mean * mean + np.float32(1e-30))
    return cv2.GaussianBlur(squares, (0, 0), _AREA)


def _mean(channel: np.ndarray) -> np.ndarray:
    """Of each pixel's window, (H, W)."""
    return cv2.GaussianBlur(channel, (0, 0), _SIGMA)


def _variance(channel: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Of each pixel's window, (H, W)."""
    return cv2.GaussianBlur((channel - mean) ** 2, (0, 0), _SIGMA)


def _noise(tiles: list[np.ndarray]) -> _Noise:
    """Of a channel's tiles."""
    found = [(each, _variance(tile, each), _rough(tile, each)) for tile in tiles for each in [_mean(tile)]]
    mean, variance, rough = (np.concatenate([one[k].ravel() for one in found]) for k in range(3))
    edges = np.unique(np.quantile(mean, np.linspace(0, 1, _LEVELS + 1)))
    level = np.digitize(mean, edges[1:-1])
    used = np.unique(level)
    means = np.array([mean[level == k].mean() for k in used])
    noise, roughness = (np.array([np.median(x[level == k]) for k in used]) for x in (variance, rough))
    return means, _NOISE * noise, roughness


def _tiles(channel: np.ndarray) -> list[np.ndarray]:
    """Tiles spread over (H, W), which do not depend on how it is cut into strips."""
    starts = [
        np.unique(np.linspace(0, max(0, size - _TILE), min(_TILES, -(-size // _TILE))).astype(int))
        for size in channel.shape
    ]
    return [np.ascontiguousarray(channel[y : y + _TILE, x : x + _TILE]) for y in starts[0] for x in starts[1]]
