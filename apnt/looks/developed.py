"""Radiance as a photograph would show it at the exposure that suits each pixel."""

from __future__ import annotations

import numpy as np

from apnt import scratch
from apnt.across import across
from apnt.looks.colour import SRGB, Seen, coloured, luminance, yellower
from apnt.looks.mood import FLOOR, Mood
from apnt.smooth import smoothstep
from apnt.strips import strips


class Developed:
    """Radiance, and the curves of a photograph.

    Attributes:
        mood: how light is shown.
        stops: (H, W) float32, luminance as the photograph would show it if it were not clipped, 0 = white.
    """

    def __init__(self, image: np.ndarray, gains: np.ndarray, mood: Mood) -> None:
        """Keep the radiance, of which there is no copy.

        Args:
            image: (H, W, 3) float32, linear, not negative, not all 0.
            gains: (3,) float32, white balance.
            mood: how light is shown.
        """
        self.mood = mood
        self._image, self._gains = image, gains
        most = max((image[rows] * gains).max() for rows in strips(len(image)))
        self._darkest = most * np.float32(2.0**-FLOOR)
        self.stops = scratch.empty(image.shape[:2], np.float32)
        for rows in strips(len(image)):
            self.stops[rows] = np.log2(luminance(self._shown(self._light(rows))))
        lowest = np.float32(self.stops.max() - FLOOR)
        np.maximum(self.stops, lowest, out=self.stops)

    def picture(self, wanted: np.ndarray) -> np.ndarray:
        """(H, W, 3) float32 sRGB in [0, 1] of a wanted luminance, (H, W) in stops.

        The curve of each channel gives colours their strength and hue, as in the camera. A pixel that is to
        be darker has the colour that the camera gives it at the exposure in which its luminance is the wanted
        one: the glow of a lamp is that of a shorter exposure, golden where the photograph has it white. One
        that is to be brighter keeps its colour, because the dark end of a photograph's curves, which are
        steep there and hardly known, would make shadows as colourful as stained glass.
        """
        picture = scratch.empty((*wanted.shape, 3), np.float32)
        for rows in strips(len(picture)):
            light, target = self._light(rows), np.minimum(wanted[rows], np.float32(0))
            exposure = np.minimum(target - self.stops[rows], 0)
            for _ in range(_STEPS):
                found = np.log2(luminance(self._shown(light + exposure[..., None])))
                exposure = np.minimum(exposure + target - found, 0)
            colours = self._shown(light + exposure[..., None])
            colours = _paled(colours, target - self.stops[rows])
            burnt = np.clip((self.stops[rows] - target) / np.float32(_BURNT), 0, 1)
            if self.mood.photographed:
                colours = yellower(colours, burnt * np.sqrt(burnt) * smoothstep(*_LIGHT, target))
            seen = Seen(
                burnt,
                np.interp(self.stops[rows], _WHITE, (0, 1)).astype(np.float32),
                np.minimum(across(np.minimum, self._shown(light)) / np.float32(_PALE), 1),
            )
            picture[rows] = SRGB.encode(coloured(np.exp2(target), colours, seen))
        return picture

    def _light(self, rows: slice) -> np.ndarray:
        return np.log2(np.maximum(self._image[rows] * self._gains, self._darkest))

    def _shown(self, light: np.ndarray) -> np.ndarray:
        return np.exp2(self.mood(light))


_STEPS = 1  # of the search for a pixel's exposure; the rest is scaled


_BURNT = 2.5  # stops by which a light is brought down from which strong light colours lose most
_WHITE = (-0.1, 0.3)  # luminances in stops from which a photograph begins to show white, and does
_LIGHT = (-2.7, -0.8)  # stops: luminances from which burnt-out orange turns to yellow, and turns in full
_PALE = 0.05  # smallest channel, linear, from which a colour is not pure
_FAINT = (-9.5, -7.0)  # stops: largest channels of which hardly a colour, and all of it, is believed
_LEAST_COLOUR = 0.35  # share of a faint colour that stays


def _paled(shown: np.ndarray, brighter: np.ndarray) -> np.ndarray:
    """Take colour from what a photograph shows almost black and the look brightens; luminance stays.

    There the colours of a photograph are those of its noise and its black levels: panes of a dark window
    would be purple. Cameras do the same.

    Args:
        shown: (..., 3) float32, linear, overwritten.
        brighter: (...) float32, stops; from one stop on a colour is as pale as it comes.
    """
    faint = np.interp(np.log2(across(np.maximum, shown)), _FAINT, (1 - _LEAST_COLOUR, 0)).astype(np.float32)
    share = 1 - faint * np.clip(brighter, 0, 1)
    own = luminance(shown)[..., None]
    shown -= own
    shown *= share[..., None]
    shown += own
    return shown


def log_luminance(image: np.ndarray) -> np.ndarray:
    """(H, W) float32, log2; what is darker than the brightest by more than ``FLOOR`` stops is put there."""
    own = scratch.empty(image.shape[:2], np.float32)
    for rows in strips(len(image)):
        own[rows] = luminance(image[rows])
    np.maximum(own, own.max() * np.float32(2.0**-FLOOR), out=own)
    return np.log2(own, out=own)
