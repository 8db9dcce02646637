"""What was decided of a bracket, and why, in the words of the page."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from apnt.bracket import Bracket
from apnt.merge.shares import UNCERTAIN
from apnt.merge.three_frames import Choice, choose
from apnt.prepare.report import Report
from apnt.run import Run

_MEASURED = "measured at first"
_SOURCES = {
    "times": "as given, in seconds",
    "stops": "as given, in stops",
    "EXIF": "from EXIF",
    "pixels": "measured on the pixels, nine times of ten right to ± beside the reference's",
}
_GIVEN = {"times": "given", "stops": "given", "pixels": _MEASURED}  # the others are recorded
_CORRECTED = 0.01  # stops, as the table shows them
_SHARES = {
    "saturated": "saturated in every frame: the light there is at least what is shown",
    "invalid": "shown by no frame",
    "one_frame": "known from one frame alone",
    "support": "of the result comes from frames that the network did not get",
    "beyond_search": "have their partner in the short frame farther away than the network searches",
    "uncertain": f"with an expected error above {UNCERTAIN:g} after the µ-law curve",
}


class Row(NamedTuple):
    """A line of the table of frames."""

    name: str
    exposure: str
    role: str
    geometry: str


def frames(run: Run) -> list[Row]:
    """The frames, by ascending exposure."""
    prepared = run.prepared
    bracket, report = prepared.bracket, prepared.report
    choice = choose(bracket) if run.method.frames == 3 else None
    base = report.stops[report.reference]
    used = np.log2(bracket.times / bracket.times[bracket.reference])
    rows = []
    for k, n in enumerate(bracket.order):
        recorded = report.stops[n] - base
        exposure = f"{used[k]:+.2f} EV"
        error = _error(report, n)
        if error:
            exposure = f"{used[k]:+.2f} ±{error:.2f} EV"
        if abs(used[k] - recorded) >= _CORRECTED:
            word = _MEASURED if error else _GIVEN.get(report.exposures, "recorded")
            exposure += f" ({recorded:+.2f} {word})"
        rows.append(Row(prepared.names[n], exposure, _role(k, bracket, choice), _geometry(run, n)))
    return rows


def _error(report: Report, n: int) -> float:
    """Stops by which a frame's exposure beside the reference's may be off, nine times of ten; 0 = known."""
    if not report.stops_error or n == report.reference:
        return 0.0
    own, base = report.stops_error[n], report.stops_error[report.reference]
    # Where all are measured, errors are one part of the stops above the darkest; else each has its own.
    return abs(own - base) if report.exposures == "pixels" else own + base


def _role(k: int, bracket: Bracket, choice: Choice | None) -> str:
    if k == bracket.reference:
        return "reference: its moment and geometry are shown"
    if choice is None:
        return "fused"
    if k in (choice.short, choice.long):
        return f"the network's {'short' if k == choice.short else 'long'} frame"
    return "merged with the network's result where it agrees"


def _geometry(run: Run, n: int) -> str:
    report = run.prepared.report
    if n == report.reference:
        return "as it is"
    if not report.alignment:
        return "not aligned"
    entry = report.alignment[n]
    if entry["status"] == "aligned":
        return f"moved by up to {entry['pixels']:.1f} pixels"
    return f"{entry['status']}: {entry['why']}" if entry["why"] else str(entry["status"])


def sentences(run: Run) -> list[str]:
    """Where the exposures, the curve and the reference come from, and what was corrected."""
    report, bracket = run.prepared.report, run.prepared.bracket
    source = _SOURCES.get(report.exposures, f"from {report.exposures}")
    if report.exposures != "pixels" and any(report.stops_error):
        source += f", and the others {_SOURCES['pixels']}"
    said = [f"Exposures: {source}."]
    said.append(f"Curve of the camera: {report.curve}.")
    name = run.prepared.names[report.reference]
    if not run.chosen:
        why = "named by the user"
    elif len(bracket) == 3:
        why = "the middle one of three exposures"
    else:
        why = "of the frames with most well-exposed pixels the one nearest to the middle exposure"
    said.append(f"Reference: {name}, {why}.")
    if run.method.frames == 3:
        said += _made(choose(bracket))
    return [*said, *report.corrections]


def _made(choice: Choice) -> list[str]:
    """What the network's three frames lack."""
    missing = [name for name, k in (("shorter", choice.short), ("longer", choice.long)) if k is None]
    made = [f"No frame is {name} than the reference: the network got one made of it." for name in missing]
    if choice.wide:
        made.append("Exposures lie farther apart than in what the network was trained on.")
    return made


def shares(run: Run) -> list[tuple[str, str]]:
    """What the result rests on: a share of the pixels, and of what."""
    return [(f"{value:.2%}", _SHARES.get(name, name)) for name, value in run.fused.shares.items()]
