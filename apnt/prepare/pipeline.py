"""From photographs to a bracket that can be fused: read, checked, linear, balanced and aligned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from apnt.bracket import Bracket
from apnt.errors import InputError
from apnt.io.frames import Image, assemble, read_photographs
from apnt.prepare.aligned import aligned
from apnt.prepare.blocks import find_pairs
from apnt.prepare.colour import paler
from apnt.prepare.consistency import check_brightness, check_recorded
from apnt.prepare.exposures import find_exposures
from apnt.prepare.falloff import evened
from apnt.prepare.holes import doubt_unknown, filled, say_holes
from apnt.prepare.linear import linearise
from apnt.prepare.notes import joined
from apnt.prepare.options import AUTO, Options
from apnt.prepare.reference import choose_reference, longest_shows_more
from apnt.prepare.rendered import AS_WRITTEN
from apnt.prepare.report import Report
from apnt.prepare.response import Response, response_of
from apnt.prepare.scene import strangers
from apnt.prepare.shown import longest

_SMALLEST_ALIGNED = 64  # pixels a side: smaller frames show too little to be aligned by


@dataclass(frozen=True, eq=False)
class Prepared:
    """A bracket that can be fused.

    Attributes:
        bracket: N frames whose values are light to the power of ``1 / 2.2``, on one scale, aligned; with
            ``rendered``, as their files show them, aligned.
        report: what was found and done.
        response: of the cameras that took it.
        names: of the frames, in the order of the images: names of files without their folder.
        white: the stored sample at which the reference frame's file is white, where that is not the largest
            that it can hold.
        longer: what shows how the camera renders light that the reference frame shows almost black, see
            :func:`apnt.prepare.shown.longest`; None = the reference frame is bright enough.
    """

    bracket: Bracket
    report: Report
    response: Response
    names: tuple[str, ...] = ()
    white: int | None = None
    longer: tuple[np.ndarray, float] | None = None


def prepare(
    images: Sequence[Image] | str | Path,
    times: Sequence[float] | np.ndarray | None = None,
    stops: Sequence[float] | np.ndarray | None = None,
    options: Options | None = None,
    read: Callable[[int, int], None] = lambda done, total: None,
    usable: Callable[[], object] = lambda: None,
) -> Prepared:
    """Read photographs and bring them to one linear scale and one geometry.

    Args:
        images: see :func:`apnt.io.read_frames`.
        times, stops: see :func:`apnt.prepare.exposures.find_exposures`.
        options: None = the defaults.
        read: called with how many photographs are read, of how many, from 0 on.
        usable: called when they are read and their exposures known, before what takes longer.

    Raises:
        InputError: photographs, exposures or options that cannot be used, or that contradict each other; with
            ``strict`` everything doubtful.
    """
    options = options or Options()
    if options.curve != AUTO:
        response_of(options.curve)  # what is wrong with it is found before the work
    if options.align not in ("auto", "off"):
        raise InputError(f"align must be auto or off, got {options.align!r}")
    photographs, listed = read_photographs(images, read)
    names = [Path(photograph.name).name for photograph in photographs]
    stored = photographs[0].curve
    if options.reference is not None and not 0 <= options.reference < len(photographs):
        raise InputError(
            f"reference must be a frame from 0 to {len(photographs) - 1}, got {options.reference}"
        )
    exposures = find_exposures(photographs, times, stops, listed)
    bracket = assemble(photographs, exposures.times)
    usable()
    stops_found = [float(stop) for stop in np.log2(exposures.times)]
    report = Report(exposures.source, stops_found, corrections=joined(photographs, "notes"))
    report.warnings += joined(photographs, "doubts")
    if exposures.error is not None:
        report.stops_error = [float(error) for error in exposures.error]
    if exposures.doubt is not None:
        report.warnings.append(exposures.doubt)
    ordered = [names[n] for n in bracket.order]
    say_holes(bracket, ordered, report)
    check_recorded(bracket.ldr, bracket.valid, stored == "linear")
    pairs = find_pairs(bracket.ldr, bracket.times, bracket.valid)
    if not options.trust_exposures:
        linear = stored == "linear" and options.curve in (AUTO, "linear")
        check_brightness(bracket.ldr, bracket.times, ordered, pairs, linear)
    odd = [ordered[k] for k in strangers(bracket.ldr)]
    if odd:
        report.warnings.append(_other_scene(odd, len(ordered)))
    bracket, response = linearise(bracket, pairs, ordered, stored, report, options)
    look = response if report.curve == AS_WRITTEN else None
    for pale, rich in paler(bracket.ldr).items():
        report.warnings.append(
            f"{ordered[pale]} shows less than half of the colour that {ordered[rich]} shows, as if it were "
            "rendered otherwise or turned to grey: leave it out."
        )
    apertures = {photograph.exposure.f_number for photograph in photographs}
    if look is None and (len(apertures) > 1 or apertures == {None}):
        evened(bracket, ordered, report)
    reference = (
        choose_reference(bracket.ldr, bracket.times, bracket.valid)
        if options.reference is None
        else bracket.order.index(options.reference)
    )
    dark = len(bracket) == 3 and reference == 1 and longest_shows_more(bracket.ldr, bracket.valid)
    if dark and options.reference is None:
        report.corrections.append(
            f"{ordered[1]}, whose moment the result shows, is dark throughout: {ordered[2]} as the reference "
            "has less noise, and another moment."
        )
    bracket = replace(bracket, reference=reference)
    report.reference = bracket.order[reference]
    if options.align == "auto" and min(bracket.size) >= _SMALLEST_ALIGNED:
        bracket = aligned(bracket, ordered, report, look)
    doubt_unknown(bracket, ordered, report)
    if options.strict:
        report.refuse_doubts()
    white = photographs[report.reference].white
    longer = longest(bracket, response) if dark and look is None else None
    return Prepared(filled(bracket, look), report, response, tuple(names), white, longer)


def _other_scene(odd: list[str], count: int) -> str:
    names = ", ".join(odd)
    if len(odd) > count / 2:
        return f"{names} look like photographs of different scenes: name the frames of one bracket."
    looks = "looks" if len(odd) == 1 else "look"
    return f"{names} {looks} like another scene than the other frames: leave out what does not belong."


__all__ = ["AUTO", "Options", "Prepared", "Report", "prepare"]
