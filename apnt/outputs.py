"""What a fuse leaves on the disk: the radiance, and a picture of it with the reference frame's mood."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from apnt import defaults
from apnt.doing import doing
from apnt.errors import InputError
from apnt.io import files
from apnt.io.exif import read_exif
from apnt.io.kept import keep_metadata
from apnt.io.photo import read_photo
from apnt.io.picture import PICTURE_SUFFIXES, check_gain_map, write_picture
from apnt.io.radiance import white_luminance_of, write_radiance
from apnt.looks import check_look, check_white_balance, render, render_with_gain
from apnt.memory import give_back

if TYPE_CHECKING:
    from PIL import Image

    from apnt.prepare.pipeline import Prepared


class Moment(NamedTuple):
    """The reference frame, whose moment a fused image shows.

    Attributes:
        path: of its file.
        white: the sample at which that is white; None = as the file tells.
        longer: see :class:`apnt.prepare.pipeline.Prepared`.
    """

    path: Path
    white: int | None = None
    longer: tuple[np.ndarray, float] | None = None


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
    look: str = defaults.LOOK
    exposure: float = 0.0
    white_balance: str = defaults.WHITE_BALANCE
    gain_map: bool = False

    def __post_init__(self) -> None:
        check_look(self.look, self.exposure, gain_map=self.gain_map)
        check_white_balance(self.white_balance)
        if self.gain_map and self.path is not None:
            check_gain_map(self.path)

    def check_method(self, method: str, *, display: bool) -> None:
        """Refuse a rendering of what a method has rendered itself.

        Raises:
            InputError: an option that would change nothing.
        """
        if not display:
            if self.gain_map and self.path is None:
                raise InputError(
                    "a gain map must go into a picture, got none: leave out --gain-map or --no-preview"
                )
            return
        for option in fields(self)[1:]:
            if getattr(self, option.name) != option.default:
                name = f"--{option.name.replace('_', '-')}"
                raise InputError(
                    f"{name} must be left out with {method}, which makes the picture for a display itself, "
                    f"got {getattr(self, option.name)}; it renders radiance, of methods such as apnt"
                )

    def draw(self, image: np.ndarray, moment: Moment, *, display: bool) -> Drawn:
        """Make the picture of a fused image, where one was asked for.

        Args:
            image: (H, W, 3) float32: radiance, or what a method made for a display.
            moment: whose mood is kept.
            display: the image is a picture already.
        """
        if self.path is None or display:
            return Drawn(image)
        try:
            return Drawn(*self._made(image, read_photo(moment.path, moment.white), moment.longer))
        except InputError as error:  # everything else was checked: the frame is all white or all black
            doubt = f"The picture does not follow {moment.path.name}: {error}."
            return Drawn(*self._made(image), doubt)

    def write(self, drawn: Drawn, exif: Image.Exif) -> None:
        """Write what was drawn, where a picture was asked for, with its metadata."""
        if self.path is not None:
            doing(f"Writing {self.path.name}")
            write_picture(self.path, drawn.picture, exif=exif, gain=drawn.gain)

    def _made(
        self,
        image: np.ndarray,
        like: np.ndarray | None = None,
        longer: tuple[np.ndarray, float] | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        made = render_with_gain if self.gain_map else render
        result = made(
            image,
            like=like,
            longer=longer,
            look=self.look,
            exposure=self.exposure,
            white_balance=self.white_balance,
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
    strict: bool = False,
) -> None:
    """Write a fused image and its picture; what is to be said of them goes into the report.

    Args:
        output: where the image goes, checked before; a picture for a display is written as such where the
            format is one of pictures, and else its values as they are.
        image: (H, W, 3) float32: radiance, or what a method made for a display.
        prepared: what it was fused from.
        moment: the reference frame's file, whose metadata are kept.
        shown: the picture.
        metadata: one of :data:`apnt.io.kept.POLICIES`.
        display: the image is a picture already.
        strict: refuse what is doubtful, before anything is written.

    Raises:
        InputError: a doubt, with ``strict``.
        OSError: the disk refused; what was there before is whole.
    """
    bracket, report = prepared.bracket, prepared.report
    doing("Making the picture")
    drawn = shown.draw(image, Moment(moment, prepared.white, prepared.longer), display=display)
    give_back()
    if drawn.doubt is not None:
        report.warnings.append(drawn.doubt)
    if strict:
        report.refuse_doubts()
    exif = keep_metadata(moment, bracket.size, metadata)
    doing(f"Writing {output.name}")
    if display and is_picture(output):
        write_picture(output, image, exif=exif)
    else:
        white = white_luminance_of(read_exif(moment), float(bracket.times[bracket.reference]))
        write_radiance(output, image, exif=exif, white_luminance=None if display else white)
    with files.after(output):
        shown.write(drawn, exif)


def is_picture(output: Path) -> bool:
    """Whether a file's format is one of pictures for a display; a TIFF is of both kinds."""
    return output.suffix.lower() in PICTURE_SUFFIXES
