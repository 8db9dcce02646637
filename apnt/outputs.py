"""What a fuse leaves on the disk: the radiance, and a picture of it with the reference frame's mood."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from apnt.errors import InputError
from apnt.io.exif import read_exif
from apnt.io.kept import keep_metadata
from apnt.io.picture import check_gain_map, write_picture
from apnt.io.radiance import white_luminance_of, write_radiance
from apnt.looks import check_look, check_white_balance, render, render_with_gain

if TYPE_CHECKING:
    from PIL import Image

    from apnt.prepare.pipeline import Prepared


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

    def write(self, image: np.ndarray, moment: Path, exif: Image.Exif, *, display: bool) -> str | None:
        """Write the picture of a fused image, where one was asked for.

        Args:
            image: (H, W, 3) float32: radiance, or what a method made for a display.
            moment: the reference frame, whose mood is kept.
            exif: metadata.
            display: the image is a picture already.

        Returns:
            What is doubtful, one sentence, or None.
        """
        if self.path is None:
            return None
        if display:
            write_picture(self.path, image, exif=exif)
            return None
        doubt = None
        try:
            picture, gain = self._made(image, moment)
        except InputError as error:  # everything else was checked: the frame is all white or all black
            doubt = f"The picture does not follow {moment.name}: {error}."
            picture, gain = self._made(image, None)
        write_picture(self.path, picture, exif=exif, gain=gain)
        return doubt

    def _made(self, image: np.ndarray, like: Path | None) -> tuple[np.ndarray, np.ndarray | None]:
        made = render_with_gain if self.gain_map else render
        result = made(
            image, like=like, look=self.look, exposure=self.exposure, white_balance=self.white_balance
        )
        return result if isinstance(result, tuple) else (result, None)


def write_outputs(
    output: Path,
    image: np.ndarray,
    prepared: Prepared,
    moment: Path,
    shown: Picture,
    metadata: str,
    *,
    display: bool,
) -> None:
    """Write a fused image and its picture; what is to be said of them goes into the report.

    Args:
        output: where the radiance goes, checked before.
        image: (H, W, 3) float32: radiance, or what a method made for a display.
        prepared: what it was fused from.
        moment: the reference frame's file, whose metadata are kept.
        shown: the picture.
        metadata: one of :data:`apnt.io.kept.POLICIES`.
        display: the image is a picture already.

    Raises:
        OSError: the disk refused; what was there before is whole.
    """
    bracket, report = prepared.bracket, prepared.report
    exif = keep_metadata(moment, bracket.size, metadata)
    white = white_luminance_of(read_exif(moment), float(bracket.times[bracket.reference]))
    write_radiance(output, image, exif=exif, white_luminance=None if display else white)
    doubt = shown.write(image, moment, exif, display=display)
    if doubt is not None:
        report.warnings.append(doubt)
