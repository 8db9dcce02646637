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
        textured: (n,) bool: either picture shows structure there, so that a right motion must correlate.
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
    first = [plane[:height, :width] for plane in (target.grey, *_gradients(target.grey))]
    second = [plane[:height, :width] for plane in (moved, *_gradients(moved))]
    return _solve(first, second, weight[:height, :width], block)


def _gradients(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """d/dx and d/dy by central differences."""
    kernel = np.array([[-0.5, 0, 0.5]], dtype=np.float32)
    return cv2.filter2D(grey, cv2.CV_32F, kernel), cv2.filter2D(grey, cv2.CV_32F, kernel.T)


def _solve(first: list[np.ndarray], second: list[np.ndarray], weight: np.ndarray, block: int) -> Blocks:
    rows, columns = weight.shape[0] // block, weight.shape[1] // block

    def mean(plane: np.ndarray) -> np.ndarray:
        """(blocks,) the mean of every block."""
        return cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float64).ravel()

    share = mean(weight)
    used = share > 0.5
    per = np.where(used, share, 1.0)
    one = [plane * weight for plane in first]
    mean_1 = [mean(plane) / per for plane in one]
    mean_2 = [mean(plane * weight) / per for plane in second]

    def covariance(a: int, b: int, left: list[np.ndarray], right: list[np.ndarray]) -> np.ndarray:
        means = [mean_1 if planes is first else mean_2 for planes in (left, right)]
        product = left[a] * right[b]
        product *= weight
        return mean(product) / per - means[0][a] * means[1][b]

    c11 = {
        (a, b): covariance(a, b, first, first) for a, b in ((0, 0), (1, 1), (1, 2), (2, 2), (1, 0), (2, 0))
    }
    c12 = {(a, b): covariance(a, b, first, second) for a in range(3) for b in range(3)}
    variance = covariance(0, 0, second, second)

    spread_1, spread_2 = (np.sqrt(np.maximum(v, 1e-12)) for v in (c11[0, 0], variance))
    gain = spread_1 / spread_2
    correlation = c12[0, 0] / (spread_1 * spread_2)
    # target(x) = gain moved(x + d): instruments are the target's gradients.
    cross = gain[:, None, None] * np.stack(
        [np.stack([c12[a, b] for b in (1, 2)], axis=-1) for a in (1, 2)], axis=1
    )
    right = np.stack([c11[a, 0] - gain * c12[a, 0] for a in (1, 2)], axis=-1)
    instruments = np.stack(
        [np.stack([c11[min(a, b), max(a, b)] for b in (1, 2)], axis=-1) for a in (1, 2)], axis=1
    )
    trace = np.trace(instruments, axis1=1, axis2=2)
    ridge = (1e-3 * trace + 1e-9)[:, None, None] * np.eye(2)
    shift = np.linalg.solve(cross + ridge, right[..., None])[..., 0]
    noise = 2 * c11[0, 0] * (1 - correlation) + _FLOOR**2
    information = np.swapaxes(cross, 1, 2) @ np.linalg.solve(instruments + ridge, cross)
    # Neighbouring pixels are not independent after smoothing and demosaicing: about four make one.
    information *= (share * block**2 / 4 / noise)[:, None, None]
    information[correlation < 0.3] = 0.0
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    points = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * block - 0.5
    found = Shifts(points.astype(np.float64), shift, information)
    textured = (spread_1 > _TEXTURE) & (spread_2 > _TEXTURE)
    return Blocks(found.take(used), correlation[used], textured[used], rows * columns)
