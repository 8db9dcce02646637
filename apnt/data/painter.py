"""A canvas of linear radiance on which procedural scenes are painted: shapes, textures, light."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

Point = tuple[float, float]
Outline = Sequence[Point] | np.ndarray  # (n, 2)
Colour = Sequence[float] | np.ndarray

_SUBPIXEL_BITS = 4  # cv2's fixed-point coordinates


class Canvas:
    """An (h, w, 3) float32 radiance image with coordinates in frame heights: a scene is the same at any size.

    Attributes:
        image: (h, w, 3) float32; black at first.
        unit: pixels per frame height.
        extent: width and height of the image in frame heights.
        margin: width of the border around the frame, in frame heights; the frame begins at (0, 0).
        x, y: (1, w) and (h, 1) float32, the coordinates of the pixels' centres.
    """

    def __init__(self, unit: float, aspect: float, margin: float) -> None:
        self.unit, self.margin = unit, margin
        self.extent = (aspect + 2 * margin, 1 + 2 * margin)
        width, height = (round(side * unit) for side in self.extent)
        self.image = np.zeros((height, width, 3), np.float32)
        self.x = ((np.arange(width, dtype=np.float32) + 0.5) / unit - margin)[None, :]
        self.y = ((np.arange(height, dtype=np.float32) + 0.5) / unit - margin)[:, None]

    def cover(self, outline: Outline) -> np.ndarray:
        """(h, w) float32 coverage in [0, 1] of a filled outline."""
        mask = np.zeros(self.image.shape[:2], np.uint8)
        cv2.fillPoly(mask, [self._fixed(outline)], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
        return mask.astype(np.float32) / 255

    def fill(self, outline: Outline, colour: Colour) -> None:
        """Fill an outline with ``colour``, (3,) or (h, w, 3); only its bounding box is computed."""
        fixed = self._fixed(outline)
        low, high = fixed.min(axis=0) >> _SUBPIXEL_BITS, (fixed.max(axis=0) >> _SUBPIXEL_BITS) + 2
        low = np.maximum(low - 1, 0)
        height, width = np.minimum(high, self.image.shape[1::-1])[::-1] - low[::-1]
        if height <= 0 or width <= 0:
            return
        mask = np.zeros((height, width), np.uint8)
        cv2.fillPoly(mask, [fixed - (low << _SUBPIXEL_BITS)], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
        box = np.s_[low[1] : low[1] + height, low[0] : low[0] + width]
        self._blend(box, mask.astype(np.float32) / 255, colour)

    def paint(self, mask: np.ndarray, colour: Colour) -> None:
        """Blend ``colour``, (3,) or (h, w, 3), over the image with the coverage ``mask`` (h, w)."""
        self._blend(np.s_[:, :], mask, colour)

    def noise(self, rng: np.random.Generator, cell: Point, octaves: int = 5) -> np.ndarray:
        """(h, w) smooth random texture in [0, 1]; ``cell`` is the (x, y) size of its coarsest features."""
        height, width = self.image.shape[:2]
        total = np.zeros((height, width), np.float32)
        weight = 0.0
        for octave in range(octaves):
            # The grid's size depends on frame heights, not pixels: the texture is the same at any size.
            columns, rows = (
                int(side / size * 2**octave) + 3 for side, size in zip(self.extent, cell, strict=True)
            )
            grid = rng.random((rows, columns), dtype=np.float32)
            total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * 0.55**octave
            weight += 0.55**octave
        # Sums of octaves lie close to one half; the contrast is raised.
        return np.clip((total / weight - 0.5) * 1.7 + 0.5, 0.0, 1.0)

    def _blend(self, box: tuple[slice, slice], mask: np.ndarray, colour: Colour) -> None:
        """Mix ``colour`` into the pixels of ``box``, whose coverage is ``mask``."""
        paint = np.asarray(colour, np.float32)
        if paint.ndim == 3:
            paint = paint[box]
        self.image[box] += mask[..., None] * (paint - self.image[box])

    def _fixed(self, outline: Outline) -> np.ndarray:
        """(n, 2) int32 pixel coordinates in cv2's fixed point."""
        pixels = (np.asarray(outline, np.float64) + self.margin) * self.unit - 0.5
        return np.round(pixels * 2**_SUBPIXEL_BITS).astype(np.int32)


def rectangle(left: float, top: float, right: float, bottom: float) -> list[Point]:
    """Outline of an upright rectangle."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def ellipse(centre: Point | np.ndarray, radii: Point, angle: float) -> np.ndarray:
    """Outline (24, 2) of an ellipse rotated by ``angle`` degrees."""
    around = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack([radii[0] * np.cos(around), radii[1] * np.sin(around)], axis=1)
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return ring @ np.array([[cos, sin], [-sin, cos]]) + centre
