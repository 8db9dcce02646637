"""Test brackets out of photographs as a camera wrote them: a static bracket of many frames, moved by design.

Three frames of the bracket become the inputs and others, which are no inputs, the truth. Crops at offsets of
odd numbers of pixels, reduced to half, are moved against each other by halves of pixels. A piece of another
place of the same frames is pasted at another position in each of them: a moving object with the camera's own
noise and curve, exposed as the frame is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from apnt.camera import GAMMA
from apnt.io.photo import read_photo
from apnt.merge.noise import USUAL
from apnt.prepare.estimate import Estimate, estimate_response
from apnt.prepare.response import Response

_FARTHEST = 21  # pixels of the photograph by which a frame's crop is moved, at most
_OBJECT = 96  # pixels of the photograph: half axis of the object's ellipse
_STEP = (24, 60)  # pixels of the photograph that the object moves from one frame to the next
_MARGIN = 24  # pixels of the photograph around every crop: offsets, drift and the resampling kernel
_TEXTURED = (0.15, 0.7, 0.04)  # median of an object's values between these, and standard deviation above
_CLEAR, _CLIPPED = 0.8, 0.92  # values between which a frame of the truth stops counting
_WHITE = 0.985  # linear light that stays white when channels are balanced
_STILL = 0.1  # pixels: a drift below is not resampled
_ECC = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 1e-5)


@dataclass(frozen=True)
class Plan:
    """Which frames of a bracket play which part.

    Attributes:
        inputs: shortest, reference and longest.
        truth: frames that are no inputs, by ascending exposure; the first is shorter than the shortest input.
        size: height and width of the made frames; twice that is cut out of the photographs.
        crops: (y, x) of the upper left corner in the reference photograph, even.
    """

    inputs: tuple[int, int, int]
    truth: tuple[int, ...]
    size: tuple[int, int]
    crops: tuple[tuple[int, int], ...]


PLANS = {
    "phone_cat": (
        Plan((5, 7, 9), (4, 6, 8, 10), (384, 512), ((24, 2560), (24, 3560), (620, 2000), (24, 60))),
    ),
    "desk_canon_s45": (
        Plan((5, 8, 10), (3, 4, 6, 7, 9, 11, 12), (256, 352), ((24, 30), (224, 280))),
        Plan((7, 9, 12), (5, 6, 8, 10, 11), (256, 352), ((224, 30), (24, 280))),
    ),
}
"""Frames are counted from 0, the shortest."""


@dataclass(frozen=True, eq=False)
class Photographs:
    """A static bracket and what all its frames together say about the camera.

    Attributes:
        name: of its folder.
        values: N arrays (H, W, 3) uint8, by ascending exposure.
        times: (N,) seconds, as the files say.
        estimate: response and gains, from all frames.
    """

    name: str
    values: list[np.ndarray]
    times: np.ndarray
    estimate: Estimate

    def light(self, k: int, rows: slice = slice(None), columns: slice = slice(None)) -> np.ndarray:
        """(h, w, 3) float32 linear light of frame ``k`` in [0, 1], 1 = saturated."""
        return self.estimate.response.linear(self.values[k][rows, columns] / np.float32(255))

    def exposures(self, reference: int) -> np.ndarray:
        """(N, 3): seconds, times what each channel recorded relative to frame ``reference``."""
        gains = self.estimate.gains / self.estimate.gains[reference]
        return self.times[:, None] * gains


class Case(NamedTuple):
    """One test bracket.

    Attributes:
        name: of bracket and number.
        written: (3, h, w, 3) uint8, as the camera writes them.
        times: (3,) seconds, as the files say.
        known: the same frames, linear and balanced by what is known of the camera, to the power of 1 / 2.2.
        known_times: (3,) seconds, corrected by what is known.
        truth: (h, w, 3) linear, 1 = saturation of the shortest frame.
        repeated: the truth merged of every other frame of its own; of the rest: how exact it is.
        moving: (h, w) bool, covered by the object in some frame.
    """

    name: str
    written: np.ndarray
    times: np.ndarray
    known: np.ndarray
    known_times: np.ndarray
    truth: np.ndarray
    repeated: tuple[np.ndarray, np.ndarray]
    moving: np.ndarray


class Layout(NamedTuple):
    """Geometry of a case, in pixels of the photographs, (y, x).

    Attributes:
        corners: of the crops of the three inputs.
        source: upper left corner of the object where it is copied from, relative to a photograph.
        places: upper left corners where it is pasted, relative to the crops.
    """

    corners: tuple[tuple[int, int], ...]
    source: tuple[int, int]
    places: tuple[tuple[int, int], ...]


def read_photographs(folder: Path) -> Photographs:
    """Read a bracket folder, and estimate its camera's response from all frames (reduced, where large)."""
    about = json.loads((folder / "bracket.json").read_text())
    names, times = about["files_short_to_long"], np.array(about["times"], np.float64)
    values, reduced = [], []
    for name in names:
        frame = read_photo(folder / name)
        values.append(np.round(frame * 255).astype(np.uint8))
        reduced.append(_half(frame) if frame.shape[0] > 2000 else frame)
    return Photographs(folder.name, values, times, estimate_response(np.stack(reduced), times))


def draw_layout(photographs: Photographs, plan: Plan, crop: int, rng: np.random.Generator) -> Layout:
    """Odd offsets, an object with texture that the reference exposes well, and places where it fits."""
    corner = plan.crops[crop]
    offsets = [_odd(rng), (0, 0), _odd(rng)]
    corners = tuple((corner[0] + dy, corner[1] + dx) for dy, dx in offsets)
    reference = photographs.values[plan.inputs[1]]
    source = _textured(reference, rng)
    room = [2 * n - 2 * _OBJECT - 2 * _STEP[1] for n in plan.size]
    middle = [int(rng.integers(0, n)) + _STEP[1] for n in room]
    angle = rng.uniform(0, 2 * np.pi)
    steps = [-rng.uniform(*_STEP), 0.0, rng.uniform(*_STEP)]
    places = tuple(
        (middle[0] + round(step * np.sin(angle)), middle[1] + round(step * np.cos(angle))) for step in steps
    )
    return Layout(corners, source, places)


def make_case(photographs: Photographs, plan: Plan, layout: Layout, name: str) -> Case:
    """One test bracket."""
    shortest, reference, _ = plan.inputs
    response = photographs.estimate.response
    inputs = [
        composed(photographs, k, plan.size, corner, layout.source, place)
        for k, corner, place in zip(plan.inputs, layout.corners, layout.places, strict=True)
    ]
    written = np.stack([encoded(light, response) for light in inputs])
    exposures = photographs.exposures(reference)
    unit = np.median(exposures[shortest])  # light at which the shortest frame saturates is 1
    shifts = drifts(photographs, reference, plan.truth)
    frames = [
        composed(photographs, k, plan.size, layout.corners[1], layout.source, layout.places[1], shifts[k])
        for k in plan.truth
    ]
    relative = [exposures[k] / unit for k in plan.truth]
    halves = [merged(frames[start::2], relative[start::2], response) for start in (0, 1)]
    known, known_times = _balanced(written, exposures[list(plan.inputs)], response)
    return Case(
        name,
        written,
        photographs.times[list(plan.inputs)],
        known,
        known_times,
        np.clip(merged(frames, relative, response), 0, 1),
        (np.clip(halves[0], 0, 1), np.clip(halves[1], 0, 1)),
        _covered(layout, plan.size),
    )


def composed(
    photographs: Photographs,
    k: int,
    size: tuple[int, int],
    corner: tuple[int, int],
    source: tuple[int, int],
    place: tuple[int, int],
    shift: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Frame ``k`` as a camera at ``corner`` had taken it with half the pixels, the object in it.

    Args:
        photographs: the bracket.
        k: the frame.
        size: height and width of the result.
        corner: (y, x) in the photograph.
        source: (y, x) of the object in the photograph.
        place: (y, x) of the object in the crop, in pixels of the photograph.
        shift: (y, x) how far the content of this frame is moved against the reference's.

    Returns:
        (h, w, 3) float32 linear light, the mean of 2 by 2 pixels.
    """
    light = _region(photographs, k, corner, (2 * size[0], 2 * size[1]), shift)
    side = 2 * _OBJECT
    patch, mask = _region(photographs, k, source, (side, side), shift), ellipse()
    here = light[place[0] : place[0] + side, place[1] : place[1] + side]
    here[mask] = patch[mask]
    return _half(light)


def ellipse() -> np.ndarray:
    """(side, side) bool: what of its square the object covers."""
    y, x = np.mgrid[: 2 * _OBJECT, : 2 * _OBJECT] - (_OBJECT - 0.5)
    return np.asarray((y / _OBJECT) ** 2 + (x / (0.7 * _OBJECT)) ** 2 < 1)


def encoded(light: np.ndarray, response: Response) -> np.ndarray:
    """(h, w, 3) uint8: what the camera writes of linear light."""
    return np.round(response.encode(light) * 255).astype(np.uint8)


def merged(frames: list[np.ndarray], exposures: list[np.ndarray], response: Response) -> np.ndarray:
    """Average of linear frames, each by the inverse of its variance where it does not saturate.

    The variance is that of an ordinary camera, ``shot * x + read**2`` (:data:`apnt.merge.noise.USUAL`), of
    local means ``x``, so that a pixel's own noise does not choose its weight.

    Args:
        frames: (h, w, 3) linear light in [0, 1], by ascending exposure.
        exposures: (3,) each, of the channels.
        response: of the camera: it says from which light a frame is near its end.

    Returns:
        (h, w, 3) float32 radiance: light over exposure.
    """
    total, precision = np.zeros_like(frames[0]), np.zeros_like(frames[0])
    for k, (light, exposure) in enumerate(zip(frames, exposures, strict=True)):
        variance = USUAL.shot * cv2.blur(light, (5, 5)) + USUAL.read**2
        weight = exposure.astype(np.float32) ** 2 / variance
        if k > 0:  # beyond the first no other knows more
            value = cv2.dilate(response.encode(light), np.ones((3, 3), np.uint8))
            weight *= np.clip((_CLIPPED - value) / (_CLIPPED - _CLEAR), 0, 1)
        total += weight * light / exposure.astype(np.float32)
        precision += weight
    return total / precision


def drifts(
    photographs: Photographs, reference: int, frames: tuple[int, ...]
) -> dict[int, tuple[float, float]]:
    """How far the content of frames is moved against the reference's: pixels (y, x).

    OpenCV's ECC (Evangelidis and Psarakis 2008), from neighbour to neighbour by exposure, on the logarithm of
    what both can see.
    """
    found = {reference: (0.0, 0.0)}
    order = sorted({*frames, reference})
    at = order.index(reference)
    for towards, k in [*pairwise(order[at:]), *pairwise(order[at::-1])]:
        own = _shift(photographs, towards, k)
        found[k] = (found[towards][0] + own[0], found[towards][1] + own[1])
    return found


def _shift(photographs: Photographs, first: int, second: int) -> tuple[float, float]:
    """(y, x) of the second relative to the first, 0 where less than ``_STILL``."""
    times = photographs.times[[first, second]]
    reduced = photographs.values[0].shape[0] > 2000
    pictures = []
    for k, time in zip((first, second), times, strict=True):
        light = photographs.light(k).mean(axis=-1) / np.float32(time)
        light = _half(light) if reduced else light
        seen = np.minimum(light, np.float32(0.6 / times.max())) * np.float32(times.min())
        pictures.append(np.log(seen + np.float32(0.002)))
    base, moved = pictures
    everywhere, start = np.ones(base.shape, np.uint8), np.eye(2, 3, dtype=np.float32)
    _, matrix = cv2.findTransformECC(base, moved, start, cv2.MOTION_TRANSLATION, _ECC, everywhere, 5)
    x, y = (float(v) * (2 if reduced else 1) for v in matrix[:, 2])
    return (y, x) if np.hypot(x, y) >= _STILL else (0.0, 0.0)


def _region(
    photographs: Photographs,
    k: int,
    corner: tuple[int, int],
    size: tuple[int, int],
    shift: tuple[float, float],
) -> np.ndarray:
    """(h, w, 3) linear light of frame ``k`` from ``corner`` on, its drift undone."""
    top, left = corner
    if shift == (0.0, 0.0):
        return photographs.light(k, slice(top, top + size[0]), slice(left, left + size[1]))
    margin = 8
    rows, columns = (slice(c - margin, c + n + margin) for c, n in zip(corner, size, strict=True))
    wide = photographs.light(k, rows, columns)
    move = np.array([[1, 0, margin + shift[1]], [0, 1, margin + shift[0]]])
    moved = cv2.warpAffine(wide, move, size[::-1], flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    return np.clip(moved, 0, 1)


def _half(image: np.ndarray) -> np.ndarray:
    """Mean of 2 by 2 pixels."""
    return cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)


def _odd(rng: np.random.Generator) -> tuple[int, int]:
    dy, dx = (int(rng.choice([-1, 1])) * int(rng.integers(1, (_FARTHEST + 1) // 2)) * 2 for _ in range(2))
    return dy + 1, dx - 1


def _textured(frame: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """Where an object is well exposed and no plain surface."""
    low, high, spread = _TEXTURED
    side = 2 * _OBJECT
    limits = [n - side - 2 * _MARGIN for n in frame.shape[:2]]
    best, most = (0, 0), -1.0
    for _ in range(400):
        y, x = (_MARGIN + int(rng.integers(0, n)) for n in limits)
        values = frame[y : y + side : 4, x : x + side : 4].max(axis=-1) / 255
        if low < np.median(values) < high and values.std() > spread:
            return y, x
        if (score := float(np.mean((values > low) & (values < high)))) > most:
            best, most = (y, x), score
    return best


def _balanced(
    written: np.ndarray, exposures: np.ndarray, response: Response
) -> tuple[np.ndarray, np.ndarray]:
    """The frames linear, their channels balanced, to the power of 1 / 2.2; and their exposures, (3,)."""
    times = np.median(exposures, axis=1)
    frames = []
    for values, exposure, time in zip(written, exposures, times, strict=True):
        light = response.linear(values / np.float32(255))
        balanced = np.minimum(light / (exposure / time).astype(np.float32), 1)
        frames.append(np.where(light >= _WHITE, 1, balanced) ** np.float32(1 / GAMMA))
    return np.stack(frames).astype(np.float32), times


def _covered(layout: Layout, size: tuple[int, int]) -> np.ndarray:
    """(h, w) bool in the reference frame: where the object is in the reference, and, moved as the background
    is, in the others."""
    covered = np.zeros((2 * size[0], 2 * size[1]), np.uint8)
    mask, (top, left) = ellipse().astype(np.uint8), layout.corners[1]
    for corner, place in zip(layout.corners, layout.places, strict=True):
        y, x = place[0] + corner[0] - top, place[1] + corner[1] - left
        y0, x0 = max(y, 0), max(x, 0)
        part = covered[y0 : y + len(mask), x0 : x + len(mask)]
        part |= mask[y0 - y : y0 - y + part.shape[0], x0 - x : x0 - x + part.shape[1]]
    return _half(covered * 255) > 0
