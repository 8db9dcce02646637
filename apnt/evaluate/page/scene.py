"""One scene of the page: exposures, results, enlarged places, errors, and what the network saw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from apnt.bracket import Bracket
from apnt.data.synthetic import SyntheticBracket
from apnt.evaluate import pictures
from apnt.evaluate.page.places import Place, find_places
from apnt.evaluate.protocols import pixel_masks
from apnt.evaluate.tables import BASELINE
from apnt.methods import Maps, Method
from apnt.metrics import each_psnr_mu

_LONGEST = 576  # pixels of the longest side of a picture
_MAP_LONGEST = 400  # of an error, attention or offset map, which is read at a glance
_SATURATED, _MOVING = (243, 166, 44), (200, 30, 90)  # RGB of the two kinds of pixels

Masks = Mapping[str, np.ndarray | None]
Colour = tuple[int, int, int]


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


class Scene(NamedTuple):
    """What ``scene.html.j2`` shows; ``size`` is height and width in pixels."""

    position: int
    name: str
    size: tuple[int, int]
    about: str
    rows: list[Row]


def make_scene(
    position: int,
    bracket: Bracket,
    results: Mapping[str, np.ndarray],
    maps: Mapping[str, Maps],
    methods: Mapping[str, Method],
    featured: str,
) -> Scene:
    """Draw everything that is known of an evaluated bracket.

    Args:
        position: of the bracket in the set.
        bracket: with truth.
        results: method -> (H, W, 3) radiance, that of the baseline among them; or a picture for a display, of
            a method of that kind, which is shown as it is.
        maps: method -> what it saw, for those that tell.
        methods: titles of the methods.
        featured: the method for which the enlarged places are chosen.
    """
    assert bracket.truth is not None
    masks = pixel_masks(bracket)
    radiance = {name: result for name, result in results.items() if methods[name].kind == "radiance"}
    errors = {name: pictures.error_map(result, bracket.truth) for name, result in radiance.items()}
    places = find_places(errors, featured, BASELINE, masks)
    inputs = [_as_it_is(frame) for frame in bracket.ldr]
    titles = [methods[name].title for name in results]
    *alike, truth = pictures.tone_map_alike([*radiance.values(), bracket.truth])
    shown = dict(zip(radiance, alike, strict=True))
    mapped = [*(shown.get(name, _as_it_is(result)) for name, result in results.items()), truth]
    scores = [
        _scores(result, bracket.truth, masks) if name in radiance else "a picture for a display"
        for name, result in results.items()
    ]

    labels = [*(f"{name} input" for name in bracket.frame_names), *titles, "truth"]
    rows = [_exposures(bracket, inputs, masks), _results(titles, scores, mapped, places, masks)]
    for number, place in enumerate(places, 1):
        crops = [
            _figure(label, place.cut(picture), quality=92)
            for label, picture in zip(labels, [*inputs, *mapped], strict=True)
        ]
        reason = f"{methods[featured].title}: {place.reason}; {place.side} pixels wide"
        rows.append(Row(str(number), crops, reason, crops=True))
    rows.append(_errors([methods[name].title for name in errors], list(errors.values())))
    rows += [_network(methods[name].title, maps[name], bracket) for name in results if name in maps]
    return Scene(position, bracket.name, bracket.size, _about(bracket, masks), rows)


def _as_it_is(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 of a display-referred picture in [0, 1]."""
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _about(bracket: Bracket, masks: Masks) -> str:
    height, width = bracket.size
    shares = [f"{mask.mean():.1%} {name}" for name, mask in masks.items() if mask is not None and mask.any()]
    return ", ".join([f"{width} × {height} pixels", *shares])


def _exposures(bracket: Bracket, inputs: Sequence[np.ndarray], masks: Masks) -> Row:
    labels = list(bracket.frame_names)
    if len(labels) != 3:  # of three, the name says which one is the reference
        labels[bracket.reference] += ", reference"
    figures = [
        _figure(f"{label}, {math.log2(time):+.3g} EV", picture)
        for label, time, picture in zip(labels, bracket.times, inputs, strict=True)
    ]
    colours = {"saturated": _SATURATED, "moving saturated": _MOVING}
    areas = {colour: mask for name, colour in colours.items() if (mask := masks[name]) is not None}
    marked = pictures.mark(inputs[bracket.reference], areas)
    figures.append(_figure("pixels that are counted apart", marked))
    legend = [_swatch(_SATURATED, f"saturated in the {bracket.frame_names[bracket.reference]} exposure")]
    if bracket.moving is not None:
        legend.append(_swatch(_MOVING, "saturated, and an object moves over it"))
    return Row("Exposures", figures, legend=legend)


def _results(
    titles: Sequence[str],
    scores: Sequence[str],
    mapped: Sequence[np.ndarray],
    places: Sequence[Place],
    masks: Masks,
) -> Row:
    """The results and, last of the tone-mapped pictures, the truth with the places in it."""
    *results, truth = mapped
    figures = [_figure(*parts) for parts in zip(titles, results, scores, strict=True)]
    figures.append(_figure("truth", truth, places=places))
    kinds = " and ".join(name for name, mask in masks.items() if mask is not None and mask.any())
    detail = "tone-mapped by one curve; PSNR-µ on all pixels" + (f", and on {kinds} ones" if kinds else "")
    if places:
        detail += "; what is framed in the truth is enlarged below"
    return Row("Results", figures, detail)


def _scores(result: np.ndarray, truth: np.ndarray, masks: Masks) -> str:
    names = {"saturated": "sat.", "moving saturated": "moving"}
    whole, *parts = each_psnr_mu(result, truth, [None, *(masks[name] for name in names)])
    known = {name: value for name, value in zip(names.values(), parts, strict=True) if not math.isnan(value)}
    return " · ".join([f"{whole:.1f} dB", *(f"{name} {value:.1f}" for name, value in known.items())])


def _errors(titles: Sequence[str], errors: Sequence[np.ndarray]) -> Row:
    top = pictures.ERROR_TOP
    figures = []
    for title, error in zip(titles, errors, strict=True):
        picture = pictures.ramp(error, 0, top, pictures.ERROR_RAMP)
        figures.append(_figure(title, picture, f"mean {error.mean():.4f}", longest=_MAP_LONGEST))
    bar = _bar(pictures.ERROR_RAMP, "0", f"{top:g} and more (0.01 everywhere is 40 dB, 0.1 is 20 dB)")
    detail = "absolute difference after the µ-law curve (0 to 1), mean over RGB"
    # One column is left free, so that each error lies below its result.
    return Row("Error", figures, detail, [bar], columns=len(figures) + 1)


def _network(title: str, maps: Maps, bracket: Bracket) -> Row:
    """Attention maps and offset field of one network."""
    names = bracket.frame_names
    reference = names[bracket.reference]
    attention = [
        (f"motion attention, {names[k]}", values)
        for k, values in zip(bracket.others, maps.motion, strict=True)
    ]
    figures = []
    for label, values in [*attention, (f"saturation attention, {reference}", maps.saturation)]:
        low, high = (float(v) for v in np.percentile(values, (1, 99)))
        picture = pictures.ramp(values, low, high, pictures.ATTENTION_RAMP)
        figures.append(_figure(label, picture, f"white {low:.2f}, blue {high:.2f}", longest=_MAP_LONGEST))
    scale = "most attention; mean over channels, 1st to 99th percentile"
    legend = [_bar(pictures.ATTENTION_RAMP, "least", scale)]
    if maps.offset is not None:
        reach, offsets = _offsets(maps.offset, bracket)
        figures += offsets
        text = (
            f"where the content of the {reference} exposure lies in the {names[bracket.others[0]]} one: "
            f"white in place, at the rim {reach} px or more"
        )
        legend.append(Key("wheel", "", text))
    return Row("What the network saw", figures, title, legend, columns=5)


def _offsets(offset: np.ndarray, bracket: Bracket) -> tuple[int, list[Figure]]:
    """The offset in full colour, pixels; the offsets found, and the true ones where they are known."""
    if not isinstance(bracket, SyntheticBracket):
        reach = pictures.reach_of(offset)
        return reach, [_figure("offsets found", pictures.flow(offset, reach), longest=_MAP_LONGEST)]
    reach = pictures.reach_of(bracket.motion[bracket.visible])
    found = pictures.flow(offset, reach)
    true = pictures.flow(bracket.motion, reach, bracket.visible)
    return reach, [
        _figure("offsets found", found, _hits(offset, bracket), longest=_MAP_LONGEST),
        _figure("true offsets", true, "grey: hidden", longest=_MAP_LONGEST),
    ]


def _hits(offset: np.ndarray, bracket: SyntheticBracket) -> str:
    """Share of offsets within one pixel of the truth, inside saturation and elsewhere."""
    right = np.abs(offset - bracket.motion).max(axis=-1) <= 1
    areas = {"sat.": bracket.visible & bracket.saturated, "elsewhere": bracket.visible & ~bracket.saturated}
    shares = [f"{right[area].mean():.0%} {name}" for name, area in areas.items() if area.any()]
    return f"within 1 px: {', '.join(shares)}" if shares else ""


def _figure(
    label: str,
    picture: np.ndarray,
    detail: str = "",
    places: Sequence[Place] = (),
    *,
    longest: int = _LONGEST,
    quality: int = 82,
) -> Figure:
    return Figure(label, pictures.data_uri(pictures.fit(picture, longest), quality), detail, places)


def _swatch(colour: Colour, label: str) -> Key:
    return Key("swatch", f"background:rgb{colour}", label)


def _bar(colours: Sequence[Colour], low: str, high: str) -> Key:
    """A colour bar from the first colour to the last, with what its ends mean."""
    stops = ", ".join(f"rgb{colour}" for colour in colours)
    return Key("bar", f"background:linear-gradient(to right, {stops})", high, low)
