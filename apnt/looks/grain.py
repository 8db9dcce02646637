"""Less noise in a picture that is shown brighter than it was taken."""

from __future__ import annotations

import cv2
import numpy as np

from apnt import scratch
from apnt.across import across
from apnt.strips import parts, rows_of

_SIGMA = 5 / 3  # pixels: of the window in which a channel is averaged
_SOFT = 2.0  # pixels: of how shares of noise are blurred, so that no pixel stands out
_AREA = 3.0  # pixels: over which noise is as strong, about
_UNEVEN = 10.0  # times the noise of its brightness that a place may have, at most
_HALO = 48  # rows beyond a strip that its own depend on, at most

_LEVELS = 12  # of brightness, each with noise of its own
_NOISE = 1.1  # times the median of the windows' variances: what counts as noise alone
_KEPT = 0.65  # share, in the logarithm, of the finest noise of brightness that is kept: it looks like grain
_FINEST = 1.5  # pixels: of the blur that the finest noise does not survive
_MOST = 0.55  # share of what is fine that is taken at most: a grain of all colours stays, and edges with it
_HALVED = 0.1  # share of the noise's variance that halving leaves; of white noise 0.075, but it is not white
_LEAST_SIDE = 64  # pixels: of an image whose halved one is looked at too
_LARGEST = 2.0  # of the ratios that are kept

_TILE, _TILES = 64, 8  # pixels, and tiles along each side, in which noise is measured

_Noise = tuple[np.ndarray, np.ndarray, np.ndarray]
"""(K,) mean of a channel, (K,) variance of its noise, (K,) how rough it is there: log2 of a variance."""


def without_grain(image: np.ndarray, share: float = 1.0) -> np.ndarray:
    """Take noise away, all of it but the finest grain of brightness; edges that stand out of it stay.

    Lee's filter of local statistics (1980) of each channel: a pixel goes towards the mean of its window by
    the share of the window's variance that noise explains. The noise of each brightness is read off the
    windows of that brightness. Channels have their edges in common, and noise each of its own, so they share
    one share. The same is done to the halved image first, and again, because coarse noise would stay as
    blotches. Of what was taken, what is finest stays in part, in all channels alike: it looks like grain.

    Where a place is rougher than others of its brightness, there is more noise: elsewhere other frames gave
    the light. So the grain comes out even.

    Args:
        image: (H, W, 3) float32, linear, not negative.
        share: how much of this is done, from 0 to 1.

    Returns:
        (H, W, 3) float32, not negative.
    """
    noise = [_noise(_tiles(image[..., channel])) for channel in range(3)]
    coarse = _coarse_noise(image, noise) if min(image.shape[:2]) >= _LEAST_SIDE else None
    result = scratch.empty(image.shape, np.float32)
    for rows in parts(len(image), rows_of(image.shape[1]), _HALO):
        seen = image[rows.seen]
        clean, uneven = _lee(seen, noise, share)
        if coarse is not None:
            clean += np.float32(share) * _at(coarse, rows.seen, image.shape)
            np.maximum(clean, 0, out=clean)
        clean *= _grain(seen, clean, uneven)[..., None]
        result[rows.own] = clean[rows.inner]
    return result


def _coarse_noise(image: np.ndarray, noise: list[_Noise]) -> np.ndarray:
    """What is to be added to the image against its coarse noise, at half its size, (H/2, W/2, 3)."""
    small = scratch.empty((-(-image.shape[0] // 2), -(-image.shape[1] // 2), 3), np.float32)
    cv2.pyrDown(image, dst=small)
    own = [_noise(_tiles(small[..., channel])) for channel in range(3)]
    noise = [
        (mean, np.minimum(variance, _HALVED * np.interp(mean, *told[:2])), rough)
        for (mean, variance, rough), told in zip(own, noise, strict=True)
    ]
    added = scratch.empty(small.shape, np.float32)
    for rows in parts(len(small), rows_of(small.shape[1]), _HALO):
        seen = small[rows.seen]
        added[rows.own] = (_lee(seen, noise, 1.0)[0] - seen)[rows.inner]
    return added


def _at(coarse: np.ndarray, rows: slice, shape: tuple[int, ...]) -> np.ndarray:
    """Rows of an image that is kept at half the size, at full size."""
    first = max(0, rows.start // 2 - 2)
    last = min(shape[0], rows.stop + 4 + rows.stop % 2)
    part = coarse[first : -(-last // 2)]
    size = shape[1], last - 2 * first
    return np.asarray(cv2.pyrUp(part, dstsize=size)[rows.start - 2 * first :][: rows.stop - rows.start])


def _grain(image: np.ndarray, clean: np.ndarray, uneven: np.ndarray) -> np.ndarray:
    """The finest noise of brightness, as a ratio, (H, W): of all channels' sum, for in coloured light
    luminance would be that of the noise of green."""
    before, after = across(np.add, image), across(np.add, clean)
    lit = (before > 0) & (after > 0)
    taken = np.log(np.where(lit, before, 1) / np.where(lit, after, 1))
    taken -= cv2.GaussianBlur(taken, (0, 0), _FINEST)
    most = np.float32(np.log(_LARGEST))
    return np.exp(np.clip(np.float32(_KEPT) * taken / np.sqrt(uneven), -most, most))


def _lee(image: np.ndarray, noise: list[_Noise], share: float) -> tuple[np.ndarray, np.ndarray]:
    """The image without noise, (H, W, 3), not negative, and how uneven the noise is, (H, W)."""
    channels = [np.ascontiguousarray(image[..., c]) for c in range(3)]
    means = [_mean(channel) for channel in channels]
    each = list(zip(channels, means, noise, strict=True))
    uneven = np.stack([_uneven(*one) for one in each]).max(axis=0)
    ratio = np.zeros(image.shape[:2], np.float32)
    for channel, mean, told in each:
        level = np.interp(mean, *told[:2]).astype(np.float32) * uneven
        ratio = np.maximum(ratio, _variance(channel, mean) / np.maximum(level, np.float32(1e-30)))
    explained = np.minimum(1 / np.maximum(ratio, np.float32(1e-30)), 1)
    explained = cv2.GaussianBlur(explained, (0, 0), _SOFT)
    explained *= np.float32(share) * (1 - np.float32(1 - _MOST) / np.sqrt(uneven))
    clean = [channel - explained * (channel - mean) for channel, mean in zip(channels, means, strict=True)]
    return np.stack(clean, axis=-1), uneven


def _uneven(channel: np.ndarray, mean: np.ndarray, noise: _Noise) -> np.ndarray:
    """Times by which noise is of larger variance than elsewhere at the same brightness, (H, W), from 1."""
    rough = _rough(channel, mean)
    more = np.exp2(rough - np.interp(mean, noise[0], noise[2]).astype(np.float32))
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
