"""White balance of a picture: as shot, grey world, a colour temperature, or gains."""

from __future__ import annotations

import numpy as np

from apnt.across import across
from apnt.errors import InputError
from apnt.io.profile import PRIMARIES, to_xyz
from apnt.looks.colour import luminance
from apnt.strips import rows_of, strips

AS_SHOT, GREY_WORLD = "as-shot", "grey-world"
KELVIN = (2000.0, 25000.0)
"""Colour temperatures that are taken; the daylight locus is defined from 4000 K to 25000 K."""

_PLANCK_TO_DAYLIGHT = 4000.0
_ASK = "as-shot, grey-world, a colour temperature such as 5200K, or gains of red, green, blue as in 1.1,1,0.9"


def white_balance_gains(balance: str | tuple[float, float, float], image: np.ndarray) -> np.ndarray:
    """(3,) float32 gains of red, green and blue that leave the luminance of grey as it is.

    Args:
        balance: ``"as-shot"``; ``"grey-world"``, the mean of each channel in the logarithm made equal;
            ``"5200K"``, the light for which the picture was not balanced: 6500K is as shot, less takes a
            warm light for white and makes the picture bluer; or three gains, as a tuple or "1.1,1,0.9".
        image: (H, W, 3) linear.

    Raises:
        InputError: anything else.
    """
    gains = _named(balance.strip().lower(), image) if isinstance(balance, str) else _checked(balance, balance)
    return (gains / luminance(gains)).astype(np.float32)


def check_white_balance(balance: str | tuple[float, float, float]) -> None:
    """Refuse what :func:`white_balance_gains` refuses, before there is an image."""
    white_balance_gains(balance, np.ones((1, 1, 3), np.float32))


def _named(name: str, image: np.ndarray) -> np.ndarray:
    if name == AS_SHOT:
        return np.ones(3)
    if name == GREY_WORLD:
        total, count = np.zeros(3), 0
        for rows in strips(len(image), rows_of(image.shape[1])):
            lit = image[rows][across(np.logical_and, image[rows] > 0)]
            total, count = total + np.log2(lit, dtype=np.float64).sum(axis=0), count + len(lit)
        return np.exp2(-total / max(1, count))
    kelvin = name.endswith("k")
    try:
        numbers = [float(part) for part in name.removesuffix("k").split(",")]
    except ValueError as error:
        raise InputError(f"white balance must be {_ASK}, got {name!r}") from error
    return _of_temperature(numbers[0]) if kelvin and len(numbers) == 1 else _checked(numbers, name)


def _checked(gains: object, given: object) -> np.ndarray:
    array = np.asarray(gains, np.float64)
    if array.shape != (3,) or not np.isfinite(array).all() or array.min() <= 0:
        raise InputError(f"white balance must be {_ASK}, got {given!r}")
    return array


def _of_temperature(kelvin: float) -> np.ndarray:
    if not KELVIN[0] <= kelvin <= KELVIN[1]:
        raise InputError(f"white balance must lie from {KELVIN[0]:g}K to {KELVIN[1]:g}K, got {kelvin:g}K")
    return _rgb_of(6504.0) / _rgb_of(kelvin)


def _rgb_of(kelvin: float) -> np.ndarray:
    """Linear sRGB of a light: CIE daylight from 4000 K, below the Planckian locus (Kim et al. 2002)."""
    t = 1000 / kelvin
    if kelvin < _PLANCK_TO_DAYLIGHT:
        x = -0.2661239 * t**3 - 0.2343589 * t**2 + 0.8776956 * t + 0.179910
        if kelvin < 2222:
            y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
        else:
            y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        if kelvin <= 7000:
            x = -4.6070 * t**3 + 2.9678 * t**2 + 0.09911 * t + 0.244063
        else:
            x = -2.0064 * t**3 + 1.9018 * t**2 + 0.24748 * t + 0.237040
        y = -3 * x * x + 2.87 * x - 0.275
    xyz = np.array([x / y, 1.0, (1 - x - y) / y])
    return np.maximum(np.linalg.solve(to_xyz(PRIMARIES["sRGB"]), xyz), 1e-3)
