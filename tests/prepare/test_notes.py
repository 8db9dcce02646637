"""What readers corrected in several frames is one sentence."""

from __future__ import annotations

import numpy as np

from apnt.io.exif import ExifExposure
from apnt.io.photograph import Photograph
from apnt.prepare.notes import joined


def note(name: str, *notes: str) -> Photograph:
    pixels = np.zeros((2, 2, 3), np.float32)
    said = tuple(f"{name} {text}" for text in notes)
    return Photograph(name, pixels, None, 8, None, ExifExposure(), 1, "TIFF", said)


def test_notes_of_several_frames_are_one_sentence() -> None:
    profile = "has the colour profile ProPhoto: converted to sRGB's primaries"
    outside = "holds colours outside sRGB in {}% of the pixels: clipped to its gamut"
    frames = [note(f"/photos/{n}.tif", profile, outside.format(0.2 * n)) for n in (1, 2, 4)]
    assert joined(frames, "notes") == [
        "1.tif, 2.tif, 4.tif have the colour profile ProPhoto: converted to sRGB's primaries",
        "1.tif, 2.tif, 4.tif hold colours outside sRGB in 0.2% to 0.8% of the pixels: clipped to its gamut",
    ]
    assert joined(frames[:1], "notes") == [
        "1.tif has the colour profile ProPhoto: converted to sRGB's primaries",
        "1.tif holds colours outside sRGB in 0.2% of the pixels: clipped to its gamut",
    ]
    baseline = "states a BaselineExposure of {} stops: counted in the exposure"
    frames = [note("a.dng", baseline.format("-1")), note("b.dng", baseline.format("+0.5"))]
    assert joined(frames, "notes") == [
        "a.dng, b.dng state a BaselineExposure of -1 to +0.5 stops: counted in the exposure"
    ]
    assert joined([note("a.jpg", "is CMYK: converted"), note("b.jpg", "is CMYK: converted")], "notes") == [
        "a.jpg, b.jpg are CMYK: converted"
    ]
