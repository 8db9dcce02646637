"""Sub-pixel shifts of the blocks of two differently exposed pictures.

Each block is compared by its own: a gain and an offset take up the exposure and most of the tone curve (any
monotone curve leaves the estimate unbiased, because the curve's error is a function of brightness and a
block's gradients of a function of brightness sum to its boundary). One step of Lucas and Kanade (1981) in
the form of an instrumental-variable estimate: the gradients of one picture multiply those of the other, so
that noise, which differs between the two, cancels instead of voting for "no shift".
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from apnt.prepare.alignment.motion import Shifts

_FLOOR = 1.0 / 255  # display value: smallest error taken for possible, one step of 8 bits
_UNRELATED = 0.3  # correlation below which a block says nothing of a shift
_TEXTURE = 0.006  # display value: below this standard deviation, a block counts as flat


class Picture(NamedTuple):
    """(H, W) float32 brightness in [0, 1], display-referred, and where it means something (H, W) bool."""

    grey: np.ndarray
    known: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.grey.shape[0], self.grey.shape[1]


class Blocks(NamedTuple):
    """What comparing block by block found.

    Attributes:
        found: the shifts of the blocks with enough known pixels.
        correlation: (n,) in [-1, 1], of the two pictures in each block.
        textured: (n,) bool: both pictures show structure there, so that a right motion must correlate.
        total: number of blocks of the whole picture.
    """

    found: Shifts
    correlation: np.ndarray
    textured: np.ndarray
    total: int


def compare(target: Picture, frame: Picture, homography: np.ndarray, block: int) -> Blocks:
    """Shifts that remain when ``frame`` is resampled by ``homography`` (target pixels to frame pixels).

    Args:
        target, frame: two pictures.
        homography: 3x3.
        block: side of a block in pixels.

    Returns:
        The shifts (target pixels to pixels of the resampled frame) and what tells their worth.
    """
    height, width = (side // block * block for side in target.size)
    whole = target.size[::-1]
    moved = cv2.warpPerspective(
        frame.grey, homography, whole,
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    inside = cv2.warpPerspective(
        frame.known.astype(np.float32), homography, whole, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    weight = ((inside > 0.999) & target.known).astype(np.float32)
    planes = [target.grey, *_gradients(target.grey), moved, *_gradients(moved)]
    return _solve(
        _Moments([plane[:height, :width] for plane in planes], weight[:height, :width], block), block
    )


def _gradients(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """d/dx and d/dy by central differences."""
    kernel = np.array([[-0.5, 0, 0.5]], dtype=np.float32)
    return cv2.filter2D(grey, cv2.CV_32F, kernel), cv2.filter2D(grey, cv2.CV_32F, kernel.T)


class _Moments:
    """Weighted covariances of (H, W) planes within blocks."""

    def __init__(self, planes: list[np.ndarray], weight: np.ndarray, block: int) -> None:
        self.rows, self.columns = weight.shape[0] // block, weight.shape[1] // block
        self.share = self._mean(weight)
        self._per = np.maximum(self.share, 1e-6)
        self._planes, self._weighted = planes, [plane * weight for plane in planes]
        self._means = [self._mean(plane) / self._per for plane in self._weighted]

    def _mean(self, plane: np.ndarray) -> np.ndarray:
        small = cv2.resize(plane, (self.columns, self.rows), interpolation=cv2.INTER_AREA)
        return np.asarray(small, dtype=np.float64).ravel()

    def __call__(self, i: int, j: int) -> np.ndarray:
        """(blocks,) covariance of two planes."""
        product = self._mean(self._weighted[i] * self._planes[j]) / self._per
        return np.asarray(product - self._means[i] * self._means[j])

    def matrix(self, rows: list[int], columns: list[int]) -> np.ndarray:
        """(blocks, rows, columns) covariances."""
        return np.stack([np.stack([self(i, j) for j in columns], axis=-1) for i in rows], axis=1)


def _solve(moments: _Moments, block: int) -> Blocks:
    """The shift of every block; planes 0 to 2 are the target and its x and y gradient, 3 to 5 the frame's."""
    variance = np.maximum(moments(0, 0), 1e-12)
    other = np.maximum(moments(3, 3), 1e-12)
    gain = np.sqrt(variance / other)[:, None, None]
    correlation = moments(0, 3) / np.sqrt(variance * other)
    # target(x) = gain moved(x + d), multiplied by the target's gradients.
    cross = gain * moments.matrix([1, 2], [4, 5])
    right = moments.matrix([1, 2], [0]) - gain * moments.matrix([1, 2], [3])
    instruments = moments.matrix([1, 2], [1, 2])
    ridge = (1e-3 * np.trace(instruments, axis1=1, axis2=2) + 1e-9)[:, None, None] * np.eye(2)
    shift = np.linalg.solve(cross + ridge, right)[..., 0]
    information = np.swapaxes(cross, 1, 2) @ np.linalg.solve(instruments + ridge, cross)
    noise = 2 * variance * (1 - correlation) + _FLOOR**2
    # Neighbouring pixels are not independent after smoothing and demosaicing: about four make one.
    information *= (moments.share * block**2 / 4 / noise)[:, None, None]
    information[correlation < _UNRELATED] = 0.0
    x, y = np.meshgrid(np.arange(moments.columns), np.arange(moments.rows))
    points = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * block - 0.5
    used = moments.share > 0.5
    textured = np.minimum(variance, other) > _TEXTURE**2
    found = Shifts(points, shift, information)
    return Blocks(found.take(used), correlation[used], textured[used], len(used))
