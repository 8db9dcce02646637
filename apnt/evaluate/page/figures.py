"""Figures, legends and rows of a page, and the row that shows what a network saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from apnt.evaluate import pictures
from apnt.evaluate.page.places import Place
from apnt.methods import Maps

LONGEST = 576
"""Pixels of the longest side of a picture."""

MAP_LONGEST = 400
"""Of an error, attention or offset map, which is read at a glance."""

Colour = tuple[int, int, int]

_HALF = 0.5  # attention on both sides of that of a map of one value, from white to blue


class Figure(NamedTuple):
    """A picture, as a data URI, with the places that are framed in it, and its caption of two lines."""

    label: str
    source: str
    detail: str = ""
    places: Sequence[Place] = ()


class Key(NamedTuple):
    """An entry of a legend: a swatch, bar or wheel (the CSS class), and the text on both sides of it."""

    kind: str
    style: str
    after: str
    before: str = ""


class Row(NamedTuple):
    """Figures beside each other under a heading; ``columns`` None = as many as figures."""

    title: str
    figures: list[Figure]
    detail: str = ""
    legend: Sequence[Key] = ()
    columns: int | None = None
    crops: bool = False


def saw(
    title: str, maps: Maps, names: Sequence[str], reference: int, offsets: tuple[int, list[Figure]] | None
) -> Row:
    """Attention maps, offset field and expected error of one network.

    Args:
        title: of the network.
        maps: what it saw.
        names: of the frames that it got, by ascending exposure.
        reference: which of them is the reference.
        offsets: length of an offset in full colour, pixels, and the figures; None = no match.
    """
    others = [name for k, name in enumerate(names) if k != reference]
    attention = [
        (f"motion attention, {name}", values) for name, values in zip(others, maps.motion, strict=True)
    ]
    figures = []
    for label, values in [*attention, (f"saturation attention, {names[reference]}", maps.saturation)]:
        low, high, scale_said = _scale(values)
        picture = pictures.ramp(values, low, high, pictures.ATTENTION_RAMP)
        figures.append(figure(label, picture, scale_said, longest=MAP_LONGEST))
    scale = "most attention; mean over channels, 1st to 99th percentile"
    legend = [bar(pictures.ATTENTION_RAMP, "least", scale)]
    if offsets is not None:
        reach, found = offsets
        figures += found
        text = (
            f"where the content of the {names[reference]} exposure lies in the {others[0]} one: "
            f"white in place, at the rim {reach} px or more"
        )
        legend.append(Key("wheel", "", text))
    if maps.error is not None:
        top = pictures.ERROR_TOP
        picture = pictures.ramp(maps.error, 0, top, pictures.ERROR_RAMP)
        mean = f"mean {float(maps.error.mean()):.4f}"
        figures.append(figure("error that the network expects", picture, mean, longest=MAP_LONGEST))
        legend.append(bar(pictures.ERROR_RAMP, "0", f"{top:g} and more, after the µ-law curve"))
    return Row("What the network saw", figures, title, legend, columns=max(5, len(figures)))


def _scale(values: np.ndarray) -> tuple[float, float, str]:
    """What is white and what is blue in an attention map, and its caption.

    A map of one value, to two decimals, is shown in one colour: stretched, it would show rounding.
    """
    low, high = (float(v) for v in np.percentile(values, (1, 99)))
    if f"{low:.2f}" != f"{high:.2f}":
        return low, high, f"white {low:.2f}, blue {high:.2f}"
    same = f"{values.min():.2f}" == f"{values.max():.2f}"
    middle = (low + high) / 2
    return middle - _HALF, middle + _HALF, f"{middle:.2f} {'everywhere' if same else 'in all but 2 % of it'}"


def offsets_found(offset: np.ndarray, detail: str = "", reach: int | None = None) -> tuple[int, Figure]:
    """The offset in full colour, pixels, by itself a round number; and the field (H, W, 2) as a figure."""
    reach = pictures.reach_of(offset) if reach is None else reach
    return reach, figure("offsets found", pictures.flow(offset, reach), detail, longest=MAP_LONGEST)


def figure(
    label: str,
    picture: np.ndarray,
    detail: str = "",
    places: Sequence[Place] = (),
    *,
    longest: int = LONGEST,
    quality: int = 82,
) -> Figure:
    """A figure of a picture (H, W, 3) uint8, shrunk to ``longest`` pixels a side, as JPEG."""
    return Figure(label, pictures.data_uri(pictures.fit(picture, longest), quality), detail, places)


def swatch(colour: Colour, label: str) -> Key:
    """A square of one colour, with what it means."""
    return Key("swatch", f"background:rgb{colour}", label)


def bar(colours: Sequence[Colour], low: str, high: str) -> Key:
    """A colour bar from the first colour to the last, with what its ends mean."""
    stops = ", ".join(f"rgb{colour}" for colour in colours)
    return Key("bar", f"background:linear-gradient(to right, {stops})", high, low)
