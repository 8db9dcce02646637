"""Light that even the shortest frame saturates at is at least 1."""

from __future__ import annotations

import cv2
import numpy as np

from apnt import scratch
from apnt.across import across
from apnt.bracket import Bracket
from apnt.camera import GAMMA, SATURATION
from apnt.strips import strips

_NEAR, _NEAR_SHARE = 24, 1 / 24
"""Pixels around a spot, or share of the shorter side where that is more, that have to stand still."""
_DIFFERENCE = 0.08  # display-referred, mean over 5x5 pixels: beyond, the frames show different objects
_HALF = 2  # of these 5x5 pixels
_MOVED = 0.02  # share of a spot and its surroundings that may differ, for noise and edges


def raise_blown(image: np.ndarray, bracket: Bracket) -> np.ndarray:
    """Raise a result to what the shortest frame proves, where it is saturated and the reference is, too.

    A spot counts as one where its surroundings stand still: the reference shows there what the shortest
    frame predicts. Elsewhere the saturation of the shortest frame may be that of another object.

    Args:
        image: (H, W, 3) radiance, 1 = saturation of the shortest frame; not changed.
        bracket: aligned to its reference.
    """
    spots = np.zeros(bracket.size, bool)
    for rows in strips(len(image)):
        spots[rows] = across(np.logical_or, _blown(bracket, rows))
    if not spots.any():
        return image
    if bracket.reference != 0:
        spots = _standing_still(spots, _differs(bracket))
    raised = scratch.empty(image.shape, image.dtype)
    for rows in strips(len(image)):
        light = np.maximum(image[rows], bracket.ldr[0, rows] ** np.float32(GAMMA))
        blown = _blown(bracket, rows) & spots[rows, :, None]
        raised[rows] = np.where(blown, light, image[rows])
    return raised


def _blown(bracket: Bracket, rows: slice) -> np.ndarray:
    """(h, W, 3) bool: the shortest frame and the reference are saturated."""
    shortest, reference = bracket.ldr[0, rows], bracket.reference_frame[rows]
    if bracket.reference == 0:
        return np.asarray(shortest >= SATURATION)
    blown = (shortest >= SATURATION) & (reference >= SATURATION)
    if bracket.valid is not None:
        blown &= (bracket.valid[0, rows] & bracket.valid[bracket.reference, rows])[..., None]
    return np.asarray(blown)


def _differs(bracket: Bracket) -> np.ndarray:
    """(H, W) bool: the reference is not what the shortest frame predicts, up to saturation."""
    gain = float((bracket.times[bracket.reference] / bracket.times[0]) ** (1 / GAMMA))
    height = bracket.size[0]
    differs = np.empty(bracket.size, bool)
    for rows in strips(height):
        top, bottom = max(0, rows.start - _HALF), min(height, rows.stop + _HALF)
        predicted = np.minimum(bracket.ldr[0, top:bottom] * np.float32(gain), np.float32(SATURATION))
        difference = predicted - np.minimum(bracket.reference_frame[top:bottom], np.float32(SATURATION))
        # The dark of the shortest frame is noise that the gain enlarges.
        allowed = _DIFFERENCE + np.float32(0.01 * gain) * (predicted < 0.3)
        found = across(np.logical_or, np.abs(cv2.blur(difference, (2 * _HALF + 1,) * 2)) > allowed)
        differs[rows] = found[rows.start - top : rows.stop - top]
    return differs


def _standing_still(spots: np.ndarray, differs: np.ndarray) -> np.ndarray:
    """(H, W) bool: spots in whose surroundings at most ``_MOVED`` differs."""
    near = max(_NEAR, int(_NEAR_SHARE * min(spots.shape)))
    kernel = np.ones((2 * near + 1, 2 * near + 1), np.uint8)
    around = cv2.dilate(spots.astype(np.uint8), kernel)
    count, label = cv2.connectedComponents(around, scratch.empty(spots.shape, np.int32))
    area, moved = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for rows in strips(len(label)):
        area += np.bincount(label[rows].ravel(), minlength=count)
        moved += np.bincount(label[rows][differs[rows]], minlength=count)
    good = moved <= _MOVED * area
    good[0] = False
    still = np.empty_like(spots)
    for rows in strips(len(label)):
        still[rows] = good[label[rows]] & spots[rows]
    return still
