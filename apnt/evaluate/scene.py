"""The HTML of one scene: exposures, results, places worth a look, errors, and what the network saw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from apnt.bracket import Bracket
from apnt.data.synthetic import SyntheticBracket
from apnt.evaluate import pictures, report
from apnt.evaluate.table import masks
from apnt.methods import Maps, Method
from apnt.metrics import each_psnr_mu

_LONGEST = 576  # pixels of the longest side of a picture
_MAP_LONGEST = 400  # of an error, attention or offset map, which is read at a glance
_SATURATED, _MOVING = (243, 166, 44), (200, 30, 90)  # RGB of the two kinds of pixels
_FRAMES = ("short", "medium", "long")


def scene_html(
    bracket: Bracket,
    results: Mapping[str, np.ndarray],
    maps: Mapping[str, Maps],
    methods: Mapping[str, Method],
    shown: str,
) -> str:
    """Everything there is to see of an evaluated bracket.

    Args:
        bracket: with truth.
        results: method -> (H, W, 3) radiance, the medium exposure among them.
        maps: method -> what it saw, for those that tell.
        methods: titles of the methods.
        shown: the method for which the places worth a look are chosen.
    """
    assert bracket.truth is not None
    truth, regions = bracket.truth, masks(bracket)
    errors = {name: pictures.error_map(result, truth) for name, result in results.items()}
    spots = pictures.places(errors, shown, report.REFERENCE, regions)
    inputs = [np.round(np.clip(frame, 0, 1) * 255).astype(np.uint8) for frame in bracket.ldr]
    titles = [*(methods[name].title for name in results), "truth"]
    mapped = list(zip(titles, pictures.tone_map_alike([*results.values(), truth]), strict=True))

    parts = [
        f'<h2>{escape(bracket.name)}</h2><p class="soft">{escape(_about(bracket, regions))}</p>',
        _exposures(bracket, inputs, regions),
        _results(mapped, [_scores(result, truth, regions) for result in results.values()], spots, regions),
    ]
    for number, spot in enumerate(spots, 1):
        reason = f"{methods[shown].title}: {spot.reason}; {spot.side} pixels wide"
        cuts = [(f"{name} input", frame) for name, frame in zip(_FRAMES, inputs, strict=True)] + mapped
        figures = [_figure(spot.cut(picture), title, quality=92) for title, picture in cuts]
        parts.append(_heading(str(number), reason) + _row(figures, "crops"))
    parts.append(_errors({methods[name].title: error for name, error in errors.items()}))
    parts += [_seen(methods[name].title, maps[name], bracket) for name in results if name in maps]
    return "".join(parts)


def _about(bracket: Bracket, regions: Mapping[str, np.ndarray | None]) -> str:
    height, width = bracket.ldr.shape[1:3]
    shares = [
        f"{area.mean():.1%} {name}" for name, area in regions.items() if area is not None and area.any()
    ]
    return ", ".join([f"{width} × {height} pixels", *shares])


def _exposures(
    bracket: Bracket, inputs: Sequence[np.ndarray], regions: Mapping[str, np.ndarray | None]
) -> str:
    stops = [f"{name}, {math.log2(t):+.3g} EV" for name, t in zip(_FRAMES, bracket.times, strict=True)]
    figures = [_figure(picture, label) for picture, label in zip(inputs, stops, strict=True)]
    colours = {"saturated": _SATURATED, "moving saturated": _MOVING}
    areas = {c: area for name, c in colours.items() if (area := regions[name]) is not None}
    figures.append(_figure(pictures.mark(inputs[1], areas), "pixels that are counted apart"))
    legend = _swatch(_SATURATED, "saturated in the medium exposure")
    if bracket.moving is not None:
        legend += _swatch(_MOVING, "saturated, and an object moves over it")
    return _heading("Exposures") + _row(figures) + _legend(legend)


def _results(
    mapped: Sequence[tuple[str, np.ndarray]],
    scores: Sequence[str],
    spots: Sequence[pictures.Place],
    regions: Mapping[str, np.ndarray | None],
) -> str:
    figures = [_figure(p, title, score) for (title, p), score in zip(mapped[:-1], scores, strict=True)]
    title, truth = mapped[-1]
    figures.append(_figure(truth, title, boxes=_boxes(spots, truth.shape)))
    kinds = " and ".join(name for name, area in regions.items() if area is not None and area.any())
    detail = "tone-mapped by one curve; PSNR-µ on all pixels" + (f", and on {kinds} ones" if kinds else "")
    if spots:
        detail += "; what is framed in the truth is enlarged below"
    return _heading("Results", detail) + _row(figures)


def _scores(result: np.ndarray, truth: np.ndarray, regions: Mapping[str, np.ndarray | None]) -> str:
    short = {"saturated": "sat.", "moving saturated": "moving"}
    whole, *parts = each_psnr_mu(result, truth, [None, *(regions[name] for name in short)])
    known = {name: value for name, value in zip(short.values(), parts, strict=True) if not math.isnan(value)}
    return " · ".join([f"{whole:.1f} dB", *(f"{name} {value:.1f}" for name, value in known.items())])


def _errors(errors: Mapping[str, np.ndarray]) -> str:
    top = pictures.ERROR_TOP
    figures = [
        _figure(
            pictures.ramp(error, 0, top, pictures.ERROR_RAMP),
            title,
            f"mean {error.mean():.4f}",
            longest=_MAP_LONGEST,
        )
        for title, error in errors.items()
    ]
    bar = _bar(pictures.ERROR_RAMP, "0", f"{top:g} and more (0.01 everywhere is 40 dB, 0.1 is 20 dB)")
    heading = _heading("Error", "absolute difference after the µ-law curve (0 to 1), mean over RGB")
    # One column is left free, so that each error lies below its result.
    return heading + _row(figures, columns=len(figures) + 1) + _legend(bar)


def _seen(title: str, seen: Maps, bracket: Bracket) -> str:
    """Attention maps and offset field of one network."""
    figures = []
    for label, values in (
        ("motion attention, short", seen.motion[0]),
        ("motion attention, long", seen.motion[1]),
        ("saturation attention, medium", seen.saturation),
    ):
        low, high = (float(v) for v in np.percentile(values, (1, 99)))
        picture = pictures.ramp(values, low, high, pictures.ATTENTION_RAMP)
        figures.append(_figure(picture, label, f"white {low:.2f}, blue {high:.2f}", longest=_MAP_LONGEST))
    legend = _bar(
        pictures.ATTENTION_RAMP, "least", "most attention; mean over channels, 1st to 99th percentile"
    )
    if seen.offset is not None:
        true, reach = None, pictures.reach_of(seen.offset)
        if isinstance(bracket, SyntheticBracket):
            reach = pictures.reach_of(bracket.motion[bracket.visible])
            true = pictures.flow(bracket.motion, reach, bracket.visible)
        found, hits = pictures.flow(seen.offset, reach), _hits(seen.offset, bracket)
        figures.append(_figure(found, "offsets found", hits, longest=_MAP_LONGEST))
        if true is not None:
            figures.append(_figure(true, "true offsets", "grey: hidden", longest=_MAP_LONGEST))
        legend += (
            '<span><span class="wheel" role="img" aria-label="colour wheel"></span> where the content of the '
            f"medium exposure lies in the short one: white in place, at the rim {reach} px or more</span>"
        )
    return _heading("What the network saw", title) + _row(figures, columns=5) + _legend(legend)


def _hits(offset: np.ndarray, bracket: Bracket) -> str:
    """Share of offsets within one pixel of the truth, inside saturation and elsewhere, where it is known."""
    if not isinstance(bracket, SyntheticBracket):
        return ""
    right = np.abs(offset - bracket.motion).max(axis=-1) <= 1
    areas = {"sat.": bracket.visible & bracket.saturated, "elsewhere": bracket.visible & ~bracket.saturated}
    shares = [f"{right[area].mean():.0%} {name}" for name, area in areas.items() if area.any()]
    return f"within 1 px: {', '.join(shares)}" if shares else ""


def _heading(title: str, detail: str = "") -> str:
    return f"<h3>{escape(title)}{f'<small>{escape(detail)}</small>' if detail else ''}</h3>"


def _row(figures: Sequence[str], kind: str = "", columns: int | None = None) -> str:
    return f'<div class="row {kind}" style="--n:{columns or len(figures)}">{"".join(figures)}</div>'


def _figure(
    picture: np.ndarray,
    label: str,
    detail: str = "",
    boxes: str = "",
    *,
    longest: int = _LONGEST,
    quality: int = 82,
) -> str:
    source = pictures.data_uri(pictures.fit(picture, longest), quality)
    more = f"<br><span>{escape(detail)}</span>" if detail else ""
    return (
        f'<figure><div class="frame"><img alt="{escape(label)}" src="{source}">{boxes}</div>'
        f"<figcaption><b>{escape(label)}</b>{more}</figcaption></figure>"
    )


def _boxes(spots: Sequence[pictures.Place], shape: tuple[int, ...]) -> str:
    """Numbered frames over a picture; the number stands above its frame, or below at the picture's top."""
    height, width = shape[:2]
    html = ""
    for number, spot in enumerate(spots, 1):
        low = " low" if spot.top < height // 8 else ""
        style = (
            f"left:{spot.left / width:.2%};top:{spot.top / height:.2%};"
            f"width:{spot.side / width:.2%};height:{spot.side / height:.2%}"
        )
        html += f'<div class="box{low}" style="{style}"><i>{number}</i></div>'
    return html


def _legend(content: str) -> str:
    return f'<div class="legend">{content}</div>'


def _swatch(colour: tuple[int, int, int], label: str) -> str:
    return f'<span><span class="swatch" style="background:rgb{colour}"></span>{escape(label)}</span>'


def _bar(colours: Sequence[tuple[int, int, int]], low: str, high: str) -> str:
    """A colour bar from the first colour to the last, with what its ends mean."""
    style = f"background:linear-gradient(to right, {', '.join(f'rgb{c}' for c in colours)})"
    return f'<span>{escape(low)} <span class="bar" style="{style}"></span> {escape(high)}</span>'
