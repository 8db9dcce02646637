"""From decoded samples to a photograph: upright, float, alpha and colours resolved."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from apnt import scratch
from apnt.across import across
from apnt.errors import InputError
from apnt.io import formats
from apnt.io.decoded import Decoded
from apnt.io.exif import ExifExposure
from apnt.io.photograph import Photograph, Samples
from apnt.strips import strips

_HALF = 0.5  # below this alpha, a pixel is more hole than photograph
_FEW = 1e-3
_JUDGED = {"TIFF", "PNG", "image"}  # formats whose 16-bit containers may hold fewer bits

# How the stored array is turned upright, by EXIF orientation (TIFF 6.0, tag 274).
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, 3),
    7: lambda a: np.swapaxes(np.rot90(a, 2), 0, 1),
    8: lambda a: np.rot90(a, 1),
}


def develop(
    decoded: Decoded,
    name: str,
    kind: str,
    exposure: ExifExposure,
    gains: tuple[float, float, float] | None = None,
) -> Photograph:
    """Turn the samples upright, scale them, undo the multiplication by alpha, and convert the colours.

    Args:
        decoded: what a decoder gave.
        name: what messages call the file.
        kind: its format.
        exposure: its exposure fields.
        gains: the white balance of a camera RAW.

    Raises:
        InputError: transparent everywhere; the caller puts the name before the sentence.
    """
    turn = _UPRIGHT.get(1 if decoded.upright else decoded.orientation, np.asarray)
    samples = turn(decoded.samples)
    judged = (samples.dtype, decoded.white) == (np.uint8, 255) or (decoded.bits == 16 and kind in _JUDGED)
    judged &= not decoded.premultiplied
    figures = Samples.of(samples) if judged else None
    pixels = unit_rgb(samples, decoded.white)
    valid = None
    if decoded.alpha is not None:
        valid = _apply_alpha(pixels, turn(decoded.alpha), decoded)
    notes = list(decoded.notes)
    profile = decoded.profile
    linear = decoded.linear or (profile is not None and profile.is_linear and decoded.bits > 8)
    if profile is not None and (profile.is_srgb_primaries or samples.ndim == 2):
        profile = None
    if profile is not None:
        notes += _colour_notes(profile.name, profile.apply(pixels), kind)
    if exposure.baseline:
        notes.append(f"states a BaselineExposure of {exposure.baseline:+.2g} stops: counted in the exposure")
    return Photograph(
        name=name,
        pixels=pixels,
        valid=valid,
        bits=decoded.bits,
        curve="linear" if linear else None,
        exposure=exposure,
        orientation=decoded.orientation,
        format=kind,
        notes=tuple(f"{name} {note}" for note in notes),
        doubts=tuple(f"{name} {doubt}" for doubt in decoded.doubts),
        profile=profile,
        wb=gains,
        samples=figures,
    )


def unit_rgb(samples: np.ndarray, white: int) -> np.ndarray:
    """(H, W), (H, W, 1) or (H, W, 3) unsigned to (H, W, 3) float32, 1 at white; one array is made."""
    if samples.ndim == 2:
        samples = samples[..., None]
    pixels = scratch.empty((*samples.shape[:2], 3), np.float32)
    np.divide(samples, np.float32(white), out=pixels, dtype=np.float32)
    return pixels


def _apply_alpha(pixels: np.ndarray, alpha: np.ndarray, decoded: Decoded) -> np.ndarray | None:
    """Divide premultiplied pixels by alpha (H, W), in place.

    Returns:
        (H, W) bool, where there is data; None = everywhere.
    """
    if alpha.min(initial=decoded.white) >= decoded.white:
        return None

    def share(rows: slice) -> np.ndarray:
        return np.asarray(alpha[rows, :, None] / np.float32(decoded.white))

    valid = scratch.empty(alpha.shape, bool)
    above = 0
    for rows in strips(len(alpha)):
        valid[rows] = share(rows)[..., 0] >= _HALF
        above += int(across(np.logical_or, pixels[rows] > share(rows) + 2 / decoded.white).sum())
    if not valid.any():
        raise InputError("is transparent everywhere: save it without its alpha channel")
    # Some aligners state multiplied colours and store plain ones, which may be larger than alpha.
    if decoded.premultiplied and above < _FEW * alpha.size:
        for rows in strips(len(alpha)):
            pixels[rows] /= np.maximum(share(rows), np.float32(1 / decoded.white))
            np.minimum(pixels[rows], 1, out=pixels[rows])
    return valid


def _colour_notes(profile: str, outside: float, kind: str) -> list[str]:
    notes = (
        [] if kind == formats.RAW else [f"has the colour profile {profile}: converted to sRGB's primaries"]
    )
    if outside > 1e-3:
        notes.append(f"holds colours outside sRGB in {outside:.1%} of the pixels: clipped to its gamut")
    return notes
