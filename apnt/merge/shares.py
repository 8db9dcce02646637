"""What a fused image rests on, as shares of its pixels."""

from __future__ import annotations

import numpy as np

from apnt.across import across
from apnt.bracket import Bracket
from apnt.camera import GAMMA, SATURATION
from apnt.merge.merge import Merged
from apnt.methods import Maps
from apnt.strips import strips

UNCERTAIN = 0.05
"""Expected absolute error after the mu-law, from which a pixel counts as uncertain."""
_WRONG = 0.1  # display-referred: what is found differs by this much from the reference


def shares_of(bracket: Bracket, merged: Merged | None, three: Bracket, maps: Maps | None) -> dict[str, float]:
    """Shares of the pixels, each in [0, 1].

    Returns:
        ``saturated``: some colour is saturated in every frame that holds data. ``invalid``: no frame holds
        data. ``one_frame``: one frame alone is not saturated there, and where frames were merged
        agrees. ``support``:
        mean share of the result that comes from frames which the network did not get. With maps that hold a
        match also ``beyond_search``: see :func:`beyond_search`; with maps that hold an expected error also
        ``uncertain``: it is above :data:`UNCERTAIN`.
    """
    counts = np.zeros(3, np.int64)
    for rows in strips(bracket.size[0]):
        counts += _count(bracket, rows, None if merged is None else merged.frames[rows])
    saturated, invalid, one_frame = (counts / np.prod(bracket.size)).tolist()
    shares = {
        "saturated": saturated,
        "invalid": invalid,
        "one_frame": one_frame,
        "support": 0.0 if merged is None else float(merged.support.mean()),
    }
    if maps is not None and maps.offset is not None and maps.reach:
        shares["beyond_search"] = float(beyond_search(three, maps.offset, maps.reach).mean())
    if maps is not None and maps.error is not None:
        shares["uncertain"] = float((maps.error > UNCERTAIN).mean())
    return shares


def _count(bracket: Bracket, rows: slice, frames: np.ndarray | None) -> np.ndarray:
    """Pixels of these rows that are saturated, that no frame shows, and that rest on one frame."""
    ldr = bracket.ldr[:, rows]
    valid = np.ones(ldr.shape[:3], bool) if bracket.valid is None else bracket.valid[:, rows]
    saturated = np.ones(ldr.shape[1:], bool)
    usable = np.zeros(ldr.shape[1:3], np.uint8)
    for frame, holds in zip(ldr, valid, strict=True):
        blown = frame >= SATURATION
        saturated &= blown | ~holds[..., None]
        usable += holds & ~across(np.logical_or, blown)
    known = valid.any(axis=0)
    resting = usable if frames is None else frames
    return np.array([(across(np.logical_or, saturated) & known).sum(), (~known).sum(), (resting == 1).sum()])


def beyond_search(three: Bracket, offset: np.ndarray, reach: int) -> np.ndarray:
    """(H, W) bool: pixels whose partner in the shortest lies farther away than the network searches.

    It shows where the match ends at the edge of the search, and what it found there, brought to the
    reference's exposure, is not what the reference shows.

    Args:
        three: what the network got.
        offset: (H, W, 2) int (dy, dx) to the shortest frame.
        reach: the largest offset along one axis, pixels.
    """
    height, width = three.size
    gain = np.float32((three.times[1] / three.times[0]) ** (1 / GAMMA))
    beyond = np.empty((height, width), bool)
    for rows in strips(height):
        y, x = np.mgrid[rows, :width]
        moved = offset[rows]
        row, column = np.clip(y + moved[..., 0], 0, height - 1), np.clip(x + moved[..., 1], 0, width - 1)
        found = np.minimum(three.ldr[0][row, column] * gain, SATURATION)
        apart = np.abs(found - np.minimum(three.ldr[1, rows], SATURATION))
        beyond[rows] = (across(np.maximum, apart) > _WRONG) & (across(np.maximum, np.abs(moved)) >= reach - 1)
    return beyond
