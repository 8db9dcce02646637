"""How much darker the corners of one frame are than another's: lenses vignette more at wide apertures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np

from apnt import scratch
from apnt.bracket import Bracket
from apnt.camera import GAMMA, SATURATION
from apnt.prepare.blocks import block_means
from apnt.prepare.fit import robust_weights
from apnt.prepare.report import SEEN, Report
from apnt.strips import strips

_BLOCK = 8  # pixels a side
_USABLE = (0.08, 0.92)  # display-referred values that are neither noise nor saturation
_FLAT = (0.01, 0.06)  # largest standard deviation of a block: constant, and relative to its mean
_FEWEST = 60  # blocks that each half of the picture needs
_REACH = 0.7  # radius that a half of the picture must be seen to, of that of a corner
_LEAST = 0.04  # log gain in the corners from which it is a falloff: less is what curves leave
_ALIKE = 0.5  # part of the whole's falloff that each half must show: light that changed is not symmetric
_STEEPNESS = np.array([1.0, 0.5])  # standard deviations of the coefficients of r**2 and r**4 before any data
_ALL = slice(None)
_ERROR = 0.03  # log light that two blocks of the same light differ by


class Falloff(NamedTuple):
    """Radial gains of the frames, relative to the one whose corners are brightest.

    Attributes:
        coefficients: (N, 2) ``a, b`` of the log gain ``a r**2 + b r**4``, r = 1 in the corners.
        radius: up to which blocks say so; beyond, the gain stays as it is there.
    """

    coefficients: np.ndarray
    radius: float

    def corners(self) -> np.ndarray:
        """(N,) log gain at the largest radius that was seen, at most 0."""
        return np.asarray((_powers(np.array([self.radius])) @ self.coefficients.T)[0])

    def gain(self, k: int, size: tuple[int, int], rows: slice = _ALL) -> np.ndarray:
        """(h, W) float32: what frame ``k`` recorded of the light in these rows, 1 in the middle."""
        squared = np.minimum(_squared_radius(size, rows), np.float32(self.radius**2))
        a, b = self.coefficients[k].astype(np.float32)
        return np.exp(squared * (a + b * squared))


def estimate_falloff(bracket: Bracket) -> Falloff | None:
    """Radial gains that blocks of neighbouring frames agree about, in all parts of the picture.

    ``log(light_j / light_k) = c + a r**2 + b r**4`` over flat blocks that both record, robustly.

    Args:
        bracket: linear after gamma 2.2, on one scale, not yet aligned; a few pixels of motion do no harm.

    Returns:
        None where no two frames differ by a falloff that is significant, and seen in every half alike.
    """
    if min(bracket.size) < 8 * _BLOCK:
        return None
    blocks = [_Blocks.of(bracket, k) for k in range(len(bracket))]
    squared = scratch.empty(bracket.size, np.float32)
    for rows in strips(len(squared)):
        squared[rows] = _squared_radius(bracket.size, rows)
    radius2 = cv2.resize(squared, blocks[0].mean.shape[1::-1], interpolation=cv2.INTER_AREA)
    steps, reached, found = [np.zeros(2)], 0.0, False
    for first, second in pairwise(blocks):
        usable = first.usable & second.usable
        fit = _significant(first.mean, second.mean, usable, radius2)
        steps.append(np.zeros(2) if fit is None else fit)
        if fit is not None:
            found = True
            reached = max(reached, float(np.sqrt(np.quantile(radius2[usable.any(axis=-1)], 0.99))))
    if not found:
        return None
    coefficients = np.cumsum(steps, axis=0)
    coefficients -= coefficients[int(np.argmax(_powers(np.array([reached])) @ coefficients.T))]
    return Falloff(coefficients, reached)


def without_falloff(frame: np.ndarray, gain: np.ndarray) -> None:
    """Bring a frame (H, W, 3), linear after gamma 2.2, to even light, in place; what is saturated stays 1."""
    white = frame >= np.float32(SATURATION)
    frame /= (gain ** np.float32(1 / GAMMA))[..., None]
    np.minimum(frame, 1, out=frame)
    frame[white] = 1


def evened(bracket: Bracket, names: Sequence[str], report: Report) -> None:
    """Undo, in place, what the corners of frames lose beside others', where apertures may differ.

    Args:
        bracket: as for :func:`estimate_falloff`; its frames are overwritten.
        names: of its frames.
        report: what is done is added.
    """
    falloff = estimate_falloff(bracket)
    if falloff is None:
        return
    corners = np.log2(np.exp(falloff.corners()))
    darker = []
    for k, frame in enumerate(bracket.ldr):
        if corners[k] < -SEEN / np.log(2):
            for rows in strips(len(frame)):
                without_falloff(frame[rows], falloff.gain(k, bracket.size, rows))
            darker.append(f"{names[k]} (by up to {-corners[k]:.2f} stops)")
    if not darker:  # it comes and goes on the way to the corners
        return
    report.falloff = [float(corners[bracket.order.index(n)]) for n in range(len(bracket))]
    report.corrections.append(
        f"Corners are darker than those of {names[int(np.argmax(corners))]}: {', '.join(darker)}: corrected."
    )


class _Blocks(NamedTuple):
    """Means of blocks (h, w, 3), and whether they are flat and well exposed."""

    mean: np.ndarray
    usable: np.ndarray

    @classmethod
    def of(cls, bracket: Bracket, k: int) -> _Blocks:
        rows, columns = (n // _BLOCK for n in bracket.size)
        frame = bracket.ldr[k, : rows * _BLOCK, : columns * _BLOCK]
        mean, square = block_means(frame, _BLOCK), block_means(frame, _BLOCK, squared=True)
        sigma = np.sqrt(np.maximum(square - mean * mean, 0))
        usable = (sigma < _FLAT[0] + _FLAT[1] * mean) & (mean > _USABLE[0])
        usable &= (mean + sigma).max(axis=-1, keepdims=True) < _USABLE[1]
        if bracket.valid is not None:
            known = block_means(bracket.valid[k, : rows * _BLOCK, : columns * _BLOCK], _BLOCK)
            usable &= (known > 1 - 1e-4)[..., None]
        return cls(mean, usable)


def _significant(
    first: np.ndarray, second: np.ndarray, usable: np.ndarray, radius2: np.ndarray
) -> np.ndarray | None:
    """(2,) coefficients of the second frame relative to the first; None without a falloff."""
    height, width = radius2.shape
    halves = [np.zeros(radius2.shape, bool) for _ in range(4)]
    halves[0][: height // 2], halves[1][height // 2 :] = True, True
    halves[2][:, : width // 2], halves[3][:, width // 2 :] = True, True
    effects = []
    for part in (np.ones(radius2.shape, bool), *halves):
        inside = usable & part[..., None]
        seen = radius2[inside.any(axis=-1)]
        if len(seen) < _FEWEST or np.quantile(seen, 0.98) < _REACH**2:
            return None
        here = np.broadcast_to(radius2[..., None], inside.shape)[inside]
        fit = _fitted(GAMMA * np.log(second[inside] / first[inside]), here)
        effects.append((float(fit.sum()), fit))
    (whole, fit), parts = effects[0], [effect for effect, _ in effects[1:]]
    if abs(whole) < _LEAST or min(part * np.sign(whole) for part in parts) < _ALIKE * abs(whole):
        return None
    return fit


def _fitted(log_ratio: np.ndarray, radius2: np.ndarray) -> np.ndarray:
    """(2,) robust coefficients; the constant, an error of the exposure, is left out."""
    design = np.column_stack([np.ones(len(radius2)), _powers(np.sqrt(radius2))])
    precision = np.diag([0.0, *(1 / _STEEPNESS**2)])
    state = np.array([np.median(log_ratio), 0.0, 0.0])
    for reach in (1e9, 1e9, 8.0, 4.0, 3.0, 3.0, 3.0):
        weights = robust_weights((log_ratio - design @ state) / _ERROR, reach) / _ERROR**2
        weighted = design * weights[:, None]
        state = np.linalg.solve(weighted.T @ design + precision, weighted.T @ log_ratio)
    return state[1:]


def _powers(radius: np.ndarray) -> np.ndarray:
    """(..., 2): r**2 and r**4."""
    return np.stack([radius**2, radius**4], axis=-1)


def _squared_radius(size: tuple[int, int], rows: slice = _ALL) -> np.ndarray:
    """(h, W) float32: squared distance of these rows' pixels from the middle, 1 in the corners."""
    y, x = (np.arange(n, dtype=np.float32) - np.float32((n - 1) / 2) for n in size)
    return (y[rows, None] ** 2 + x**2) / np.float32(max(y[-1] ** 2 + x[-1] ** 2, 1e-9))
