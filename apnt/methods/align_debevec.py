"""What OpenCV offers for a hand-held bracket: AlignMTB, then Debevec's merge."""

from __future__ import annotations

import cv2
import numpy as np

from apnt.bracket import Bracket
from apnt.camera import GAMMA
from apnt.methods.medium import medium


def align_debevec(bracket: Bracket) -> np.ndarray:
    """Shift the other exposures onto the reference (Ward 2003), then merge (Debevec and Malik 1997).

    OpenCV merges 8-bit images, so the exposures are quantised to 8 bits. Of its options these score best on
    val-v1: the known response (a calibrated one loses 5 dB PSNR-mu), shifts of at most 31 pixels (63 loses
    0.3 dB), and, in the border that a shift uncovers, the exposure predicted from the reference (OpenCV's
    black loses 1 dB).

    Returns:
        (H, W, 3) float32 radiance in [0, 1].
    """
    times = bracket.times.astype(np.float32)
    frames = list(np.round(np.clip(bracket.ldr, 0, 1) * 255).astype(np.uint8))
    base, radiance = _gray(frames[bracket.reference]), medium(bracket)
    aligner = cv2.createAlignMTB(max_bits=5)
    for index in bracket.others:
        dx, dy = aligner.calculateShift(base, _gray(frames[index]))
        predicted = np.clip(radiance * times[index], 0, 1) ** (1 / GAMMA)
        frames[index] = _shifted(frames[index], dy, dx, np.round(predicted * 255).astype(np.uint8))
    merged = cv2.createMergeDebevec().process(frames, times, _response())
    return np.clip(merged, 0, 1).astype(np.float32)


def _gray(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def _shifted(frame: np.ndarray, dy: int, dx: int, border: np.ndarray) -> np.ndarray:
    """Move ``frame`` (H, W, 3) down by dy and right by dx; where nothing lands, ``border`` stays."""
    height, width = frame.shape[:2]
    moved = border.copy()
    moved[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = frame[
        max(-dy, 0) : height - max(dy, 0), max(-dx, 0) : width - max(dx, 0)
    ]
    return moved


def _response() -> np.ndarray:
    """(256, 1, 3) float32: the linear energy of each 8-bit value, the unit in which the merge answers."""
    values = np.arange(256, dtype=np.float32)
    values[0] = 1  # the merge takes logarithms; OpenCV's own linear response does the same
    curve = (values / 255) ** np.float32(GAMMA)
    return np.ascontiguousarray(np.repeat(curve[:, None, None], 3, axis=2))
