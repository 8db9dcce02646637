"""A small line plot, drawn with OpenCV."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from apnt.io.files import write_bytes

_SIZE = (720, 480)  # width, height
_BOX = (72, 56, 696, 424)  # left, top, right, bottom of the axes
_INK, _GRID = (40, 40, 40), (225, 225, 225)
# BGR, told apart with every kind of colour vision (Okabe and Ito).
_COLOURS = (
    (178, 114, 0), (0, 94, 213), (115, 158, 0), (167, 121, 204), (0, 159, 230), (66, 228, 240),
    (233, 180, 86), (40, 40, 40),
)  # fmt: skip


def line_plot(
    x: Sequence[float], lines: Mapping[str, Sequence[float]], x_title: str, y_title: str
) -> np.ndarray:
    """Draw lines over common positions.

    Args:
        x: ascending positions.
        lines: title (ASCII) -> finite values at the positions.
        x_title, y_title: of the axes, ASCII.

    Returns:
        (H, 720, 3) uint8 BGR; H is 480 and 20 for each row of the legend, which lies below.
    """
    rows = -(-len(lines) // 4)
    image = np.full((_SIZE[1] + 20 * rows, _SIZE[0], 3), 255, np.uint8)
    left, top, right, bottom = _BOX
    values = [value for line in lines.values() for value in line]
    low, high = (math.floor(min(values)), math.ceil(max(values))) if values else (0, 1)
    high = max(high, low + 1)
    span = max(x[-1] - x[0], 1e-9)

    def place(position: float, value: float) -> tuple[int, int]:
        across = left + (right - left) * (position - x[0]) / span
        return round(across), round(bottom - (bottom - top) * (value - low) / (high - low))

    step = max(1, math.ceil((high - low) / 8))
    for value in range(low, high + 1, step):
        _, y = place(x[0], value)
        cv2.line(image, (left, y), (right, y), _GRID, 1)
        _write(image, str(value), (left - 36, y + 4))
    for position in x:
        across, _ = place(position, low)
        cv2.line(image, (across, top), (across, bottom), _GRID, 1)
        _write(image, f"{position:g}", (across - 6, bottom + 20))
    cv2.rectangle(image, (left, top), (right, bottom), _INK, 1)
    _write(image, x_title, ((left + right) // 2 - 60, bottom + 42))
    _write(image, y_title, (8, 20))
    for number, (title, line) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [place(position, value) for position, value in zip(x, line, strict=True)]
        cv2.polylines(image, [np.array(points, np.int32)], False, colour, 2, cv2.LINE_AA)
        for point in points:
            cv2.circle(image, point, 4, colour, -1, cv2.LINE_AA)
        across, row = left + 160 * (number % 4), _SIZE[1] + 20 * (number // 4)
        cv2.line(image, (across, row - 4), (across + 18, row - 4), colour, 2, cv2.LINE_AA)
        _write(image, title, (across + 24, row))
    return image


def write_picture(path: Path, image: np.ndarray) -> None:
    """Write a PNG file; an older one is replaced whole or not at all."""
    _, code = cv2.imencode(".png", image)
    write_bytes(path, code.tobytes())


def _write(image: np.ndarray, text: str, corner: tuple[int, int]) -> None:
    cv2.putText(image, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.45, _INK, 1, cv2.LINE_AA)
