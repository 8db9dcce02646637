"""All frames of a bracket, merged with the network's result where they agree (docs/frames.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from apnt.bracket import Bracket
from apnt.camera import GAMMA
from apnt.prepare.choose import Choice
from apnt.prepare.noise import FrameNoise

_ROWS = 512  # of a strip
_REACH = 32  # pixels: what is saturated is compared with the network's result this near to a contradiction
_HALO = 64  # rows beyond a strip that its pixels depend on
_CLEAR, _CLIPPED = 0.80, 0.92  # display-referred: local mean from which a frame counts less, and not at all
_SATURATED = 0.95  # of a single pixel
_SCALES = ((3, 0.35), (9, 0.1))
"""Pixels a side over which differences are averaged, and the part of an edge in both that may differ: every
alignment is off by a part of a pixel, and apertures blur."""
_NOISE_LIMIT = 3.0  # standard deviations
_RELATIVE = 0.06  # by which light may differ: exposure times, curves and flare are not exact
_SYSTEMATIC = 2.5  # standard deviations of what does not average out
_DARK = 0.5  # read noise by which the dark end may be off: it is clipped at black
_AREA = (9, 0.1)  # pixels a side, and by how much the network may be off there
_AREA_WIDE = (25, 0.2)  # where its three frames are farther apart than it was trained for
_SURE = (0.05, 0.15)  # relative error from which the reference tells less, and nothing
_CORRELATED = 3.0  # noise of neighbouring pixels is alike, in JPEG files above all
_GROW = 7  # pixels: what lies this near to a contradiction is not merged either
_SOFT = 2.0  # pixels: standard deviation of the transition
_KNOWN = 0.02  # share of a frame's full weight from which a pixel counts as known
NETWORK_GAIN = 2.0
"""Precision of the network's result, in units of its three frames' merged: see docs/frames.md."""


class Merged(NamedTuple):
    """What :func:`merge` made.

    Attributes:
        image: (H, W, 3) float32 radiance, 1 = saturation of the shortest frame.
        support: (H, W) float32 in [0, 1]: share of the result that comes from frames which the network did
            not get.
        frames: (H, W) uint8: how many frames each pixel rests on.
    """

    image: np.ndarray
    support: np.ndarray
    frames: np.ndarray


def merge(bracket: Bracket, image: np.ndarray, choice: Choice, noise: FrameNoise) -> Merged:
    """Average the frames where they agree, each by its precision, and the network's result with them.

    The reference is where it starts. The other frames follow by their distance in exposure, each compared
    with the average so far: over 3x3 and 9x9 pixels, in all colours, both cut off at the light at which
    either saturates. What differs by more than noise and ``_RELATIVE`` explain is left out, with its
    surroundings.

    Args:
        bracket: prepared: aligned to its reference, linear after gamma 2.2.
        image: (H, W, 3) the network's result on the bracket's scale.
        choice: what the network got.
        noise: of every frame.
    """
    height, width = bracket.size
    out = np.empty((height, width, 3), np.float32)
    share, count = np.empty((height, width), np.float32), np.empty((height, width), np.uint8)
    for rows, inner in _strips(height):
        merged = _Strip(bracket, image[rows], choice, noise, rows).run()
        kept = slice(rows.start + inner.start, rows.start + inner.stop)
        out[kept], share[kept], count[kept] = (part[inner] for part in merged)
    return Merged(out, share, count)


def _strips(height: int) -> Iterator[tuple[slice, slice]]:
    """Rows of the image with their halo, and which of these are the strip's own."""
    for start in range(0, height, _ROWS):
        low, high = max(0, start - _HALO), min(height, start + _ROWS + _HALO)
        yield slice(low, high), slice(start - low, min(start + _ROWS, height) - low)


class _Frame(NamedTuple):
    """One frame of a strip: radiance, (h, w, 3); its variance; its standard deviation over areas; its
    weight by saturation in [0, 1]; time."""

    radiance: np.ndarray
    variance: np.ndarray
    systematic: np.ndarray
    weight: np.ndarray
    time: float

    @property
    def limit(self) -> np.ndarray:
        """(h, w, 3): its light where it is saturated, which may be any more; infinity where it is not."""
        top = np.float32(_SATURATED**GAMMA / self.time)
        return np.where(self.radiance >= top, top, np.float32(np.inf))


class _Strip:
    """The merge of a few rows: ``total / precision`` is the average so far."""

    def __init__(
        self, bracket: Bracket, image: np.ndarray, choice: Choice, noise: FrameNoise, rows: slice
    ) -> None:
        self.bracket, self.image, self.choice, self.noise, self.rows = bracket, image, choice, noise, rows
        self.total = np.zeros_like(image)
        self.precision = np.zeros_like(image)
        self.least = np.zeros_like(image)  # the light is at least this, by frames that are saturated
        self.still = np.ones(image.shape[:2], np.float32)  # far from contradictions
        top = _SATURATED**GAMMA * (image.max() if choice.short is None else 1 / bracket.times[choice.short])
        self.network_top = np.where(image < top, np.float32(np.inf), np.float32(top))
        self.systematic = np.zeros_like(image)
        self.count = np.zeros(image.shape[:2], np.uint8)

    def run(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        reference = self._frame(self.choice.reference)
        taken = reference.weight / reference.variance  # precision of the network's frames
        self.sure = self._sure(reference)
        support = np.zeros_like(taken)
        self._add(reference, np.ones(self.image.shape[:2], np.float32))
        others = sorted(
            self.bracket.others, key=lambda k: abs(np.log(self.bracket.times[k] / reference.time))
        )
        for k in others:
            self.still = np.minimum(self.still, _far_from(self._by_least(self._frame(k)) < 0.5))
        for k in others:
            frame = self._frame(k)
            part = self._add(frame, self._agreement(frame))
            if k in self.choice.taken:
                taken += frame.weight / frame.variance
            else:
                support += part
        unsure = (1 - self.still) * (1 - reference.weight.min(axis=-1) * self.sure)
        trust = np.maximum(self._network_agreement(taken), unsure)
        network = NETWORK_GAIN * taken * trust[..., None]
        network = np.maximum(network, 1e-6 * taken.max() + 1e-12)
        result = (self.total + network * self.image) / (self.precision + network)
        share = (support / (self.precision + network)).mean(axis=-1)
        return result, share, self.count

    def _frame(self, k: int) -> _Frame:
        values = self.bracket.ldr[k, self.rows]
        time = float(self.bracket.times[k])
        light = values ** np.float32(GAMMA)
        # From means, because a pixel's own noise in its own weight would bias the average.
        level = cv2.blur(light, (5, 5))
        systematic = self.noise.systematic(level)
        variance = (self.noise.variance(level) + systematic**2) / np.float32(time**2)
        weight = _ramp(cv2.blur(values, (3, 3)), _CLEAR, _CLIPPED) * (values < _SATURATED)
        if k == 0:
            weight = np.ones_like(weight)  # no other frame knows more
        if self.bracket.valid is not None:
            weight *= self.bracket.valid[k, self.rows, :, None]
        return _Frame(light / np.float32(time), variance, systematic / np.float32(time), weight, time)

    def _agreement(self, frame: _Frame) -> np.ndarray:
        """(h, w) in [0, 1]: how well a frame agrees with the average so far.

        Where no frame so far knows the light, it has to agree with the network's; far from all
        contradictions what is known to be its least is enough.
        """
        by_least = self._by_least(frame)
        by_network = self._compare(frame, self.image, self.network_top)
        agreement = np.maximum(by_least * self.still, by_network)
        return _surrounded(agreement * np.maximum(self.sure, self._like_network(frame)))

    def _sure(self, reference: _Frame) -> np.ndarray:
        """(h, w) in [0, 1]: where the reference alone tells what is there, for all its noise."""
        noise = np.sqrt(reference.variance * _CORRELATED / _SCALES[0][0] ** 2) + reference.systematic
        light = np.maximum(cv2.blur(reference.radiance, (9, 9)), 1e-9)
        return _ramp(noise / light, *_SURE).min(axis=-1)

    def _like_network(self, frame: _Frame) -> np.ndarray:
        """(h, w): where a frame has the network's brightness over an area, what either cannot see aside."""
        limit = np.minimum(self.network_top, frame.limit)
        side, relative = _AREA_WIDE if self.choice.wide else _AREA
        size = (side, side)
        first = cv2.blur(np.minimum(self.image, limit), size)
        second = cv2.blur(np.minimum(frame.radiance, limit), size)
        noise = _NOISE_LIMIT * np.sqrt(np.maximum(cv2.blur(frame.variance, size), 0) * _CORRELATED) / side
        noise += _DARK * self.noise.read / frame.time
        excess = np.abs(first - second) / (relative * np.maximum(first, second) + noise + 1e-12)
        return _ramp(excess, 1.0, 1.5).min(axis=-1)

    def _by_least(self, frame: _Frame) -> np.ndarray:
        return self._compare(frame, self.least, self.least)

    def _compare(self, frame: _Frame, unknown: np.ndarray, top: np.ndarray) -> np.ndarray:
        """(h, w): agreement with the average so far, and where that knows nothing with ``unknown``.

        Both are cut off at the light at which either is saturated; ``unknown`` is from ``top`` on.
        """
        known = self.precision > _KNOWN * np.minimum(1 / frame.variance, self.precision.max())
        limit = np.where(known, np.float32(np.inf), top)
        limit = np.minimum(limit, frame.limit)
        light = np.where(known, self.total / np.maximum(self.precision, 1e-20), unknown)
        variance = frame.variance + np.where(known, 1 / np.maximum(self.precision, 1), 0)
        reference = float(self.bracket.times[self.choice.reference])
        dark = _DARK * self.noise.read * (1 / frame.time + 1 / reference)
        allowed = dark + _SYSTEMATIC * (frame.systematic + np.where(known, self.systematic, 0))
        return _agrees(np.minimum(light, limit), np.minimum(frame.radiance, limit), variance, allowed)

    def _network_agreement(self, taken: np.ndarray) -> np.ndarray:
        """(h, w): where the network's result agrees with the average of the frames."""
        known = self.precision > _KNOWN * np.maximum(taken, 1e-20)
        so_far = np.where(known, self.total / np.maximum(self.precision, 1e-20), self.image)
        variance = 1 / np.maximum(self.precision, 1)
        dark = _DARK * self.noise.read / self.bracket.times[self.choice.reference]
        allowed = np.where(known, _SYSTEMATIC * self.systematic, 0) + np.float32(dark)
        return _surrounded(_agrees(so_far, self.image, np.where(known, variance, 0), allowed))

    def _add(self, frame: _Frame, agreement: np.ndarray) -> np.ndarray:
        """Add a frame to the average; (h, w, 3) precision that it added."""
        part = frame.weight * agreement[..., None] / frame.variance
        self.total += part * frame.radiance
        self.precision += part
        self.systematic += (frame.systematic - self.systematic) * part / np.maximum(self.precision, 1e-20)
        self.count += (frame.weight.min(axis=-1) * agreement > _KNOWN).astype(np.uint8)
        saturated = np.float32(_SATURATED**GAMMA / frame.time)
        self.least = np.where(
            (frame.radiance >= saturated) & (agreement[..., None] > 0.5),
            np.maximum(self.least, saturated),
            self.least,
        )
        return part


def _agrees(first: np.ndarray, second: np.ndarray, variance: np.ndarray, more: np.ndarray) -> np.ndarray:
    """(h, w) in [0, 1]: 1 where the local means of two images are the same within noise, in all colours."""
    difference = first - second
    edges = np.minimum(_range(first), _range(second))
    agreement = np.ones(first.shape[:2], np.float32)
    for side, shift in _SCALES:
        size = (side, side)
        mean = np.maximum(cv2.blur(variance.astype(np.float32), size), 0)
        spread = np.sqrt(mean * (_CORRELATED / side**2))
        allowed = _NOISE_LIMIT * spread + _RELATIVE * cv2.blur(np.maximum(first, 0), size) + more
        allowed += np.float32(shift) * cv2.blur(edges, size)
        excess = np.abs(cv2.blur(difference, size)) / (allowed + 1e-12)
        agreement = np.minimum(agreement, _ramp(excess, 1.0, 1.5).min(axis=-1))
    return agreement


def _range(image: np.ndarray) -> np.ndarray:
    """Largest minus smallest value of 3x3 pixels."""
    kernel = np.ones((3, 3), np.uint8)
    return cv2.dilate(image, kernel) - cv2.erode(image, kernel)


def _surrounded(agreement: np.ndarray) -> np.ndarray:
    """Less near a contradiction, without edges."""
    return cv2.GaussianBlur(cv2.erode(agreement, np.ones((_GROW, _GROW), np.uint8)), (0, 0), _SOFT)


def _far_from(contradiction: np.ndarray) -> np.ndarray:
    """(h, w) in [0, 1]: 0 within ``_REACH`` pixels of a contradiction that is more than a speck."""
    solid = cv2.erode(contradiction.astype(np.uint8), np.ones((5, 5), np.uint8))
    near = cv2.dilate(solid, np.ones((2 * _REACH + 1,) * 2, np.uint8))
    return 1 - cv2.blur(near.astype(np.float32), (9, 9))


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """1 below ``low``, 0 above ``high``, smooth between."""
    t = np.clip((high - values) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)
