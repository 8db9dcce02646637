"""One photograph as read: pixels, what they mean, and what was corrected."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from apnt.io.exif import ExifExposure
from apnt.io.profile import Profile


@dataclass(frozen=True)
class Samples:
    """What the depth of 16-bit samples is judged by.

    Attributes:
        peak: the largest sample.
        at_peak: how many samples have it.
        used: all samples joined by a bitwise or.
    """

    peak: int
    at_peak: int
    used: int

    @classmethod
    def of(cls, array: np.ndarray) -> Samples:
        """The figures of a uint16 array."""
        if array.size == 0:
            return cls(0, 0, 0)
        peak = array.max()
        used = np.bitwise_or.reduce(array, axis=None)
        return cls(int(peak), int(np.count_nonzero(array == peak)), int(used))


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
        samples: figures of 16-bit samples as stored, from which the bracket's depth is judged; None where
            the file itself states the depth.
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
    samples: Samples | None = field(default=None, repr=False)
    doubts: tuple[str, ...] = ()
