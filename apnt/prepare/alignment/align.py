"""Global alignment: what the camera moved between the frames of a bracket, found or refused.

Each frame is compared with the reference frame, or, where the two have too little in common that is neither
saturated nor dark, with a frame between them that is aligned already. A first guess (no motion; what a
neighbour moved; key points) is refined from coarse to fine by the shifts of blocks
(:mod:`apnt.prepare.alignment.blocks`), of which a robust fit keeps those that follow one plane motion. The simplest
kind of motion that predicts blocks it was not fitted to is kept. A frame is refused, and stays as it was,
where too few blocks agree or two independent halves of them disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np

from apnt.errors import InputError
from apnt.prepare.alignment.blocks import Blocks, compare
from apnt.prepare.alignment.common import aligned_match, both_ends, pyramid
from apnt.prepare.alignment.keypoints import find_keypoints, guesses
from apnt.prepare.alignment.motion import (
    MODELS,
    Shifts,
    corners,
    fit,
    move,
    normalized,
    rescaled,
    with_model_error,
)

_PIXELS = 1_500_000  # refined at no more than this many
_KEYPOINT_PIXELS = 600_000
_COARSEST = 96  # pixels: shorter side of the smallest level
_STILL = 0.2  # pixels: resampling costs more sharpness than a smaller motion costs
_AGREEING = 0.2  # share of textured blocks that must follow the motion
_CLEAR = 0.6  # share at which no object is taken for the background
_SPREAD = 0.4  # share of the picture that the convex hull of those blocks must cover
_SPREAD_CLEAR = 0.1  # the same where they are a clear majority
_UNDISPUTED = 0.8  # share at which a motion is kept although it is not known to a fraction of a pixel
_TRUSTED = 0.7  # share of textured blocks at which key points are not needed
_DISAGREEMENT = 0.6  # pixels of the full picture, between the motions of two halves of the blocks
_LOOSE = 4.0  # the same at most, where nothing disputes the motion and it is ten times larger

Status = Literal["reference", "aligned", "still", "refused"]
Response = Callable[[np.ndarray], np.ndarray] | np.ndarray


@dataclass(frozen=True, eq=False)
class FrameAlignment:
    """What was found for one frame.

    Attributes:
        homography: (3, 3) float64, reference pixel coordinates (x, y, 1) to this frame's; the identity
            unless ``status`` is "aligned".
        status: "reference"; "aligned"; "still": it already lies on the reference; "refused": no motion was
            found that can be trusted, and the frame should be used as one that was not aligned.
        why: one sentence.
        model: of :data:`apnt.prepare.alignment.motion.MODELS`, or "identity".
        through: the frame it was compared with.
        shift: largest displacement that ``homography`` means for a corner, pixels.
        residual: median shift that remains in the blocks that support it, pixels; NaN where unknown.
        uncertainty: root mean square difference at the corners of motions found from two halves of the
            blocks, over two, pixels; NaN where unknown.
        support: share of the picture's area whose blocks follow the motion.
    """

    homography: np.ndarray
    status: Status
    why: str
    model: str
    through: int
    shift: float
    residual: float
    uncertainty: float
    support: float


@dataclass(frozen=True, eq=False)
class Alignment:
    """What was found for every frame of a bracket.

    Attributes:
        frames: one entry a frame, in the order of the frames.
        reference: the frame whose geometry the others are brought to.
    """

    frames: tuple[FrameAlignment, ...]
    reference: int

    @property
    def homographies(self) -> np.ndarray:
        """(N, 3, 3) float64."""
        return np.stack([frame.homography for frame in self.frames])


def align(
    ldr: np.ndarray,
    times: np.ndarray,
    reference: int,
    *,
    response: Response | None = None,
    valid: np.ndarray | None = None,
) -> Alignment:
    """Find what the camera moved between the reference and every other frame.

    Args:
        ldr: (N, H, W, 3) float32, display-referred in [0, 1].
        times: (N,) exposure times on any scale; only their order is used.
        reference: the frame whose geometry the others are brought to.
        response: display-referred values to linear light in [0, 1], as a function of arrays (..., 3) or as a
            table (levels,) or (levels, 3) over [0, 1]; None takes the values as they are, which is right
            for any curve that does not bend much within a block.
        valid: (N, H, W) bool, pixels that hold data; None = all.

    Returns:
        One motion a frame, or why there is none.

    Raises:
        InputError: arguments that do not fit each other.
    """
    _check(ldr, times, reference, response, valid)
    views = [
        _view(frame, float(times[k]), response, None if valid is None else valid[k])
        for k, frame in enumerate(ldr)
    ]
    found: dict[int, FrameAlignment] = {reference: _trivial(reference, "reference", "it is the reference")}
    order = np.argsort(times, kind="stable")
    rank = {int(frame): place for place, frame in enumerate(order)}
    for frame in sorted(rank, key=lambda k: abs(rank[k] - rank[reference])):
        if frame != reference:
            near = sorted(
                (k for k in found if found[k].status != "refused"), key=lambda k: abs(rank[k] - rank[frame])
            )
            found[frame] = _align_one(views, frame, reference, near, found)
    return Alignment(tuple(found[k] for k in range(len(ldr))), reference)


def warp(
    frame: np.ndarray, homography: np.ndarray, valid: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Bring a frame to the reference's geometry.

    Args:
        frame: (H, W) or (H, W, C) float32 in [0, 1].
        homography: (3, 3), reference pixel coordinates to this frame's.
        valid: (H, W) bool, pixels of ``frame`` that hold data; None = all.

    Returns:
        The frame, resampled by a cubic kernel and clipped to [0, 1], with its border repeated where it does
        not reach; and (H, W) bool, where it does, from valid pixels only.
    """
    height, width = frame.shape[:2]
    known = np.ones((height, width), bool) if valid is None else valid
    if np.array_equal(homography, np.eye(3)):
        return frame, known
    matrix = np.asarray(homography, dtype=np.float64)
    moved = cv2.warpPerspective(
        frame, matrix, (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    inside = cv2.warpPerspective(
        known.astype(np.uint8) * 255, matrix, (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderValue=0,
    )  # fmt: skip
    return np.clip(moved, 0.0, 1.0), inside == 255


def GAMMAC(short, long):
    z = np.linspace(0, 1, 1024)
    f = np.minimum(z * (long.time / short.time) ** (1 / 2.2), 1)
    return np.stack([f] * 3, -1).astype(np.float32)


class _Pair:
    """Two frames at one exposure and at the sizes they are compared at, fine to coarse."""

    def __init__(self, target: _View, frame: _View, curve: np.ndarray | None = None) -> None:
        self.full = target.full
        short, long = (target, frame) if target.time < frame.time else (frame, target)
        if curve is None:
            curve = GAMMAC(short, long)
        low, high = both_ends(short.small, long.small, curve)
        levels = {
            id(short): pyramid(low, short.known, _COARSEST),
            id(long): pyramid(high, long.known, _COARSEST),
        }
        self.target, self.frame = levels[id(target)], levels[id(frame)]

    def __len__(self) -> int:
        return len(self.target)

    def scale(self, level: int) -> tuple[float, float]:
        """Full size over the level's, in x and in y."""
        size = self.target[level].size
        return self.full[1] / size[1], self.full[0] / size[0]


class _View(NamedTuple):
    """One frame at the size that it is compared at."""

    full: tuple[int, int]
    time: float
    small: np.ndarray  # (h, w, 3) float32 display-referred
    known: np.ndarray  # (h, w) bool


class _Candidate(NamedTuple):
    """A motion in pixels of the finest level, and the blocks as they are after it."""

    homography: np.ndarray
    blocks: Blocks
    agreeing: np.ndarray  # (n,) bool
    share: float  # of the textured blocks that agree
    spread: float  # of the picture's area, in the convex hull of those that agree


def _view(frame: np.ndarray, time: float, response: Response | None, valid: np.ndarray | None) -> _View:
    small = _reduced(frame, _PIXELS)
    known = np.ones(small.shape[:2], bool)
    if valid is not None:
        known = cv2.resize(valid.astype(np.float32), small.shape[1::-1], interpolation=cv2.INTER_AREA) > 0.999
    return _View((frame.shape[0], frame.shape[1]), time, small, known)


def _reduced(picture: np.ndarray, pixels: int) -> np.ndarray:
    """The picture with no more than that many pixels, by area averages."""
    height, width = picture.shape[:2]
    factor = np.sqrt(height * width / pixels)
    if factor <= 1:
        return picture
    return cv2.resize(picture, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA)


def _block(size: tuple[int, int]) -> int:
    """Side of a block in pixels: several hundred blocks a picture, none below 16 pixels."""
    return int(np.clip(np.sqrt(size[0] * size[1] / 800) // 8 * 8, 16, 40))


def _align_one(
    views: list[_View], frame: int, reference: int, near: list[int], found: dict[int, FrameAlignment]
) -> FrameAlignment:
    """Against the reference itself, else through the frames that are aligned already, the nearest first."""
    neighbour = found[near[0]].homography
    first = None
    for through in [reference, *(k for k in near if k != reference)][:3]:
        base = found[through].homography
        start = neighbour if through == reference else neighbour @ np.linalg.inv(base)
        result = _pair(views[through], views[frame], start, through)
        if result.status != "refused":
            return _composed(result, base, views[frame].full)
        first = first or result
    assert first is not None
    return first


def _composed(result: FrameAlignment, base: np.ndarray, full: tuple[int, int]) -> FrameAlignment:
    """The motion from the reference, where ``base`` leads from it to the frame that was compared with."""
    if np.array_equal(base, np.eye(3)):
        return result
    homography = normalized(result.homography @ base)
    return FrameAlignment(
        **{
            **result.__dict__,
            "homography": homography,
            "shift": _largest(homography, full),
            "status": "aligned",
        }
    )


def _pair(target: _View, frame: _View, start: np.ndarray, through: int) -> FrameAlignment:
    pair = _Pair(target, frame)
    best = _refine(pair, start, len(pair) - 1)
    if best.share < _TRUSTED:
        for guessed in _guesses(pair):
            other = _refine(pair, guessed, min(2, len(pair) - 1))
            best = max(best, other, key=lambda candidate: candidate.share * candidate.spread)
            if best.share >= _CLEAR:
                break
    if REMATCH and best.agreeing.any():
        known = _agreeing_area(best, pair)
        if known.mean() > 0.01:
            best = _refine(
                _Pair(target, frame, _rematch(target, frame, best.homography, known)),
                rescaled(best.homography, pair.scale(0)),
                0,
            )
    return _judge(best, pair, through)


REMATCH = True


def _agreeing_area(candidate: _Candidate, pair: _Pair) -> np.ndarray:
    """(h, w) bool in the target: the blocks that follow the motion."""
    size = pair.target[0].size
    block = _block(size)
    area = np.zeros((size[0] // block + 1, size[1] // block + 1), np.uint8)
    place = (candidate.blocks.found.points[candidate.agreeing] // block).astype(int)
    area[place[:, 1], place[:, 0]] = 1
    return np.kron(area, np.ones((block, block), np.uint8))[: size[0], : size[1]] > 0


def _rematch(target: _View, frame: _View, homography: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The curve between two exposures, from where the frames lie on each other."""
    moved, inside = warp(frame.small, homography)
    pictures = (target.small, moved) if target.time < frame.time else (moved, target.small)
    return aligned_match(*pictures, known & inside)


def _guesses(pair: _Pair) -> list[np.ndarray]:
    """From key points, for the full picture."""
    level = next(k for k in range(len(pair)) if np.prod(pair.target[k].size) <= _KEYPOINT_PIXELS)
    points = [find_keypoints(levels[level]) for levels in (pair.target, pair.frame)]
    return [rescaled(found, pair.scale(level)) for found in guesses(*points, pair.target[level].size)]


def _refine(pair: _Pair, start: np.ndarray, coarsest: int) -> _Candidate:
    """From a motion of the full picture to one of the finest level."""
    homography = start
    for level in range(coarsest, -1, -1):
        target, frame, scale = pair.target[level], pair.frame[level], pair.scale(level)
        small = rescaled(homography, (1 / scale[0], 1 / scale[1]))
        block = _block(target.size)
        for _ in range(4 if level == coarsest else 3):
            blocks = compare(target, frame, small, block)
            if not blocks.found.information.any():
                break
            count = int((np.trace(blocks.found.information, axis1=1, axis2=2) > 4).sum())
            model = "homography" if count > 40 else "similarity" if count > 8 else "translation"
            step, _ = fit(model, blocks.found, target.size)
            small = normalized(small @ step)
        homography = rescaled(small, scale)
    blocks = compare(pair.target[0], pair.frame[0], small, _block(pair.target[0].size))
    agreeing = _agreeing(blocks)
    share = float((agreeing & blocks.textured).sum() / max(blocks.textured.sum(), 1))
    points = blocks.found.points[agreeing].astype(np.float32)
    hull = cv2.contourArea(cv2.convexHull(points)) if len(points) > 2 else 0.0
    return _Candidate(small, blocks, agreeing, share, hull / float(np.prod(pair.target[0].size)))


def _agreeing(blocks: Blocks) -> np.ndarray:
    """(n,) bool: blocks that were measured, correlate, and have no shift left worth the name."""
    information = with_model_error(blocks.found.information, 0.5)
    distance = np.einsum("ni,nij,nj->n", blocks.found.shifts, information, blocks.found.shifts)
    measured = np.linalg.eigvalsh(blocks.found.information)[:, 1] > 4
    return measured & (distance < 4) & (blocks.correlation > 0.5)


def _judge(candidate: _Candidate, pair: _Pair, through: int) -> FrameAlignment:
    """Choose the kind of motion, and refuse what cannot be trusted."""
    blocks, size = candidate.blocks, pair.target[0].size
    found = blocks.found.take(candidate.agreeing)
    support = float(len(found.points) / blocks.total)
    if not blocks.textured.any():
        return _refusal("the frames share no structure that is neither saturated nor dark", through, support)
    clear = candidate.share >= _CLEAR
    if candidate.share < _AGREEING or len(found.points) < 8:
        return _refusal(
            f"only {candidate.share:.0%} of what can be compared moves as one, which may be an object",
            through, support,
        )  # fmt: skip
    if candidate.spread < (_SPREAD_CLEAR if clear else _SPREAD):
        return _refusal("what moves as one lies in one part of the picture", through, support)
    scale = pair.scale(0)
    half = _half(found.points, size)
    fits = {model: _fitted(model, candidate.homography, found, size) for model in ("identity", *MODELS)}
    scores, apart = {}, {}
    for model in fits:
        halves = [_fitted(model, candidate.homography, found.take(side), size) for side in (half, ~half)]
        scores[model] = np.mean(
            [
                _cost(motion, candidate.homography, found.take(side))
                for motion, side in zip(halves, (~half, half), strict=True)
            ]
        )
        apart[model] = _apart(*halves, size) * max(scale)
    moved = _largest(candidate.homography, size) * max(scale)
    # Better known to a pixel or two than left where it is, by many.
    loose = candidate.share >= _UNDISPUTED
    limit = np.clip(moved / 10, _DISAGREEMENT, _LOOSE) if loose else _DISAGREEMENT
    possible = [model for model in fits if apart[model] <= limit]
    least = min(scores.values())
    if not clear and "homography" not in possible:
        possible = []  # an object's motion, seen in small parts, is told by the freest model
    good = [model for model in possible if scores[model] <= 1.05 * least + 0.05]
    if not good:
        return _refusal("two halves of the picture do not move as one", through, support)
    model = good[0]
    homography = rescaled(fits[model], scale)
    shift = _largest(homography, pair.full)
    rest = move(candidate.homography, found.points + found.shifts) - move(fits[model], found.points)
    residual = float(np.median(np.hypot(*rest.T))) * max(scale)
    facts = {"through": through, "residual": residual, "uncertainty": apart[model] / 2, "support": support}
    if shift < _STILL:
        return FrameAlignment(
            np.eye(3), "still", "it lies on the reference already", "identity", shift=0.0, **facts
        )
    why = f"the camera moved by up to {shift:.1f} pixels"
    if apart[model] > _DISAGREEMENT:
        why += f", known to about {apart[model] / 2:.1f} only"
    return FrameAlignment(homography, "aligned", why, model, shift=shift, **facts)


def _fitted(model: str, homography: np.ndarray, found: Shifts, size: tuple[int, int]) -> np.ndarray:
    """The motion of a kind that explains shifts that were measured after ``homography``."""
    if model == "identity":
        return np.eye(3)
    if model == "homography":
        return normalized(homography @ fit(model, found, size)[0])
    total = move(homography, found.points + found.shifts) - found.points
    return fit(model, found._replace(shifts=total), size)[0]


def _cost(motion: np.ndarray, homography: np.ndarray, found: Shifts) -> float:
    """Mean robust squared error of a motion in standard deviations."""
    rest = move(homography, found.points + found.shifts) - move(motion, found.points)
    distance = np.einsum("ni,nij,nj->n", rest, with_model_error(found.information), rest)
    return float(np.mean(distance / (1 + distance / 25)))


def _half(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(n,) bool: the black fields of a chessboard of six fields along the longer side."""
    field = max(size) / 6
    return (points // field).astype(int).sum(axis=1) % 2 == 0


def _apart(one: np.ndarray, other: np.ndarray, size: tuple[int, int]) -> float:
    """Root mean square distance of the corners, pixels."""
    ends = corners(size)
    return float(np.sqrt(np.mean(np.sum((move(one, ends) - move(other, ends)) ** 2, axis=1))))


def _largest(homography: np.ndarray, size: tuple[int, int]) -> float:
    """Largest displacement of a corner, pixels."""
    ends = corners(size)
    return float(np.hypot(*(move(homography, ends) - ends).T).max())


def _trivial(reference: int, status: Status, why: str) -> FrameAlignment:
    return FrameAlignment(np.eye(3), status, why, "identity", reference, 0.0, 0.0, 0.0, 1.0)


def _refusal(why: str, through: int, support: float) -> FrameAlignment:
    return FrameAlignment(
        np.eye(3), "refused", f"not aligned: {why}", "identity", through, 0.0, np.nan, np.nan, support
    )


def _check(
    ldr: np.ndarray, times: np.ndarray, reference: int, response: Response | None, valid: np.ndarray | None
) -> None:
    if ldr.ndim != 4 or ldr.shape[-1] != 3 or ldr.dtype != np.float32:
        raise InputError(f"ldr must be float32 of shape (N, H, W, 3), got {ldr.dtype} {ldr.shape}")
    if min(ldr.shape[1:3]) < 32:
        raise InputError(f"ldr must have at least 32 pixels a side, got {ldr.shape[2]}x{ldr.shape[1]}")
    if np.shape(times) != (len(ldr),):
        raise InputError(f"times must have shape ({len(ldr)},), one a frame, got {np.shape(times)}")
    if not 0 <= reference < len(ldr):
        raise InputError(f"reference must be a frame from 0 to {len(ldr) - 1}, got {reference}")
    if valid is not None and (valid.shape != ldr.shape[:3] or valid.dtype != bool):
        raise InputError(f"valid must be bool of shape {ldr.shape[:3]}, got {valid.dtype} {valid.shape}")
    if isinstance(response, np.ndarray) and (response.ndim not in (1, 2) or len(response) < 2):
        raise InputError(f"response must be a table (levels,) or (levels, 3), got shape {response.shape}")
