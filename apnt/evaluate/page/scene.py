"""One scene of the page: exposures, results, enlarged places, errors, and what the network saw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from apnt.bracket import Bracket
from apnt.data.synthetic import SyntheticBracket
from apnt.evaluate import pictures
from apnt.evaluate.page.figures import (
    MAP_LONGEST,
    Figure,
    Row,
    bar,
    figure,
    offsets_found,
    saw,
    swatch,
)
from apnt.evaluate.page.places import Place, find_places
from apnt.evaluate.protocols import pixel_masks
from apnt.evaluate.tables import BASELINE
from apnt.methods import Maps, Method
from apnt.metrics import each_psnr_mu

_SATURATED, _MOVING = (243, 166, 44), (200, 30, 90)  # RGB of the two kinds of pixels

Masks = Mapping[str, np.ndarray | None]


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
            figure(label, place.cut(picture), quality=92)
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
        figure(f"{label}, {math.log2(time):+.3g} EV", picture)
        for label, time, picture in zip(labels, bracket.times, inputs, strict=True)
    ]
    colours = {"saturated": _SATURATED, "moving saturated": _MOVING}
    areas = {colour: mask for name, colour in colours.items() if (mask := masks[name]) is not None}
    marked = pictures.mark(inputs[bracket.reference], areas)
    figures.append(figure("pixels that are counted apart", marked))
    legend = [swatch(_SATURATED, f"saturated in the {bracket.frame_names[bracket.reference]} exposure")]
    if bracket.moving is not None:
        legend.append(swatch(_MOVING, "saturated, and an object moves over it"))
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
    figures = [figure(*parts) for parts in zip(titles, results, scores, strict=True)]
    figures.append(figure("truth", truth, places=places))
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
        figures.append(figure(title, picture, f"mean {error.mean():.4f}", longest=MAP_LONGEST))
    scale = bar(pictures.ERROR_RAMP, "0", f"{top:g} and more (0.01 everywhere is 40 dB, 0.1 is 20 dB)")
    detail = "absolute difference after the µ-law curve (0 to 1), mean over RGB"
    # One column is left free, so that each error lies below its result.
    return Row("Error", figures, detail, [scale], columns=len(figures) + 1)


def _network(title: str, maps: Maps, bracket: Bracket) -> Row:
    """Attention maps and offset field of one network."""
    offsets = None if maps.offset is None else _offsets(maps.offset, bracket)
    return saw(title, maps, bracket.frame_names, bracket.reference, offsets)


def _offsets(offset: np.ndarray, bracket: Bracket) -> tuple[int, list[Figure]]:
    """The offset in full colour, pixels; the offsets found, and the true ones where they are known."""
    if not isinstance(bracket, SyntheticBracket):
        reach, found = offsets_found(offset)
        return reach, [found]
    reach = pictures.reach_of(bracket.motion[bracket.visible])
    _, found = offsets_found(offset, _hits(offset, bracket), reach)
    true = pictures.flow(bracket.motion, reach, bracket.visible)
    return reach, [found, figure("true offsets", true, "grey: hidden", longest=MAP_LONGEST)]


def _hits(offset: np.ndarray, bracket: SyntheticBracket) -> str:
    """Share of offsets within one pixel of the truth, inside saturation and elsewhere."""
    right = np.abs(offset - bracket.motion).max(axis=-1) <= 1
    areas = {"sat.": bracket.visible & bracket.saturated, "elsewhere": bracket.visible & ~bracket.saturated}
    shares = [f"{right[area].mean():.0%} {name}" for name, area in areas.items() if area.any()]
    return f"within 1 px: {', '.join(shares)}" if shares else ""
