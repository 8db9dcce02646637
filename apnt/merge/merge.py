"""All frames of a bracket, merged with the network's result where they agree (docs/frames.md)."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import NamedTuple

import cv2
import numpy as np

from apnt import scratch
from apnt.bracket import Bracket
from apnt.doing import doing, part_done
from apnt.memory import give_back
from apnt.merge.compare import (
    CORRELATED,
    DARK,
    NOISE_LIMIT,
    RELATIVE,
    SYSTEMATIC_LIMIT,
    Frame,
    agreement,
    frame_of,
    largest,
    meet,
    ramp,
    smallest,
)
from apnt.merge.noise import FrameNoise
from apnt.merge.still import at_full_size, still_map
from apnt.merge.three_frames import Choice
from apnt.strips import Part, parts

NETWORK_GAIN = 2.0
"""Precision of the network's result, in units of its three frames' merged: see docs/frames.md."""

TILE_PIXEL = 450
"""Bytes that merging takes for a pixel of a tile, measured: 37 arrays (h, w, 3) in float32."""
_ROWS, _COLUMNS = 256, 2048  # of a tile, even
_HALO = 32  # pixels beyond a tile that its own depend on, even
_FILE_PIXEL = 3 * 4  # bytes of a picture in float32
_MOST_THREADS = 4  # each holds a tile of every array
_GROW = 7  # pixels: what lies this near to a contradiction is not merged either
_SOFT = 2.0  # pixels: standard deviation of the transition
_KNOWN = 0.02  # share of a frame's full weight from which a pixel counts as known
_LIKE_NETWORK = 0.1  # part of the light by which the network may be off where the reference is saturated
_AREA = (9, 0.1)  # pixels a side, and by how much the network may be off there
_AREA_WIDE = (25, 0.35)  # where its three frames are farther apart than it was trained for
_SURE = (0.05, 0.15)  # relative error from which an average tells less, and nothing
_NOTHING = np.float32(1e-20)


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
    with the average so far, over 3x3 and 9x9 pixels and in all colours. What differs by more than noise,
    exposure and alignment explain is left out, with its surroundings.

    Args:
        bracket: prepared: aligned to its reference, linear after gamma 2.2.
        image: (H, W, 3) float32, the network's result on the bracket's scale.
        choice: what the network got.
        noise: of every frame.
    """
    height, width = bracket.size
    out = scratch.empty((height, width, 3), np.float32)
    share = scratch.empty((height, width), np.float32)
    count = scratch.empty((height, width), np.uint8)
    doing("Looking for what moved")
    still = still_map(bracket, noise)

    def run(rows: Part, columns: Part) -> None:
        part = rows.seen, columns.seen
        near = at_full_size(still, *part)
        merged = _Tile(bracket, image[part], choice, noise, part, near).run()
        own, inner = (rows.own, columns.own), (rows.inner, columns.inner)
        out[own], share[own], count[own] = (found[inner] for found in merged)

    tiles = list(product(parts(height, _ROWS, _HALO), parts(width, _COLUMNS, _HALO)))
    # NumPy and OpenCV let go of the interpreter while they work.
    threads = scratch.at_once(min(_MOST_THREADS, os.cpu_count() or 1), tile_bytes(bracket.size))
    doing("Merging the frames", len(tiles))
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(run, *zip(*tiles, strict=True)):
            part_done()
    give_back()
    return Merged(out, share, count)


def tile_bytes(size: tuple[int, int]) -> int:
    """Bytes that merging takes for the largest tile of a picture of this height and width.

    Files are read in whole pages, which hold whole rows: those of a frame, of the network's result and of
    what is written come on top.
    """
    height, width = size
    rows = min(height, _ROWS + 2 * _HALO)
    return rows * (min(width, _COLUMNS + 2 * _HALO) * TILE_PIXEL + width * 3 * _FILE_PIXEL)


class _Tile:
    """The merge of a part of the picture: ``total / precision`` is the average so far."""

    def __init__(
        self,
        bracket: Bracket,
        image: np.ndarray,
        choice: Choice,
        noise: FrameNoise,
        part: tuple[slice, slice],
        still: np.ndarray,
    ) -> None:
        self.bracket, self.image, self.choice, self.noise = bracket, image, choice, noise
        self.part, self.still = part, still
        self.reference_time = float(bracket.times[choice.reference])
        self.total = np.zeros_like(image)
        self.precision = np.zeros_like(image)
        self.systematic = np.zeros_like(image)
        self.less = np.zeros_like(image)  # by how much less the light may be
        self.least = np.zeros_like(image)  # the light is at least this, by frames that are saturated
        self.established = np.zeros_like(image)  # in [0, 1]: how far the average can be relied on
        self.count = np.zeros(image.shape[:2], np.uint8)
        # Where the network's short frame is saturated, its result may be any more.
        top = noise.ends.full * np.float32(1 / bracket.times[choice.taken[0]])
        self.network_top = np.where(image < top, np.float32(np.inf), top)
        # And what it shows beside that, is a bound as in that frame.
        beside = largest((image >= top).astype(np.float32))[..., None]
        self.network_less = image * (beside * noise.ends.excess)

    def run(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Result (h, w, 3), share of the supporting frames (h, w), number of frames (h, w)."""
        reference = self._frame(self.choice.reference)
        taken = reference.precision  # precision of the network's frames
        support = np.zeros_like(taken)
        refused = np.zeros_like(taken)  # precision of the shorter frames that contradict the others
        self._add(reference, np.ones(self.image.shape[:2], np.float32))
        # By what it measures: where a channel comes to saturation it counts less and less, and is not dark.
        self.sure = self._sure(np.where(self.precision > 0, 1 / reference.variance, np.float32(0)))
        stops = np.abs(np.log2(self.bracket.times / self.reference_time))
        for k in sorted(self.bracket.others, key=lambda k: float(stops[k])):
            frame = self._frame(k)
            part = self._add(frame, self._agreement(frame))
            if k in self.choice.taken:
                taken += frame.precision
            else:
                support += part
                if k < self.choice.reference:
                    refused = np.maximum(refused, frame.precision - part)
        network = np.float32(NETWORK_GAIN) * taken * self._trust(taken)[..., None]
        # Where nothing else is known it stands for what a frame would have shown that does not agree.
        network = np.maximum(network, refused - (self.precision - support))
        network = np.maximum(network, _NOTHING)
        whole = self.precision + network
        result = (self.total + network * self.image) / whole
        return result, (support / whole).mean(axis=-1), self.count

    def _frame(self, k: int) -> Frame:
        valid = None if self.bracket.valid is None else self.bracket.valid[k][self.part]
        time = float(self.bracket.times[k])
        frame = frame_of(self.bracket.ldr[k][self.part], time, self.noise, valid, shortest=k == 0)
        scratch.let_go()  # or rows of all frames would gather
        return frame

    def _add(self, frame: Frame, agreed: np.ndarray) -> np.ndarray:
        """Add a frame to the average; (h, w, 3) precision that it added."""
        part = frame.precision * agreed[..., None]
        self.total += part * frame.radiance
        self.precision += part
        share = part / np.maximum(self.precision, _NOTHING)
        self.systematic += (frame.systematic - self.systematic) * share
        self.less += (frame.less - self.less) * share
        clear = frame.weight > np.float32(0.5)
        self.established = np.maximum(self.established, clear * agreed[..., None])
        self.count += (smallest(frame.weight) * agreed > _KNOWN).astype(np.uint8)
        saturated = (frame.radiance >= frame.top) & (agreed[..., None] > 0.5)
        # Beside another saturated channel one may have come to its end before.
        least = np.maximum(frame.top - frame.less, self.least)
        self.least = np.where(saturated, least, self.least)
        return part

    def _agreement(self, frame: Frame) -> np.ndarray:
        """(h, w) in [0, 1]: how well a frame agrees with the average so far.

        Where no frame so far knows the light, it has to agree with the network's; far from all
        contradictions what is known to be its least is enough. Where the reference is too dark to tell, the
        network's brightness counts, too.
        """
        known = self.established > np.float32(0.5)
        none = np.float32(0)
        agreed = self._compare(frame, known, self.least, none, self.least, RELATIVE)
        if not known.all():
            by_network = self._compare(
                frame, known, self.image, self.network_less, self.network_top, _LIKE_NETWORK
            )
            # One channel that is known tells what is there.
            told = np.maximum(self.still, largest(known.astype(np.float32)))
            # What agrees with an average of which little is sure is not surer than that.
            agreed = np.maximum(agreed * told, by_network)
            agreed = np.minimum(agreed, smallest(np.where(known, self.established, np.float32(1))))
        if self.sure.min() < 1:
            agreed = agreed * np.maximum(self.sure, self._like_network(frame))
        return _surrounded(agreed)

    def _compare(
        self,
        frame: Frame,
        known: np.ndarray,
        unknown: np.ndarray,
        unknown_less: np.ndarray | np.float32,
        top: np.ndarray,
        relative: float,
    ) -> np.ndarray:
        """(h, w): agreement with the average so far, and where that knows nothing with ``unknown``.

        Either may be any more where it is saturated, the average where nothing is known from ``top`` on; and
        less beside that.
        """
        limit = np.minimum(np.where(known, np.float32(np.inf), top), frame.limit)
        light = np.where(known, self.total / np.maximum(self.precision, _NOTHING), unknown)
        variance = frame.variance + np.where(known, 1 / np.maximum(self.precision, 1), np.float32(0))
        dark = DARK * self.noise.read * (1 / frame.time + 1 / self.reference_time)
        systematic = frame.systematic + np.where(known, self.systematic, np.float32(0))
        allowed = np.float32(dark) + np.float32(SYSTEMATIC_LIMIT) * systematic
        less = np.where(known, self.less, unknown_less)
        first, second = meet(np.minimum(light, limit), np.minimum(frame.radiance, limit), less, frame.less)
        return agreement(first, second, variance, allowed, relative)

    def _like_network(self, frame: Frame) -> np.ndarray:
        """(h, w): where a frame has the network's brightness over an area, what either cannot see aside."""
        limit = np.minimum(self.network_top, frame.limit)
        side, relative = _AREA_WIDE if self.choice.wide else _AREA
        size = (side, side)
        first = cv2.blur(np.minimum(self.image, limit), size)
        second = cv2.blur(np.minimum(frame.radiance, limit), size)
        noise = np.sqrt(np.maximum(cv2.blur(frame.variance, size), 0))
        allowed = np.float32(NOISE_LIMIT * CORRELATED**0.5 / side) * noise
        allowed += np.float32(DARK * self.noise.read / frame.time)
        allowed += np.float32(relative) * np.maximum(first, second)
        return ramp(largest(np.abs(first - second) / (allowed + np.float32(1e-12))), 1.0, 1.5)

    def _sure(self, precision: np.ndarray) -> np.ndarray:
        """(h, w) in [0, 1]: where the average so far is not too noisy to tell what is there.

        ``precision``, (h, w, 3), is 0 where nothing is known.
        """
        variance = 1 / np.maximum(precision, 1)
        noise = np.sqrt(variance) * np.float32(CORRELATED**0.5 / 3) + self.systematic
        light = cv2.blur(self.total / np.maximum(self.precision, _NOTHING), (9, 9))
        relative = np.where(precision > 0, noise / np.maximum(light, np.float32(1e-9)), np.float32(0))
        return ramp(largest(relative), *_SURE)

    def _trust(self, taken: np.ndarray) -> np.ndarray:
        """(h, w) in [0, 1]: where the network's result counts.

        Where it agrees with the average of the frames. Where something moved nearby and no frame agreed, or
        where all that is known is too dark to tell, the network knows better.
        """
        known = self.precision > np.float32(_KNOWN) * np.maximum(taken, _NOTHING)
        average = np.where(known, self.total / np.maximum(self.precision, _NOTHING), self.image)
        variance = np.where(known, 1 / np.maximum(self.precision, 1), np.float32(0))
        systematic = np.where(known, self.systematic, np.float32(0))
        allowed = np.float32(SYSTEMATIC_LIMIT) * systematic
        allowed += np.float32(DARK * self.noise.read / self.reference_time)
        average, image = meet(
            average, self.image, np.where(known, self.less, np.float32(0)), self.network_less
        )
        agreed = _surrounded(agreement(average, image, variance, allowed))
        alone = 1 - np.clip(smallest(self.precision / np.maximum(taken, _NOTHING)), 0, 1)
        return np.maximum(agreed, np.maximum((1 - self.still) * alone, 1 - self._sure(self.precision)))


def _surrounded(agreed: np.ndarray) -> np.ndarray:
    """Less near a contradiction, without edges."""
    return cv2.GaussianBlur(cv2.erode(agreed, np.ones((_GROW, _GROW), np.uint8)), (0, 0), _SOFT)
