"""Light that even the shortest frame saturates at is at least 1."""

from __future__ import annotations

import cv2
import numpy as np

from apnt.bracket import Bracket
from apnt.camera import GAMMA, SATURATION

_NEAR, _NEAR_SHARE = 24, 1 / 24
"""Pixels around a spot, or share of the shorter side where that is more, that have to stand still."""
_DIFFERENCE = 0.08  # display-referred, mean over 5x5 pixels: beyond, the frames show different objects
_MOVED = 0.02  # share of a spot and its surroundings that may differ, for noise and edges


def raise_blown(image: np.ndarray, bracket: Bracket) -> np.ndarray:
    """Raise a result to what the shortest frame proves, where it is saturated and the reference is, too.

    A spot counts as one where its surroundings stand still: the reference shows there what the shortest
    frame predicts. Elsewhere the saturation of the shortest frame may be that of another object.

    Args:
        image: (H, W, 3) radiance, 1 = saturation of the shortest frame; not changed.
        bracket: aligned to its reference.
    """
    shortest, reference = bracket.ldr[0], bracket.reference_frame
    if bracket.reference == 0:
        return np.where(shortest >= SATURATION, np.maximum(image, shortest ** np.float32(GAMMA)), image)
    blown = (shortest >= SATURATION) & (reference >= SATURATION)
    if bracket.valid is not None:
        blown &= (bracket.valid[0] & bracket.valid[bracket.reference])[..., None]
    if not blown.any():
        return image
    still = _standing_still(blown.any(axis=-1), _differs(bracket))
    blown &= still[..., None]
    raised = image.copy()
    raised[blown] = np.maximum(image[blown], shortest[blown] ** np.float32(GAMMA))
    return raised


def _differs(bracket: Bracket) -> np.ndarray:
    """(H, W) bool: the reference is not what the shortest frame predicts, up to saturation."""
    gain = float((bracket.times[bracket.reference] / bracket.times[0]) ** (1 / GAMMA))
    predicted = np.minimum(bracket.ldr[0] * np.float32(gain), np.float32(SATURATION))
    difference = predicted - np.minimum(bracket.reference_frame, np.float32(SATURATION))
    # The dark of the shortest frame is noise that the gain enlarges.
    allowed = _DIFFERENCE + np.float32(0.01 * gain) * (predicted < 0.3)
    return np.asarray((np.abs(cv2.blur(difference, (5, 5))) > allowed).any(axis=-1))


def _standing_still(spots: np.ndarray, differs: np.ndarray) -> np.ndarray:
    """(H, W) bool: spots in whose surroundings at most ``_MOVED`` differs."""
    near = max(_NEAR, int(_NEAR_SHARE * min(spots.shape)))
    kernel = np.ones((2 * near + 1, 2 * near + 1), np.uint8)
    around = cv2.dilate(spots.astype(np.uint8), kernel)
    count, label = cv2.connectedComponents(around)
    area = np.bincount(label.ravel(), minlength=count)
    moved = np.bincount(label[differs], minlength=count)
    good = moved <= _MOVED * area
    good[0] = False
    return np.asarray(good[label] & spots)
