"""One photograph as read: pixels, what they mean, and what was corrected."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from apnt.io.exif import ExifExposure
from apnt.io.profile import Profile
from apnt.strips import strips


@dataclass(frozen=True)
class Samples:
    """What the white of 8-bit or 16-bit samples is judged by.

    Attributes:
        full: the largest sample that the container holds: 255 or 65535.
        peak: the largest sample. Of 0 and of the container's nothing is judged: what follows is 0.
        at_peak: how many samples have it.
        below: how many are the next smaller number.
        count: how many samples there are.
        used: all samples joined by a bitwise or.
    """

    full: int
    peak: int
    at_peak: int
    below: int
    count: int
    used: int

    @classmethod
    def of(cls, array: np.ndarray) -> Samples:
        """The figures of a uint8 or uint16 array."""
        full = int(np.iinfo(array.dtype).max)
        peak = int(array.max()) if array.size else 0
        if peak in (0, full):
            return cls(full, peak, 0, 0, 0, 0)
        used = int(np.bitwise_or.reduce(array, axis=None))
        at_peak = below = 0
        for rows in strips(len(array)):
            at_peak += np.count_nonzero(array[rows] == peak)
            below += np.count_nonzero(array[rows] == peak - 1)
        return cls(full, peak, int(at_peak), int(below), array.size, used)


@dataclass(frozen=True, eq=False)
class Photograph:
    """One photograph, upright.

    Attributes:
        name: the path, or what messages call the image.
        pixels: (H, W, 3) float32 in [0, 1], sRGB primaries, encoded as the file encodes them; 1 is where the
            file clips.
        valid: (H, W) bool, False where the file says "no data" (alpha below one half); None = all of it.
        bits: effective bits a sample.
        curve: ``"linear"`` where the file says that pixels are proportional to light; None = unknown: the
            camera's rendering, which a colour profile does not undo.
        exposure: time, ISO, f-number.
        orientation: the EXIF orientation as stored, 1 to 8; the pixels are upright already.
        format: such as ``"JPEG"``, ``"TIFF"``, ``"camera RAW"``.
        notes: what was corrected, one sentence each.
        doubts: what may be wrong, one sentence each.
        profile: the colour profile that was applied; None = sRGB, or none in the file.
        wb: red, green, blue multipliers of the camera's colours that a RAW was developed with; else None.
        white: the stored sample at which the frames of its bracket are white, where that was found to be less
            than the container's largest; the pixels are scaled by it already.
        samples: figures of the samples as stored, from which the bracket's white is judged; None where the
            file itself states it.
    """

    name: str
    pixels: np.ndarray
    valid: np.ndarray | None
    bits: int
    curve: str | None
    exposure: ExifExposure
    orientation: int
    format: str
    notes: tuple[str, ...] = ()
    profile: Profile | None = None
    wb: tuple[float, float, float] | None = None
    white: int | None = None
    samples: Samples | None = field(default=None, repr=False)
    doubts: tuple[str, ...] = ()
