"""How stops above and around a display's white are fitted into it; one function for each look.

Each takes the scene's luminance as it would be shown in the photograph that is the model, (H, W) float32 in
stops (0 = the display's white; a scene goes beyond), the median at which the photograph shows it, a shift
in stops, and the ceiling: 0, or how far the display goes beyond white. Each returns (H, W) float32 in stops,
in which the median stays where it was, but for the shift and for nights with burnt-out light.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from apnt.looks.colour import SRGB
from apnt.looks.curve import ToneCurve, daylight
from apnt.looks.local_laplacian import local_laplacian
from apnt.scratch import by_strips
from apnt.strips import strips

DETAIL = (1.75, 1.5)
"""Gain of local contrast in the look "local", for the least and the most light, see ``_FLAT``."""

_FLAT = (-4.0, 0.0)  # stops above the ceiling that the picture goes, for the least and the most light

_HIGH = (0.5, 2.4)  # stops above the ceiling that the picture goes, between which the next two grow
_SIZE = (1.8, 2.4)  # stops: differences up to about these are local contrast
_FOR_DETAIL = (0.25, 0.7)  # stops below the ceiling that are left for it
_GLOW = 0.9  # share of that room which it takes
_NIGHT = (-6.5, -5.0)  # stops below white: medians of a night, and of what is none
_FLOODLIT = (1.5, 2.5)  # stops above the ceiling between which a night comes to be a floodlit one
_MORE = 0.2  # stops of room more for a floodlit night
_SHADE = 0.3  # stops by which a shadow comes out darker than by the curve alone, at most, about
_SHADED = (-5.0, -3.0)  # stops below white: where that holds in full, and not at all
_OPENED = 0.15  # stops by which a night in which something is burnt out is shown brighter
_BLACK = -14.0  # stops below white: a fifth of the first of 8-bit values
_GIVEN_UP = 0.05  # per cent of the pixels, the brightest, that may be white
_SAMPLE = 1 << 16  # pixels that tell how many there are of each brightness, about
_REACH = 20.0  # stops: how far a median is looked for
_FUSED_EV = 2.0  # stops between the virtual exposures of the look "display"
_SIDE = 256  # pixels: the longer side of the image on which that look finds its shift


def filmic(stops: np.ndarray, middle: float, shift: float, ceiling: float = 0.0) -> np.ndarray:
    """One curve for every pixel: the middle as it is, a shoulder, a soft toe."""
    curve, offset = _anchored(stops, middle, ceiling)
    return by_strips(stops, lambda x: curve(x + np.float32(offset + shift)))


def local(stops: np.ndarray, middle: float, shift: float, ceiling: float = 0.0) -> np.ndarray:
    """The curve of :func:`filmic` for large differences of luminance; small ones are kept, and made larger.

    The curve leaves room for them below the ceiling, the more light goes beyond that: what is compressed most
    would look flat, and columns of a floodlit house would be as bright as what is between them. What comes
    out brighter than by the curve alone takes a share of what is left: a lamp's glow, which is one wide
    gentle slope, would be kept up to white. What comes out darker, a shadow beside a lit wall, has a limit
    too, where it is dark and the picture is not a night: shadows would close. Beside a night sky a floodlit
    house as a whole would be local contrast, come to white, and take the room of its columns: there wide
    differences follow the curve alone.
    """
    above = _top(stops) - ceiling
    size, for_detail = (float(np.interp(above, _HIGH, ends)) for ends in (_SIZE, _FOR_DETAIL))
    floodlit = float(np.interp(above, _FLOODLIT, (0, 1)) * np.interp(middle, _NIGHT, (1, 0)))
    for_detail += floodlit * _MORE
    detail = float(np.interp(above, _FLAT, DETAIL))
    curve, offset = _anchored(stops, middle, ceiling - for_detail)
    # A smaller range takes less time.
    stops = by_strips(stops, lambda x: np.maximum(x + np.float32(offset + shift), np.float32(_BLACK)))
    result, day = local_laplacian(stops, curve, detail, size, floodlit), daylight(middle)
    for rows in strips(len(result)):
        own, plain = result[rows], curve(stops[rows])
        room = np.maximum(np.float32(_GLOW) * (np.float32(ceiling) - plain), np.float32(1e-3))
        excess = np.maximum(own - plain, 0)
        np.minimum(own, plain + room * -np.expm1(-excess / room), out=own)
        deficit = np.maximum(plain - own, 0)
        held = deficit + np.float32(_SHADE) * np.expm1(-deficit / np.float32(_SHADE))
        held *= np.interp(plain, _SHADED, (day, 0)).astype(np.float32)
        own += held
    return result


def reinhard(stops: np.ndarray, middle: float, shift: float, ceiling: float = 0.0) -> np.ndarray:
    """Reinhard et al. 2002, eq. 4: ``L (1 + L / white^2) / (1 + L)``, of luminance alone.

    The ceiling does not count. OpenCV's operator of this name brings every image to its own extremes first,
    so that no exposure can be kept.
    """
    white = 2.0 ** max(_top(stops), 0.0)

    def curve(x: np.ndarray | float) -> np.ndarray:
        light = np.exp2(np.asarray(x, np.float32))
        return np.log2(light * (1 + light / np.float32(white**2)) / (1 + light))

    offset = np.float32(_solve(curve, middle) + shift)
    return by_strips(stops, lambda x: curve(x + offset))


def none(stops: np.ndarray, middle: float, shift: float, ceiling: float = 0.0) -> np.ndarray:
    """What lies above the ceiling is at it."""
    return by_strips(stops, lambda x: x + np.float32(shift))


def display(stops: np.ndarray, middle: float, shift: float, ceiling: float = 0.0) -> np.ndarray:
    """Exposure fusion (Mertens et al. 2009) of virtual exposures of the radiance, which has no ghosts.

    The ceiling does not count.
    """
    offset = np.float32(0)
    height, width = stops.shape
    scale = min(1.0, _SIDE / max(height, width))
    small = cv2.resize(stops, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else stops
    where = np.abs(small - np.float32(middle)) <= 1
    if where.any():
        # Blending moves everything; the shift is what it does to pixels that were at the median.
        for _ in range(3):
            offset += np.float32(middle - np.median(_blend(small + offset)[where]))
    return _blend(stops + offset) + np.float32(shift)


def _blend(stops: np.ndarray) -> np.ndarray:
    from apnt.methods.mertens import fuse  # here: the other looks need no method

    lowest = max(float(np.percentile(stops, 1)), -14.0)
    above = max(0.0, np.ceil(_top(stops) / _FUSED_EV))
    below = max(0.0, np.floor((-5.0 - lowest) / _FUSED_EV))
    shifts = np.arange(-above, below + 1) * _FUSED_EV
    frames = [
        SRGB.encode(np.repeat(np.exp2(stops + np.float32(shift))[..., None], 3, axis=-1)) for shift in shifts
    ]
    if len(frames) == 1:
        return stops
    fused = SRGB.linear(np.clip(fuse(np.stack(frames), colour=False), 0, 1).astype(np.float32))[..., 0]
    return np.log2(np.maximum(fused, np.float32(2.0**-16)))


def _top(stops: np.ndarray) -> float:
    return float(np.percentile(stops[::2, ::2], 100 - _GIVEN_UP))


def _anchored(stops: np.ndarray, middle: float, ceiling: float) -> tuple[ToneCurve, float]:
    """The curve, and the shift in stops before it by which the median stays where it is.

    A night in which something is burnt out is brighter by ``_OPENED``: who looks at it sees trees and roofs.
    """
    top, offset = _top(stops), 0.0
    opened = _OPENED * (1 - daylight(middle)) * float(np.clip(top, 0, 1))  # the same for every ceiling
    top, middle = top + opened, middle + opened
    step = max(1, int(np.sqrt(stops.size / _SAMPLE)))
    sample = stops[::step, ::step] + np.float32(opened)
    for _ in range(4):  # the curve depends a little on the shift
        curve = ToneCurve(sample + np.float32(offset), top + offset, middle + offset, ceiling)
        offset = _solve(curve, middle)
    return curve, offset + opened


def _solve(curve: Callable[[float], np.ndarray], middle: float) -> float:
    """``o`` with ``curve(middle + o) == middle``, of an increasing curve."""
    low, high = -_REACH, _REACH
    for _ in range(40):
        half = 0.5 * (low + high)
        low, high = (half, high) if float(curve(middle + half)) < middle else (low, half)
    return 0.5 * (low + high)
