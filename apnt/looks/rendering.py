"""The one path from radiance to a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from apnt.doing import doing, part_done
from apnt.errors import InputError
from apnt.io.radiance import check_radiance
from apnt.looks import operators
from apnt.looks.developed import Developed, log_luminance
from apnt.looks.grain import without_grain
from apnt.looks.mood import FLOOR, mood_of, plain_mood
from apnt.looks.white_balance import AS_SHOT, white_balance_gains

LOOKS: dict[str, Callable[[np.ndarray, float, float, float], np.ndarray]] = {
    "local": operators.local,
    "filmic": operators.filmic,
    "display": operators.display,
    "reinhard": operators.reinhard,
    "none": operators.none,
}
"""Name of a look to its operator, see :mod:`apnt.looks.operators`."""

HDR_LOOKS = ("local", "filmic", "none")
"""Looks that use the headroom of a display."""

_AS_EXPOSED = ("display", "none")
"""Looks that leave a photograph's exposure: one brightens what is dark itself, one changes nothing."""

_CLEAN = 0.5  # stops of lift from which noise is taken away in full

HEADROOM = 2.3
"""Stops beyond white for a picture with a gain map: 1000 cd/m2 over BT.2408's white of 203."""

MOST_STOPS = 20.0
"""How far ``exposure`` may go either way."""


def render(
    radiance: np.ndarray,
    *,
    like: np.ndarray | str | Path | None = None,
    longer: tuple[np.ndarray, float] | None = None,
    look: str = "local",
    exposure: float = 0.0,
    white_balance: str | tuple[float, float, float] = AS_SHOT,
) -> np.ndarray:
    """Make a picture for a display out of radiance.

    Independent of the radiance's scale. With ``like`` the picture keeps the mood of a photograph of the
    scene: its median luminance, where the photograph is neither saturated nor black, is the photograph's, and
    so are contrast and strength of colours there. Highlights have the colours of a shorter exposure. Where
    hardly anything of the photograph is bright, the picture is opened by up to two thirds of what is missing,
    and has less noise; not with ``"display"`` and ``"none"``.

    Args:
        radiance: (H, W, 3) float, linear RGB, finite and not negative.
        like: the photograph whose mood is kept, of the radiance's size and geometry: a path, or an array,
            (H, W, 3), uint8, uint16 or float in [0, 1], sRGB. None = the middle of the scene is shown at a
            fifth of the display's luminance.
        longer: a longer exposure of the same geometry, an array of such values and of any size, and by how
            many stops it is longer: how the camera renders light that ``like`` shows almost black.
        look: ``"local"``, a tone curve that leaves local contrast alone (local Laplacian filter);
            ``"filmic"``, the same curve for every pixel alike; ``"display"``, exposure fusion of virtual
            exposures (Mertens et al. 2009); ``"reinhard"``, the photographic operator (Reinhard et al. 2002,
            eq. 4); ``"none"``, what is above the display's white is cut off.
        exposure: stops by which the picture is brighter.
        white_balance: ``"as-shot"``, ``"grey-world"``, a temperature such as ``"5200K"``, or three gains; see
            :func:`apnt.looks.white_balance.white_balance_gains`.

    Returns:
        (H, W, 3) float32 in [0, 1], sRGB.

    Raises:
        InputError: an argument that cannot be used.
    """
    return _shown(radiance, like, longer, look, exposure, white_balance, [0.0])[1]


def render_with_gain(
    radiance: np.ndarray,
    *,
    like: np.ndarray | str | Path | None = None,
    longer: tuple[np.ndarray, float] | None = None,
    look: str = "local",
    exposure: float = 0.0,
    white_balance: str | tuple[float, float, float] = AS_SHOT,
    headroom: float = HEADROOM,
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`render`, and by how much a display with headroom is to show each pixel brighter.

    The brighter picture is the same look with its highlights fitted below ``headroom`` instead of white.

    Args:
        headroom: stops beyond white, above 0; the other arguments are :func:`render`'s.

    Returns:
        The picture, (H, W, 3) as :func:`render` gives it; and the gain, (H, W) float32, stops from 0 to
        ``headroom``.

    Raises:
        InputError: an argument that cannot be used, or a look without headroom.
    """
    check_look(look, exposure, gain_map=True)
    if not 0 < headroom <= MOST_STOPS:
        raise InputError(f"headroom must lie above 0 and up to {MOST_STOPS:g} stops, got {headroom:g}")
    (shown, brighter), picture = _shown(
        radiance, like, longer, look, exposure, white_balance, [0.0, headroom]
    )
    gain = np.minimum(brighter, np.float32(headroom)) - np.minimum(shown, np.float32(0))
    return picture, np.clip(gain, 0, np.float32(headroom))


def _shown(
    radiance: np.ndarray,
    like: np.ndarray | str | Path | None,
    longer: tuple[np.ndarray, float] | None,
    look: str,
    exposure: float,
    white_balance: str | tuple[float, float, float],
    ceilings: Sequence[float],
) -> tuple[list[np.ndarray], np.ndarray]:
    """Luminance in stops for each ceiling, (H, W); and the picture for the first, (H, W, 3) float32 sRGB."""
    check_look(look, exposure)
    image = check_radiance(radiance)
    if longer is not None and like is None:
        raise InputError("longer must be left out without like, beside which it is longer")
    gains = white_balance_gains(white_balance, image)
    if not image.any():
        return [np.full(image.shape[:2], -FLOOR, np.float32) for _ in ceilings], np.zeros_like(image)
    doing("Making the picture", 4 + len(ceilings))
    mood = plain_mood(log_luminance(image)) if like is None else mood_of(image, _photo(like), _longer(longer))
    part_done()
    if look not in _AS_EXPOSED and mood.lift > 0:
        image, mood = without_grain(image, min(1.0, mood.lift / _CLEAN)), mood.opened()
    part_done()
    developed = Developed(image, gains, mood)
    part_done()
    shown = []
    for ceiling in ceilings:
        shown.append(LOOKS[look](developed.stops, mood.middle, exposure, ceiling))
        part_done()
    return shown, developed.picture(shown[0])


def check_look(look: str, exposure: float, *, gain_map: bool = False) -> None:
    """Refuse a look or an exposure that :func:`render` or, with a gain map, :func:`render_with_gain` refuses.

    Raises:
        InputError: which one, and what it must be.
    """
    if look not in LOOKS:
        raise InputError(f"look must be one of {', '.join(LOOKS)}, got {look!r}")
    if gain_map and look not in HDR_LOOKS:
        raise InputError(f"look must be one of {', '.join(HDR_LOOKS)} for a gain map, got {look!r}")
    if not abs(exposure) <= MOST_STOPS:  # NaN too
        raise InputError(f"exposure must lie from {-MOST_STOPS:g} to {MOST_STOPS:g} stops, got {exposure:g}")


def _longer(longer: tuple[np.ndarray, float] | None) -> tuple[np.ndarray, float] | None:
    if longer is None:
        return None
    from apnt.io.photo import to_unit_rgb  # as below

    photo, stops = longer
    if not 0 < stops <= MOST_STOPS:
        raise InputError(
            f"longer must be longer by more than 0 and up to {MOST_STOPS:g} stops, got {stops:g}"
        )
    return to_unit_rgb(photo, "longer"), float(stops)


def _photo(like: np.ndarray | str | Path) -> np.ndarray:
    from apnt.io.photo import read_photo, to_unit_rgb  # here: decoders are not needed without a photograph

    return read_photo(like) if isinstance(like, str | Path) else to_unit_rgb(like, "like")
