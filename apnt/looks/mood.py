"""What a picture keeps of a photograph: how bright each light is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from apnt import scratch
from apnt.across import across
from apnt.errors import InputError
from apnt.looks.colour import SRGB, luminance
from apnt.strips import strips

KEY = 0.2
"""Linear luminance of the display to which the middle of a scene goes where no photograph says it."""

FLOOR = 24.0
"""Stops below the brightest light from which light counts as black."""

SHOULDER = 0.65
"""Contrast of what is brighter than a photograph shows, in stops a stop."""

_SIDE = 640  # pixels: the longer side of what is compared
_CLIPPED = 0.98  # value from which a channel of the photograph counts as saturated
_DARKEST = 2.0**-8  # linear value of a channel below which noise and rounding tell it
_SHOWN = (2.0**-9, 0.7)  # linear luminance of the photograph that its curve is read from
_BIN = 0.5  # stops
_FEWEST = 5e-4  # share of the pixels that tell a bin's value
_BRIGHTEST = 98  # per cent
_LIT = -1.0  # stops below white that the largest channel of the brightest pixels comes to, if well exposed
_LIFTED = 0.65  # share of what is missing to that
_SLOPES = (0.6, 2.5)  # contrast that a camera's curve may have, in stops a stop
_SURE = -6.5  # stops below white: further down noise and the camera's black tell a curve
_FAR = 3.0  # stops of the display in which two channels must be known for their contrasts to be compared
_STEEPEST = 0.3  # stops a stop by which these may differ; below 1 / 2.5, so that curves increase


Curve = tuple[np.ndarray, np.ndarray]
"""(K,) log2 of light and (K,) log2 of the display's linear light for it, both increasing; 0 is its white."""


@dataclass(frozen=True, eq=False)
class Mood:
    """How light is shown.

    Attributes:
        curves: of red, green and blue.
        middle: log2 of the display's luminance at which the median of the trusted pixels is shown.
        lift: stops by which a photographer would open the aperture, see :func:`mood_of`.
        photographed: whether a photograph told it.
    """

    curves: tuple[Curve, Curve, Curve]
    middle: float
    lift: float = 0.0
    photographed: bool = False

    def opened(self) -> Mood:
        """The mood with every light shown brighter by the lift."""
        red, green, blue = ((light, shown + self.lift) for light, shown in self.curves)
        return replace(self, curves=(red, green, blue), middle=self.middle + self.lift, lift=0.0)

    def __call__(self, light: np.ndarray) -> np.ndarray:
        """Stops below the display's white, above it positive, (..., 3) float32, of log2 light, (..., 3).

        Below the curves the slope is 1; above them it is :data:`SHOULDER`: a camera's curve flattens towards
        white, and so do colours.
        """
        shown = np.empty(light.shape, np.float32)
        for channel, (knots, values) in enumerate(self.curves):
            own = light[..., channel]
            shown[..., channel] = np.interp(own, knots, values)
            shown[..., channel] += np.minimum(own - knots[0], 0)
            shown[..., channel] += np.float32(SHOULDER) * np.maximum(own - knots[-1], 0)
        return shown


def plain_mood(light: np.ndarray) -> Mood:
    """The middle of the scene at :data:`KEY`, contrast as it is.

    Args:
        light: (H, W) log2 luminance.
    """
    lit = light[light > light.max() - FLOOR + 1]
    middle = 0.5 * float(np.median(lit)) + 0.5 * float(lit.mean())
    key, top = float(np.log2(KEY)), float(np.log2(_SHOWN[1]))
    curve = np.array([middle, middle + top - key]), np.array([key, top])
    return Mood((curve, curve, curve), key)


def mood_of(image: np.ndarray, photo: np.ndarray, longer: tuple[np.ndarray, float] | None = None) -> Mood:
    """Read from a photograph how the light of a radiance image is shown in it.

    Where the photograph is neither saturated nor black, each of its channels is a function of the light: the
    camera's exposure, white balance and tone curve. It is read as the median for each half stop of light,
    from the median of these pixels outwards.

    A night with a lamp or a lit house in it is well exposed: its dark parts are meant to be dark. Where even
    the brightest fiftieth of the photograph is far below white, in each channel, it is darker than it need
    be. The lift is two thirds of what brings these up to half of white, so that what is dark stays rather
    dark.

    Args:
        image: (H, W, 3) float32, linear, not negative.
        photo: (H, W, 3) float in [0, 1], sRGB, of the same scene and geometry.
        longer: a longer exposure of the same geometry, (h, w, 3) float32 in [0, 1], sRGB, of any size, and
            the stops by which it is longer; what the photograph shows too dark to be read is read off it.

    Raises:
        InputError: another size, or hardly a pixel of the photograph is neither saturated nor black.
    """
    if photo.shape != image.shape:
        raise InputError(f"like must be a photograph of the radiance's size {image.shape}, got {photo.shape}")
    blown, light = scratch.empty(photo.shape[:2], np.float32), scratch.empty(photo.shape, np.float32)
    for rows in strips(len(photo)):
        blown[rows] = across(np.maximum, photo[rows]) >= _CLIPPED
        light[rows] = SRGB.linear(photo[rows])
    image, photo = _small(image), _small(light)
    seen = luminance(photo)
    trusted = _trusted(image, photo, _small(blown) > 0.02)
    if trusted.mean() < 10 * _FEWEST:
        raise InputError(
            "like must be a photograph that is neither saturated nor black, and "
            f"{1 - trusted.mean():.2%} of its pixels are"
        )
    middle = float(np.log2(np.median(seen[trusted])))
    lights, shown = image[trusted], photo[trusted]
    if longer is not None:
        exposed, stops = longer
        small = cv2.resize(exposed, photo.shape[1::-1], interpolation=cv2.INTER_AREA)
        more = SRGB.linear(small)
        told = _trusted(image, more, across(np.maximum, small) >= _CLIPPED)
        lights = np.concatenate([lights, image[told] * np.float32(2.0**stops)])
        shown = np.concatenate([shown, more[told]])
    fewest = _FEWEST * seen.size
    read = [_read_curve(lights[:, c], shown[:, c], fewest) for c in range(3)]
    red, green, blue = _alike(read, lights, shown, fewest)
    brightest = max(float(np.percentile(across(np.maximum, photo), _BRIGHTEST)), 2.0**-FLOOR)
    return Mood((red, green, blue), middle, _LIFTED * max(_LIT - float(np.log2(brightest)), 0.0), True)


def _trusted(image: np.ndarray, photo: np.ndarray, clipped: np.ndarray) -> np.ndarray:
    """(H, W) bool: where a photograph, (H, W, 3) linear, is neither saturated, (H, W), nor black."""
    seen = luminance(photo)
    return ~clipped & (seen > _SHOWN[0]) & (seen < _SHOWN[1]) & (luminance(image) > 0)


def _alike(
    read: list[Curve | None], light: np.ndarray, seen: np.ndarray, fewest: float
) -> tuple[Curve, Curve, Curve]:
    """One curve for all channels, each at its own gain and contrast.

    Cameras have one, after the white balance. Three, read apart, would each follow the objects that happen to
    have its light, and clouds that are grey would come out violet here and green there. So the channels' own
    curves tell only by how much light one is ahead of another where both show the same: a straight line, of a
    gain and of a little more or less contrast.

    Args:
        read: the channels' own curves; None where the photograph shows nothing but noise.
        light: (P, 3) linear radiance.
        seen: (P, 3) linear values of the photograph.
        fewest: pixels that tell a bin's value.
    """
    told = {c: curve for c, curve in enumerate(read) if curve is not None}
    if not told:  # all else by the slope
        curve = np.log2([max(float(light.mean()), 1e-30)]), np.log2([max(float(seen.mean()), 1e-30)])
        return curve, curve, curve
    widest = told[max(told, key=lambda c: float(np.ptp(told[c][1])))]
    ahead = {c: _ahead(curve, widest) for c, curve in told.items()}
    together = []
    for c, curve in told.items():
        own = np.log2(np.maximum(light[:, c], np.float32(1e-30)))
        together.append(np.exp2(own - np.polyval(ahead[c], np.interp(own, *curve))) * (light[:, c] > 0))
    common = (
        _read_curve(np.concatenate(together), np.concatenate([seen[:, c] for c in told]), fewest) or widest
    )
    # A channel of which the photograph shows nothing but noise is shown as the darkest of the others is.
    other = min(ahead.values(), key=lambda line: float(np.polyval(line, common[1][0])))
    red, green, blue = ((common[0] + np.polyval(ahead.get(c, other), common[1]), common[1]) for c in range(3))
    return red, green, blue


def _ahead(curve: Curve, other: Curve) -> np.ndarray:
    """Stops more light that a channel has than another where both are shown alike: a straight line of these.

    Returns:
        (2,), slope and height at 0, for :func:`numpy.polyval`.
    """
    low, high = max(curve[1][0], other[1][0], _SURE), min(curve[1][-1], other[1][-1])
    shown = np.linspace(low, high, 64) if low < high else np.array([0.5 * (low + high)])
    more = np.interp(shown, curve[1], curve[0]) - np.interp(shown, other[1], other[0])
    slope = 0.0
    if high - low > _FAR:
        slope = float(np.clip(np.polyfit(shown, more, 1)[0], -_STEEPEST, _STEEPEST))
    return np.array([slope, float(np.median(more - slope * shown))])


def _read_curve(light: np.ndarray, seen: np.ndarray, fewest: float) -> Curve | None:
    """The curve of one channel, of (P,) linear values; None where the photograph shows hardly any of it.

    Which pixels tell it is chosen by their light: those that are not black in the photograph are, where it
    is dark, those with the most noise.
    """
    lit = light > 0
    index = _bin_of(np.log2(light[lit]))
    told = [k for k, shown in _by_bin(index, seen[lit]) if _told(shown, fewest)]
    usable = np.zeros(len(light), bool)
    usable[lit] = np.isin(index, told)
    if not usable.any():
        return None
    light, seen = np.log2(light[usable]), np.log2(np.maximum(seen[usable], np.float32(_DARKEST)))
    centre, level = float(np.median(light)), float(np.median(seen))
    light, seen = light - centre, seen - level
    found = {0: 0.0}
    for k, shown in _by_bin(_bin_of(light), seen):
        if k and len(shown) >= fewest:
            found[k] = float(np.median(shown))
    knots = np.array(sorted(found))
    values = np.array([found[int(k)] for k in knots])
    zero = int(np.flatnonzero(knots == 0)[0])
    for start, stop, step in ((zero + 1, len(knots), 1), (zero - 1, -1, -1)):
        for k in range(start, stop, step):
            run = abs(knots[k] - knots[k - step]) * _BIN
            rise = step * (values[k] - values[k - step])
            values[k] = values[k - step] + step * np.clip(rise, _SLOPES[0] * run, _SLOPES[1] * run)
    return knots * _BIN + centre, values + level


def _bin_of(stops: np.ndarray) -> np.ndarray:
    return np.rint(stops / _BIN).astype(np.int16)


def _by_bin(index: np.ndarray, values: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each bin that holds values, and these."""
    order = np.argsort(index, kind="stable")  # small integers sort by radix
    for members in np.split(order, np.flatnonzero(np.diff(index[order])) + 1):
        if len(members):
            yield int(index[members[0]]), values[members]


def _told(seen: np.ndarray, fewest: float) -> bool:
    return len(seen) >= fewest and float(np.median(seen)) > _DARKEST


def _small(image: np.ndarray) -> np.ndarray:
    scale = _SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
