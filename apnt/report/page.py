"""The page: what it shows, made small enough for a phone, and written."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from apnt import __version__
from apnt.doing import doing, part_done
from apnt.errors import InputError
from apnt.evaluate.page.figures import Row, offsets_found, saw
from apnt.evaluate.page.templates import templates
from apnt.evaluate.pictures import data_uri, flow_wheel
from apnt.info import processor
from apnt.io.files import atomic_path, check_output
from apnt.io.kept import SOFTWARE
from apnt.merge.three_frames import choose
from apnt.methods import METHODS
from apnt.report import decisions, layers
from apnt.report.radiance import Embedded, embed, reduced
from apnt.run import REPORT_SUFFIXES, Run
from apnt.text import duration

LARGEST = 15_000_000
"""Bytes of a page, at most."""

_PIXELS = (
    1_000_000,
    500_000,
    250_000,
    125_000,
)  # of what is shown, at most; the first with which the page fits
_QUALITY = 86  # of JPEG
_TEMPLATES = templates("apnt.report")
_STEPS = {
    "read": "reading, checking and preparing the photographs",
    "weights": "loading the method",
    "fuse": "fusing",
    "write": "writing image and picture",
}
_BELOW, _ABOVE = 1, 2  # stops by which the slider goes beyond what the shortest and the longest frame show


class Layer(NamedTuple):
    """What can be shown on one side of the wipe: a picture, or radiance."""

    key: str
    title: str
    picture: str = ""
    radiance: Embedded | None = None


class Stop(NamedTuple):
    """A frame's exposure on the slider, stops above the reference."""

    name: str
    value: float


def write_report(path: str | Path, run: Run) -> Path:
    """Write a fuse as one HTML file that loads nothing from elsewhere, at most 15 MB.

    It shows the radiance at any exposure, beside each frame and the weighted merge (eq. 1), what the network
    saw, what was decided and why, and how long it took. Larger images are averaged down, to 1 megapixel or as
    many as fit; the page says so.

    Args:
        path: ends in ``.html``; replaced as a whole or not at all.
        run: what it is about.

    Returns:
        The path.

    Raises:
        InputError: the path cannot be used, or the run's image and frames differ in size.
        OSError: the disk refused.
    """
    path = check_output(path, REPORT_SUFFIXES, name="report")
    if run.fused.image.shape[:2] != run.prepared.bracket.size:
        raise InputError(
            f"run.fused.image must have its frames' size {run.prepared.bracket.size}, "
            f"got {run.fused.image.shape[:2]}"
        )
    for pixels in _PIXELS:
        page = render_report(run, pixels).encode("utf-8", "backslashreplace")  # names may be no text
        if len(page) <= LARGEST:
            break
    with atomic_path(path) as temporary:
        temporary.write_bytes(page)
    return path


def render_report(run: Run, pixels: int = _PIXELS[0]) -> str:
    """The page, with pictures of at most so many pixels."""
    prepared, display = run.prepared, run.kind == "display"
    bracket = prepared.bracket
    height, width = bracket.size
    small = reduced(run.fused.image, pixels)
    doing("Drawing the frames", len(bracket))
    frames = []
    for k in range(len(bracket)):
        frames.append(layers.frame(prepared, k, pixels, rendered=display))
        part_done()
    names = [prepared.names[n] for n in bracket.order]
    before = [
        Layer(f"frame{k}", name, _jpeg(shown))
        for k, (name, shown) in enumerate(zip(names, frames, strict=True))
    ]
    after = []
    if display:
        after.append(Layer("picture", "Fused picture", _jpeg(small)))
    else:
        if run.method.title != METHODS["weighted"].title:
            before.append(
                Layer("merge", "Weighted merge (eq. 1)", radiance=embed(layers.merged(bracket, pixels)))
            )
        look = layers.picture(small, frames[bracket.reference], prepared.longer, run.look)
        after.append(Layer("picture", f"Picture, look “{run.look.look}”", _jpeg(look)))
        doing("Packing the radiance")
        after.append(Layer("fused", "Fused radiance", radiance=embed(small)))
    stops = np.log2(bracket.times / bracket.times[bracket.reference])
    return _TEMPLATES.get_template("report.html.j2").render(
        title=run.name,
        generator=SOFTWARE,
        about=f"{len(bracket)} frames of {width} × {height} pixels, fused by {run.method.title}",
        before=before,
        after=after,
        reference=f"frame{bracket.reference}",
        display=display,
        size=(width, height),
        shown=small.shape[1::-1],
        gain=float(bracket.times[bracket.reference]),
        low=math.floor(stops[0]) - _BELOW,
        high=math.ceil(stops[-1]) + _ABOVE,
        stops=[Stop(name, float(stop)) for name, stop in zip(names, stops, strict=True)],
        rows=decisions.frames(run),
        sentences=decisions.sentences(run),
        warnings=prepared.report.warnings,
        shares=decisions.shares(run),
        row=_saw(run),
        wheel=data_uri(flow_wheel(), None),
        seconds=[(_STEPS.get(step, step), duration(spent)) for step, spent in run.seconds.items()],
        total=duration(sum(run.seconds.values())),
        footer=_footer(run),
    )


def _saw(run: Run) -> Row | None:
    """What the network saw in its three frames; None where the method does not tell."""
    maps = run.fused.maps
    if maps is None:
        return None
    doing("Drawing what the network saw")
    prepared = run.prepared
    choice = choose(prepared.bracket)
    names = [
        f"no frame ({made})" if k is None else prepared.names[prepared.bracket.order[k]]
        for k, made in ((choice.short, "short, made"), (choice.reference, ""), (choice.long, "long, made"))
    ]
    offsets = None
    if maps.offset is not None:
        reach, found = offsets_found(maps.offset, f"searched up to {maps.reach} px" if maps.reach else "")
        offsets = reach, [found]
    return saw(run.method.title, maps, names, 1, offsets)


def _footer(run: Run) -> list[str]:
    details: dict[str, Any] = run.method.details
    return [f"apnt {__version__}, on {processor()}", *(f"{name}: {value}" for name, value in details.items())]


def _jpeg(picture: np.ndarray) -> str:
    return data_uri(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8), _QUALITY)
