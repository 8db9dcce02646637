"""Whether the frames of a bracket show one scene: a folder may hold a photograph of something else."""

from __future__ import annotations

import cv2
import numpy as np

_SIDE = 24  # fields along the longer side: so coarse that neither a hand-held camera nor people matter
_KNOWN = (0.02, 0.97)  # values of a field that is neither black nor saturated
_FEWEST = 60  # fields that are known in two frames, or nothing is said about them
_CONTRAST = 0.02  # standard deviation of the known fields: below, as of a wall, ranks are noise
_LIKE = 0.4
"""Rank correlation of two frames of one scene: 0.63 and more in real brackets, frames 13 stops apart among
them. Of unrelated photographs one pair in ten has more, light above and dark below, and is not found."""


def strangers(ldr: np.ndarray) -> list[int]:
    """Frames that look like no other frame, whatever the exposures and the curve.

    Where the same fields of two frames are bright and the same ones dark, their ranks correlate.

    Args:
        ldr: (N, H, W, 3) display-referred.

    Returns:
        Indices of frames whose rank correlation with every other frame that it can be compared with is below
        0.4; none where a frame can be compared with no other. Of two frames, both or none.
    """
    height, width = ldr.shape[1:3]
    scale = _SIDE / max(height, width)
    if scale >= 1:
        return []
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    fields = np.stack([cv2.resize(f, size, interpolation=cv2.INTER_AREA).mean(axis=-1).ravel() for f in ldr])
    known = (fields > _KNOWN[0]) & (fields < _KNOWN[1])
    best = np.full(len(ldr), np.nan)
    for first in range(len(ldr)):
        for second in range(first):
            both = known[first] & known[second]
            values = fields[[first, second]][:, both]
            if both.sum() < _FEWEST or values.std(axis=1).min() < _CONTRAST:
                continue
            like = _rank_correlation(*values)
            best[[first, second]] = np.fmax(best[[first, second]], like)
    return [int(k) for k in np.flatnonzero(best < _LIKE)]


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's, of values without many ties."""
    one, other = (np.argsort(np.argsort(values)).astype(np.float64) for values in (first, second))
    return float(np.corrcoef(one, other)[0, 1])
