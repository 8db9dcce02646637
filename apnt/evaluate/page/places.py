"""The squares of a scene that the page enlarges, chosen by rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np

from apnt.methods import METHODS


class Place(NamedTuple):
    """A square of a picture.

    Attributes:
        reason: why it is enlarged.
        top, left: its corner, pixels.
        side: its height and width, pixels.
    """

    reason: str
    top: int
    left: int
    side: int

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The square's part of an image (H, W, ...)."""
        return image[self.top : self.top + self.side, self.left : self.left + self.side]


def find_places(
    errors: Mapping[str, np.ndarray], featured: str, baseline: str, masks: Mapping[str, np.ndarray | None]
) -> list[Place]:
    """One square for each of two reasons, where the scene has them.

    The first is where the method ``featured`` errs most among the moving saturated pixels (without any: among
    the saturated ones, or among all); the second, apart from the first, where it gains most on ``baseline``.

    Args:
        errors: method -> (H, W), see :func:`apnt.evaluate.pictures.error_map`.
        featured, baseline: two of the methods.
        masks: see :func:`apnt.evaluate.protocols.pixel_masks`.
    """
    error = errors[featured]
    side = int(np.clip(min(error.shape) // 5, 16, 200))
    side = min(side, *error.shape)
    mask, where = None, ""
    for name in ("moving saturated", "saturated"):
        candidate = masks[name]
        if candidate is not None and candidate.any():
            mask, where = candidate, f" among {name} pixels"
            break
    found = []
    # Squared, as in PSNR: a few large errors matter more than many small ones.
    total = _box_sum(error**2 if mask is None else error**2 * mask, side)
    if total.max() > 0:
        top, left = np.unravel_index(total.argmax(), total.shape)
        found.append(Place(f"largest error{where}", int(top), int(left), side))
    if featured != baseline:
        gain = _box_sum(errors[baseline] ** 2 - error**2, side)
        for place in found:
            rows = slice(max(place.top - side, 0), place.top + side + 1)  # corners whose squares overlap
            gain[rows, max(place.left - side, 0) : place.left + side + 1] = 0
        if gain.max() > 0:
            top, left = np.unravel_index(gain.argmax(), gain.shape)
            reason = f"largest gain over the {METHODS[baseline].title}"
            found.append(Place(reason, int(top), int(left), side))
    return found


def _box_sum(values: np.ndarray, side: int) -> np.ndarray:
    """(H, W) to (H - side + 1, W - side + 1): the sum over every square inside the image."""
    total = cv2.integral(values.astype(np.float64))
    return total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
