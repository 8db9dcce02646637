"""Global alignment: what the camera moved between the frames of a bracket, found or refused.

Each frame is compared with the reference frame, or, where the two have too little in common that is neither
saturated nor dark, with a frame between them that is aligned already. A first guess (no motion; what a
neighbour moved; a shift; key points) is refined from coarse to fine by the shifts of blocks
(:mod:`apnt.prepare.alignment.blocks`), of which a robust fit keeps those that follow one plane motion. The
simplest kind of motion that predicts blocks it was not fitted to is kept. A frame is refused, and stays as
it was, where too few blocks agree or two independent halves of them disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from apnt import scratch
from apnt.camera import GAMMA
from apnt.doing import doing, part_done
from apnt.errors import InputError
from apnt.prepare.alignment.motion import normalized
from apnt.prepare.alignment.pairs import View, best_motion, view
from apnt.prepare.alignment.verdict import STILL, Verdict, judge, largest_shift

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
        times: (N,) exposure times on any scale.
        reference: the frame whose geometry the others are brought to.
        response: display-referred values to linear light in [0, 1], as a function of arrays (..., 3) or as a
            table (levels,) or (levels, 3) over [0, 1]; None takes gamma 2.2 for a start, and then learns how
            one exposure becomes the other from where two frames agree.
        valid: (N, H, W) bool, pixels that hold data; None = all.

    Returns:
        One motion a frame, or why there is none.

    Raises:
        InputError: arguments that do not fit each other.
    """
    _check(ldr, times, reference, response, valid)
    doing("Aligning them", len(ldr) - 1)
    views = [view(f, float(times[k]), None if valid is None else valid[k]) for k, f in enumerate(ldr)]
    views = [v._replace(small=_as_gamma(v.small, response)) for v in views]
    found = {
        reference: FrameAlignment(
            np.eye(3), "reference", "it is the reference", "identity", reference, 0.0, 0.0, 0.0, 1.0
        )
    }
    order = np.argsort(times, kind="stable")
    rank = {int(frame): place for place, frame in enumerate(order)}
    for frame in sorted(rank, key=lambda k: abs(rank[k] - rank[reference])):
        if frame != reference:
            near = sorted(
                (k for k in found if found[k].status != "refused"), key=lambda k: abs(rank[k] - rank[frame])
            )
            found[frame] = _align_one(views, frame, reference, near, found)
            part_done()
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
        frame, matrix, (width, height), dst=scratch.empty(frame.shape, np.float32),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    inside = cv2.warpPerspective(
        known.view(np.uint8) * np.uint8(255), matrix, (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderValue=0,
    )  # fmt: skip
    return np.clip(moved, 0.0, 1.0, out=moved), inside == 255


def _align_one(
    views: list[View], frame: int, reference: int, near: list[int], found: dict[int, FrameAlignment]
) -> FrameAlignment:
    """Against the reference itself, else through the frames that are aligned already, the nearest first."""
    neighbour = found[near[0]].homography
    refused = None
    for through in [reference, *(k for k in near if k != reference)][:3]:
        base = found[through].homography
        start = neighbour if through == reference else neighbour @ np.linalg.inv(base)
        candidate, pair = best_motion(views[through], views[frame], start)
        verdict = judge(candidate, pair)
        support = float(candidate.agreeing.sum() / candidate.blocks.total)
        if verdict.trusted:
            return _accepted(verdict, found[through], through, support, pair.full)
        refused = refused or FrameAlignment(
            np.eye(3),
            "refused",
            verdict.why,
            "identity",
            through,
            0.0,
            np.nan,
            np.nan,
            support,
        )
    assert refused is not None
    return refused


def _accepted(
    verdict: Verdict, base: FrameAlignment, through: int, support: float, full: tuple[int, int]
) -> FrameAlignment:
    """The motion from the reference, where ``base`` is that of the frame that was compared with."""
    homography = normalized(verdict.homography @ base.homography)
    if base.status == "aligned":
        shift = largest_shift(homography, full)
        why = f"the camera moved by up to {shift:.1f} pixels, found through frame {through}"
    else:
        shift, why = largest_shift(verdict.homography, full), verdict.why
    status: Status = "aligned" if shift >= STILL else "still"
    return FrameAlignment(
        homography if status == "aligned" else np.eye(3), status, why, verdict.model, through,
        shift if status == "aligned" else 0.0,
        verdict.residual, float(np.hypot(verdict.uncertainty, base.uncertainty)), support,
    )  # fmt: skip


def _as_gamma(frame: np.ndarray, response: Response | None) -> np.ndarray:
    """(H, W, 3) float32: the frame as a camera of gamma 2.2 had written it."""
    if response is None:
        return frame
    if isinstance(response, np.ndarray):
        steps, table = np.linspace(0, 1, len(response)), response.reshape(len(response), -1)
        light = np.stack(
            [np.interp(frame[..., c], steps, table[:, c % table.shape[1]]) for c in range(3)], axis=-1
        )
    else:
        light = response(frame)
    return np.asarray(np.clip(light, 0, 1) ** (1 / GAMMA), dtype=np.float32)


def _check(
    ldr: np.ndarray, times: np.ndarray, reference: int, response: Response | None, valid: np.ndarray | None
) -> None:
    if ldr.ndim != 4 or ldr.shape[-1] != 3 or ldr.dtype != np.float32:
        raise InputError(f"ldr must be float32 of shape (N, H, W, 3), got {ldr.dtype} {ldr.shape}")
    if min(ldr.shape[1:3]) < 32:
        raise InputError(f"ldr must have at least 32 pixels a side, got {ldr.shape[2]}x{ldr.shape[1]}")
    if np.shape(times) != (len(ldr),):
        raise InputError(f"times must have shape ({len(ldr)},), one a frame, got {np.shape(times)}")
    if not (np.isfinite(times).all() and np.min(times) > 0):
        raise InputError(f"times must be positive, got {np.asarray(times).tolist()}")
    if not 0 <= reference < len(ldr):
        raise InputError(f"reference must be a frame from 0 to {len(ldr) - 1}, got {reference}")
    if valid is not None and (valid.shape != ldr.shape[:3] or valid.dtype != bool):
        raise InputError(f"valid must be bool of shape {ldr.shape[:3]}, got {valid.dtype} {valid.shape}")
    if isinstance(response, np.ndarray) and (
        response.ndim > 2 or response.size < 2 or response.shape[1:] not in ((), (3,))
    ):
        raise InputError(f"response must be a table (levels,) or (levels, 3), got shape {response.shape}")
