"""What the page asks for: the steps of ``apnt fuse``, into a folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from apnt.io.folder import find_photographs
from apnt.io.kept import keep_metadata
from apnt.io.photo import read_photo
from apnt.io.written import PREVIEW
from apnt.methods import Method, Options, load_method
from apnt.outputs import Moment, Picture
from apnt.prepare.options import Options as Preparation
from apnt.report.layers import picture
from apnt.report.radiance import reduced
from apnt.run import Clock, Look, Outputs, fuse_into

_METHOD = "apnt"
_SHOWN = 600_000  # pixels of the picture on the page


@dataclass(frozen=True)
class Settings:
    """Options of ``apnt ui``, for all photographs.

    Attributes:
        weights, device, precision: see :func:`apnt.fuse`.
    """

    weights: str
    device: str | None
    precision: str


@dataclass(frozen=True, eq=False)
class Result:
    """What was made of one bracket.

    Attributes:
        radiance: the HDR image, a file.
        report: the page, a file.
        moment: the reference frame.
        small: (h, w, 3) float32, the radiance, reduced.
        like: (h, w, 3) float32 in [0, 1], the reference frame, reduced.
        image: (H, W, 3) float32, the radiance.
        said: what was corrected; what is doubtful.
    """

    radiance: Path
    report: Path
    moment: Moment
    small: np.ndarray = field(repr=False)
    like: np.ndarray = field(repr=False)
    image: np.ndarray = field(repr=False)
    said: tuple[list[str], list[str]] = ([], [])

    def shown(self, look: Look) -> np.ndarray:
        """(h, w, 3) float32 in [0, 1]: the picture, reduced, for the page."""
        return picture(self.small, self.like, self.moment.longer, look)

    @property
    def picture(self) -> Path:
        """The picture, a file."""
        return self.radiance.with_name(f"{self.radiance.stem}{PREVIEW}.jpg")

    def save(self, look: Look) -> Path:
        """Write the picture in full anew, as ``apnt fuse`` writes it."""
        exif = keep_metadata(self.moment.path, self.image.shape[:2])
        shown = _picture(self.picture, look)
        shown.write(shown.draw(self.image, self.moment, display=False), exif)
        return self.picture


def fuse_files(
    paths: Sequence[str | Path], settings: Settings, look: Look, folder: Path, begin: Callable[[str], None]
) -> Result:
    """Fuse photographs into a folder of their own: HDR image, picture and report.

    Args:
        paths: 2 to 15 files.
        settings: of the command.
        look: of the picture.
        folder: where the new folder is made.
        begin: called with ``"read"``, ``"weights"``, ``"fuse"``, ``"write"`` and ``"report"``.

    Raises:
        InputError: photographs that cannot be used.
    """
    found = find_photographs(paths).paths
    output = Path(tempfile.mkdtemp(dir=folder)) / f"{found[0].stem}_hdr.exr"
    report = output.with_suffix(".html")
    shown = _picture(output.with_name(f"{output.stem}{PREVIEW}.jpg"), look)
    outputs = Outputs(output, shown, report=report)
    run = fuse_into(found, lambda: _loaded(settings), outputs, Preparation(), clock=Clock(begin))
    image, found_out = run.fused.image, run.prepared.report
    moment = Moment(found[found_out.reference], run.prepared.white, run.prepared.longer)
    like = reduced(read_photo(moment.path, moment.white), _SHOWN)
    said = (found_out.corrections, found_out.warnings)
    return Result(output, report, moment, reduced(image, _SHOWN), like, image, said)


def _picture(path: Path, look: Look) -> Picture:
    return Picture(path, look.look, look.exposure, look.white_balance, False)


@lru_cache(maxsize=1)
def _loaded(settings: Settings) -> Method:
    """The network, kept from one bracket to the next."""
    return load_method(_METHOD, Options(settings.weights, settings.device, settings.precision))
