"""Which kind of motion the blocks of two frames support, or why none can be trusted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

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
from apnt.prepare.alignment.pairs import Candidate, Pair

STILL = 0.25
"""Pixels: resampling costs more sharpness than a smaller motion costs."""

_FEWEST = 8  # blocks
_AGREEING = 0.2  # share of textured blocks that must follow the motion
_CLEAR = 0.6  # share at which no object is taken for the background
_RIVAL = 0.5  # support of another motion against this one, from which there is no telling, darker of that
_UNDISPUTED = (
    0.8  # share at which a motion is kept that is not known to a fraction of a pixel, or seen in one part
)
_SPREAD = 0.4  # share of the picture that the convex hull of those blocks must cover
_SPREAD_CLEAR = 0.1  # the same where next to nothing else is seen, as in a frame that is nearly all burnt out
_DISAGREEMENT = 0.6  # pixels of the full picture, between the motions of two halves of the blocks
_LOOSE = 4.0  # the same at most, where nothing disputes the motion and it is ten times larger
_TRIPOD = 1.4  # no motion at all is kept at this many times the least cost
_SLACK = (1.05, 0.05)  # a simpler model is kept whose cost is at most this many times the least, plus this


class Verdict(NamedTuple):
    """A motion of the full picture, or the reason for none.

    Attributes:
        homography: 3x3; the identity where there is none.
        trusted: whether there is one.
        why: in words.
        model: of :data:`apnt.prepare.alignment.motion.MODELS`, or "identity".
        residual: median shift that remains in the agreeing blocks, pixels.
        uncertainty: half the root mean square distance of the corners in two independent fits, pixels.
    """

    homography: np.ndarray
    trusted: bool
    why: str
    model: str = "identity"
    residual: float = float("nan")
    uncertainty: float = float("nan")


def judge(candidate: Candidate, pair: Pair) -> Verdict:
    """Choose the simplest motion that predicts blocks it was not fitted to, and refuse what may be wrong."""
    refusal = _doubt(candidate)
    if refusal is not None:
        return Verdict(np.eye(3), False, refusal)
    size, scale = pair.target[0].size, pair.scale()
    found, before = candidate.blocks.found.take(candidate.agreeing), candidate.homography
    half = _half(found.points, size)
    if min(half.sum(), (~half).sum()) < _FEWEST // 2:
        return Verdict(np.eye(3), False, "what moves as one lies in one part of the picture")
    costs, apart = {}, {}
    for model in ("identity", *MODELS):
        one, other = (_fitted(model, before, found.take(side), size) for side in (half, ~half))
        costs[model] = (_cost(one, before, found.take(~half)) + _cost(other, before, found.take(half))) / 2
        apart[model] = _apart(one, other, size) * max(scale)
    limit = _DISAGREEMENT
    if candidate.share >= _UNDISPUTED:
        # Better known to a pixel or two than left where it is, by many.
        limit = float(np.clip(largest_shift(before, size) * max(scale) / 10, limit, _LOOSE))
    worst = _SLACK[0] * min(costs.values()) + _SLACK[1]
    good = [model for model in costs if apart[model] <= limit and costs[model] <= worst]
    if costs["identity"] <= _TRIPOD * min(costs.values()) and candidate.share >= _CLEAR:
        good = ["identity"]
    if candidate.share < _CLEAR and apart["homography"] > limit:
        good = []  # an object's motion, seen in small parts, is told by the freest model
    if not good:
        return Verdict(np.eye(3), False, "two halves of the picture do not move as one")
    motion = _fitted(good[0], before, found, size)
    rest = move(before, found.points + found.shifts) - move(motion, found.points)
    residual = float(np.median(np.hypot(*rest.T))) * max(scale)
    full, uncertainty = rescaled(motion, scale), apart[good[0]] / 2
    shift = largest_shift(full, pair.full)
    if shift < STILL:
        return Verdict(np.eye(3), True, "it lies there already", "identity", residual, uncertainty)
    why = f"the camera moved by up to {shift:.1f} pixels"
    if apart[good[0]] > _DISAGREEMENT:
        why += f", known to about {uncertainty:.1f} only"
    return Verdict(full, True, why, good[0], residual, uncertainty)


def largest_shift(homography: np.ndarray, size: tuple[int, int]) -> float:
    """Largest displacement of a corner of a picture of (height, width), pixels."""
    ends = corners(size)
    return float(np.hypot(*(move(homography, ends) - ends).T).max())


def _doubt(candidate: Candidate) -> str | None:
    """Why a motion is refused at sight."""
    count, share = int(candidate.agreeing.sum()), candidate.share
    if candidate.blocks.textured.sum() < _FEWEST:
        return "the frames share no structure that is neither saturated nor dark"
    if share < _AGREEING:
        return f"only {share:.0%} of the structure moves as one, which may be an object"
    if count < _FEWEST:
        return f"only {count} small areas tell the motion"
    if share < _CLEAR and candidate.rival > _RIVAL:
        return "parts of the picture follow different motions, and either may be the camera's"
    if candidate.spread < (_SPREAD_CLEAR if share >= _UNDISPUTED else _SPREAD):
        return "what moves as one lies in one part of the picture"
    return None


def _fitted(model: str, before: np.ndarray, found: Shifts, size: tuple[int, int]) -> np.ndarray:
    """The motion of a kind that explains shifts that were measured after ``before``."""
    if model == "identity":
        return np.eye(3)
    if model == "homography":
        return normalized(before @ fit(model, found, size)[0])
    total = move(before, found.points + found.shifts) - found.points
    return fit(model, found._replace(shifts=total), size)[0]


def _cost(motion: np.ndarray, before: np.ndarray, found: Shifts) -> float:
    """Mean robust squared error of a motion, in squared standard deviations."""
    rest = move(before, found.points + found.shifts) - move(motion, found.points)
    distance = np.einsum("ni,nij,nj->n", rest, with_model_error(found.information), rest)
    return float(np.mean(distance / (1 + distance / 25)))


def _half(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(n,) bool: the black fields of a chessboard of six fields along the longer side."""
    return np.asarray((points // (max(size) / 6)).astype(int).sum(axis=1) % 2 == 0)


def _apart(one: np.ndarray, other: np.ndarray, size: tuple[int, int]) -> float:
    """Root mean square distance of the corners, pixels."""
    ends = corners(size)
    return float(np.sqrt(np.mean(np.sum((move(one, ends) - move(other, ends)) ** 2, axis=1))))
