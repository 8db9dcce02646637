"""The picture of ``apnt fuse``: its options, checked before the work, and its making."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from apnt.errors import InputError
from apnt.io.picture import check_gain_map, write_picture
from apnt.looks import check_look, check_white_balance, render, render_with_gain

if TYPE_CHECKING:
    from PIL import Image


class Drawn(NamedTuple):
    """A picture, as :func:`apnt.io.write_picture` takes it, and what is doubtful about it, one sentence."""

    picture: np.ndarray
    gain: np.ndarray | None = None
    doubt: str | None = None


@dataclass(frozen=True)
class Picture:
    """Where a picture goes and how it is made; see :func:`apnt.render`.

    Raises:
        InputError: what cannot be used.
    """

    path: Path | None
    look: str
    exposure: float
    white_balance: str
    gain_map: bool

    def __post_init__(self) -> None:
        check_look(self.look, self.exposure, gain_map=self.gain_map)
        check_white_balance(self.white_balance)
        if self.gain_map and self.path is not None:
            check_gain_map(self.path)

    def draw(self, image: np.ndarray, moment: Path, *, display: bool) -> Drawn:
        """Make the picture of a fused image, where one was asked for.

        Args:
            image: (H, W, 3) float32: radiance, or what a method made for a display.
            moment: the reference frame, whose mood is kept.
            display: the image is a picture already.
        """
        if self.path is None or display:
            return Drawn(image)
        try:
            return Drawn(*self._made(image, moment))
        except InputError as error:  # everything else was checked: the frame is all white or all black
            doubt = f"The picture does not follow {moment.name}: {error}."
            return Drawn(*self._made(image, None), doubt)

    def write(self, drawn: Drawn, exif: Image.Exif) -> None:
        """Write what was drawn, where a picture was asked for, with its metadata."""
        if self.path is not None:
            write_picture(self.path, drawn.picture, exif=exif, gain=drawn.gain)

    def _made(self, image: np.ndarray, like: Path | None) -> tuple[np.ndarray, np.ndarray | None]:
        made = render_with_gain if self.gain_map else render
        result = made(
            image, like=like, look=self.look, exposure=self.exposure, white_balance=self.white_balance
        )
        return result if isinstance(result, tuple) else (result, None)
