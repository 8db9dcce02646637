"""The motion between two differently exposed frames, from coarse to fine."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from apnt.prepare.alignment.blocks import Blocks, Picture, compare
from apnt.prepare.alignment.common import aligned_match, both_ends, gamma_match, pyramid
from apnt.prepare.alignment.keypoints import find_keypoints, guesses
from apnt.prepare.alignment.motion import Shifts, fit, move, normalized, rescaled, with_model_error
from apnt.prepare.shift import frame_shifts

_PIXELS = 1_500_000  # refined at no more than this many
_KEYPOINT_PIXELS = 600_000
_COARSEST = 96  # pixels: shorter side of the smallest level
_TRUSTED = 0.7  # share of textured blocks at which key points are not needed
_SIMPLER = 0.8  # of the support of a homography, at which a similarity is believed instead
_WELL = 4.0  # pixels**-2: information of a shift known to half a pixel


class View(NamedTuple):
    """One frame at the size that it is compared at.

    Attributes:
        full: height and width of the frame.
        time: exposure time on the scale of all.
        small: (h, w, 3) float32 display-referred in [0, 1].
        known: (h, w) bool, where it holds data.
    """

    full: tuple[int, int]
    time: float
    small: np.ndarray
    known: np.ndarray


class Pair(NamedTuple):
    """Two frames at one exposure and at the sizes that they are compared at, fine to coarse."""

    full: tuple[int, int]
    target: list[Picture]
    frame: list[Picture]

    def scale(self, level: int = 0) -> tuple[float, float]:
        """Full size over the level's, in x and in y."""
        size = self.target[level].size
        return self.full[1] / size[1], self.full[0] / size[0]


class Candidate(NamedTuple):
    """A motion, and how the blocks of the finest level lie after it.

    Attributes:
        homography: 3x3, target pixels of the finest level to frame pixels.
        blocks: what is left there.
        agreeing: (n,) bool of those blocks.
        share: of the textured blocks that agree.
        spread: share of the picture that the convex hull of the agreeing blocks covers.
        rival: how much of the structure follows another motion, and how far spread, against this one.
    """

    homography: np.ndarray
    blocks: Blocks
    agreeing: np.ndarray
    share: float
    spread: float
    rival: float = 0.0


def view(frame: np.ndarray, time: float, valid: np.ndarray | None) -> View:
    """Reduce a frame (H, W, 3) and where it is valid (H, W) by area averages."""
    height, width = frame.shape[:2]
    factor = np.sqrt(height * width / _PIXELS)
    size = (width, height) if factor <= 1 else (round(width / factor), round(height / factor))
    small = frame if factor <= 1 else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    known = np.ones(small.shape[:2], bool)
    if valid is not None:
        known = cv2.resize(valid.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.999
    return View((height, width), time, small, known)


def best_motion(target: View, frame: View, start: np.ndarray) -> tuple[Candidate, Pair]:
    """The motion that most of the picture follows.

    Args:
        target, frame: two views of one size.
        start: 3x3, a first guess in pixels of the full frames; key points give others where it fails.
    """
    pair = _pair(target, frame, gamma_match(*sorted((target.time, frame.time))))
    best = _refine(pair, start, len(pair.target) - 1)
    most, tried = "homography", [best]
    if best.share < _TRUSTED:
        # A shift is found in a tenth of the time that key points take, and is often all there is.
        shifted = _refine(pair, _shift(target, frame, pair), len(pair.target) - 1)
        best = shifted if shifted.share >= _TRUSTED else best
    if best.share < _TRUSTED:
        level = min(2, len(pair.target) - 1)
        guessed = _guesses(pair)
        for guess in guessed:
            tried.append(_refine(pair, guess, level))
            best = max(best, tried[-1], key=_worth)
            if best.share >= _TRUSTED:
                break
    if best.share < _TRUSTED:
        # A homography can bend to clouds and ground at once, where each moved by its own.
        simple = [
            _refine(pair, _similar(guess, pair.full), level, "similarity") for guess in [start, *guessed]
        ]
        if _worth(max(simple, key=_worth)) > _SIMPLER * _worth(best):
            best, most = max(simple, key=_worth), "similarity"
    known = _area(best, pair)
    if not known.any():
        return best, pair
    # Where the frames agree, they tell how the camera's curve takes one exposure to the other.
    moved = [cv2.warpPerspective(frame.small, best.homography, known.shape[::-1], flags=_BACKWARD)]
    moved.insert(0 if target.time < frame.time else 1, target.small)
    again = _pair(target, frame, aligned_match(moved[0], moved[1], known), levels=1)
    best = _refine(again, rescaled(best.homography, pair.scale()), 0, most)
    return best._replace(rival=max(_rival(best, other, again) for other in tried)), again


_BACKWARD = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


def _pair(target: View, frame: View, curve: np.ndarray, levels: int | None = None) -> Pair:
    in_order = target.time < frame.time
    darker, brighter = (target, frame) if in_order else (frame, target)
    pictures = both_ends(darker.small, brighter.small, curve)
    first, second = (
        pyramid(picture, which.known, _COARSEST)[:levels]
        for picture, which in zip(pictures, (darker, brighter), strict=True)
    )
    return Pair(target.full, *((first, second) if in_order else (second, first)))


def _shift(target: View, frame: View, pair: Pair) -> np.ndarray:
    """The shift by which the frames correlate best, for the full frames."""
    down, right = frame_shifts([frame.small, target.small])[0]
    return rescaled(np.array([[1.0, 0, right], [0, 1, down], [0, 0, 1]]), pair.scale())


def _guesses(pair: Pair) -> list[np.ndarray]:
    """From key points, for the full frames."""
    level = next(k for k, picture in enumerate(pair.target) if np.prod(picture.size) <= _KEYPOINT_PIXELS)
    here, there = (find_keypoints(levels[level]) for levels in (pair.target, pair.frame))
    return [rescaled(found, pair.scale(level)) for found in guesses(here, there, pair.target[level].size)]


def _worth(candidate: Candidate) -> float:
    """Structure that follows an object's motion lies in one part of the picture, the camera's everywhere."""
    return candidate.share * candidate.spread


def _rival(best: Candidate, other: Candidate, pair: Pair) -> float:
    """What follows ``other`` and not ``best``, against what follows ``best``."""
    taken = _area(best, pair)
    column, row = other.blocks.found.points.astype(int).T
    alone = _supported(other.homography, other.blocks, other.agreeing & ~taken[row, column], pair)
    return _worth(alone) / max(_worth(best), 1e-6)


def _similar(homography: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The similarity nearest to a motion over a picture of (height, width)."""
    grid = np.stack(np.meshgrid(*(np.linspace(0, side - 1, 5) for side in size[::-1])), -1).reshape(-1, 2)
    shifts = move(homography, grid) - grid
    return fit("similarity", Shifts(grid, shifts, np.tile(np.eye(2), (len(grid), 1, 1))), size)[0]


def _refine(pair: Pair, start: np.ndarray, coarsest: int, most: str = "homography") -> Candidate:
    """From a motion of the full frames to one of the finest level, by no freer models than ``most``."""
    homography = start
    for level in range(coarsest, -1, -1):
        target, frame, scale = pair.target[level], pair.frame[level], pair.scale(level)
        small = rescaled(homography, (1 / scale[0], 1 / scale[1]))
        for _ in range(4 if level == coarsest else 3):
            found = compare(target, frame, small, block_of(target.size)).found
            count = int((np.trace(found.information, axis1=1, axis2=2) > _WELL).sum())
            if count < 2:
                break
            # What the blocks can bear, so that a coarse level does not bend the picture.
            model = most if count > 40 else "similarity" if count > 8 else "translation"
            small = normalized(small @ fit(model, found, target.size)[0])
        homography = rescaled(small, scale)
    return _candidate(pair, small)


def _candidate(pair: Pair, homography: np.ndarray) -> Candidate:
    size = pair.target[0].size
    blocks = compare(pair.target[0], pair.frame[0], homography, block_of(size))
    return _supported(homography, blocks, _agreeing(blocks), pair)


def _supported(homography: np.ndarray, blocks: Blocks, agreeing: np.ndarray, pair: Pair) -> Candidate:
    share = float((agreeing & blocks.textured).sum() / max(blocks.textured.sum(), 1))
    points = blocks.found.points[agreeing].astype(np.float32)
    hull = cv2.contourArea(cv2.convexHull(points)) if len(points) > 2 else 0.0
    return Candidate(homography, blocks, agreeing, share, float(hull / np.prod(pair.target[0].size)))


def _agreeing(blocks: Blocks) -> np.ndarray:
    """(n,) bool: blocks that were measured, correlate, and have no shift left beyond half a pixel or so."""
    found = blocks.found
    information = with_model_error(found.information, 0.5)
    distance = np.einsum("ni,nij,nj->n", found.shifts, information, found.shifts)
    measured = np.linalg.eigvalsh(found.information)[:, 1] > _WELL
    return measured & (distance < 4) & (blocks.correlation > 0.5)


def _area(candidate: Candidate, pair: Pair) -> np.ndarray:
    """(h, w) bool of the target's finest level: the blocks that agree."""
    height, width = pair.target[0].size
    block = block_of((height, width))
    area = np.zeros((height // block + 1, width // block + 1), bool)
    column, row = (candidate.blocks.found.points[candidate.agreeing] // block).astype(int).T
    area[row, column] = True
    return np.kron(area, np.ones((block, block), bool))[:height, :width]


def block_of(size: tuple[int, int]) -> int:
    """Side of a block in pixels: several hundred blocks a picture, none below 16 pixels."""
    return int(np.clip(np.sqrt(size[0] * size[1] / 800) // 8 * 8, 16, 40))
