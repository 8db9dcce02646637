"""What :func:`apnt.fuse` returns: an array, which a notebook shows as a picture."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np

_SIDE = 1024  # pixels of the longer side, at most


class FusedImage(np.ndarray):
    """(H, W, 3) float32 that a notebook shows; in everything else an array like any other.

    A piece of it is shown as well; whatever is computed from it is a plain array, which may be no picture.
    """

    _display = False

    @classmethod
    def of(cls, image: np.ndarray, *, display: bool) -> FusedImage:
        """A view of an image.

        Args:
            image: (H, W, 3) float32 in [0, 1], linear radiance.
            display: it is a picture as a display shows it, not radiance.
        """
        view = image.view(cls)
        view._display = display
        return view

    def __array_finalize__(self, other: Any) -> None:
        self._display = getattr(other, "_display", False)

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        plain = np.asarray(array)
        return plain[()] if return_scalar else plain

    def __reduce__(self) -> Any:  # a file of it needs no apnt to be read
        return np.asarray(self).__reduce__()

    def _repr_png_(self) -> bytes | None:
        """The picture, at most 1024 pixels along a side; None for what is none, such as one channel of it."""
        from PIL import Image

        from apnt.looks import render

        image = np.asarray(self)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.float32 or not image.size:
            return None
        height, width = image.shape[:2]
        scale = min(1.0, _SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
        if not (np.isfinite(small).all() and small.min() >= 0):
            return None
        picture = np.clip(small, 0, 1) if self._display else render(small)
        buffer = io.BytesIO()
        Image.fromarray(np.rint(255 * picture).astype(np.uint8)).save(buffer, "PNG")
        return buffer.getvalue()
