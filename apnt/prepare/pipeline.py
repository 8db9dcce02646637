"""From photographs to a bracket that can be fused: read, checked, linear, balanced and aligned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from apnt import defaults
from apnt.bracket import Bracket
from apnt.camera import GAMMA
from apnt.errors import InputError
from apnt.io.frames import Image, assemble, read_photographs
from apnt.prepare.alignment.align import Alignment, align, warp
from apnt.prepare.blocks import Pairs, find_pairs
from apnt.prepare.consistency import check_brightness
from apnt.prepare.estimate import Estimate, estimate_response
from apnt.prepare.exposures import find_exposures
from apnt.prepare.falloff import estimate_falloff, without_falloff
from apnt.prepare.fit import EXPOSURE_ERROR
from apnt.prepare.notes import joined_notes
from apnt.prepare.reference import choose_reference
from apnt.prepare.rendered import AS_WRITTEN, as_rendered
from apnt.prepare.response import Response, response_of
from apnt.prepare.scene import strangers

AUTO = defaults.CURVE
_CORRECTED = 0.02  # log gain from which a frame's exposure or white balance is corrected, and said
_COLOURED = 0.05  # log gain between channels from which it is the white balance that differs
_SMALLEST_ALIGNED = 64  # pixels a side: smaller frames show too little to be aligned by
_SATURATED = 0.985  # linear light from which a value is the camera's white
_TRUSTED = 1e-3  # relative error of exposures that a user insists on: none, but for rounding
_REFUSED_GAIN = 1.0  # stops by which a frame may differ from its exposure and be corrected


@dataclass(frozen=True)
class Options:
    """How photographs are prepared.

    Attributes:
        curve: the cameras' response: "auto", a name out of ``apnt.prepare.response.NAMED``, or a file.
        align: "auto", or "off".
        trust_exposures: take the exposures as they are, even where the pixels contradict them; none is
            corrected.
        strict: refuse where there would be a warning.
        reference: the frame whose moment the result shows, from 0 in the order of the images; None = chosen.
        rendered: leave the frames' look to them, for methods that fuse pictures and not light: no curve is
            undone, no brightness or white balance corrected.
    """

    curve: str | Path | Response = AUTO
    align: Literal["auto", "off"] = "auto"
    trust_exposures: bool = False
    strict: bool = False
    reference: int | None = None
    rendered: bool = False


@dataclass
class Report:
    """What was found and done, in the words of a photographer, and as numbers.

    Attributes:
        exposures: where they come from: "times", "stops", "EXIF", "bracket.json" or "pixels".
        stops: of the frames above the shortest, in the order of the images.
        stops_error: by how many stops each of them is off at most, nine times of ten, where they were
            measured; empty where they are known.
        curve: name of the response, "estimated" for one that was measured, "as written" for none that was
            undone.
        curve_error: expected relative error of linear light; None where a file or the user says the curve.
        reference: the reference frame, in the order of the images.
        corrections: what was corrected, a sentence each.
        warnings: what is doubtful, a sentence each.
        alignment: one entry a frame, in the order of the images.
        falloff: stops of each frame's corners beside those of the frame whose are brightest, at most 0, in
            the order of the images; empty where no difference was found.
    """

    exposures: str
    stops: list[float]
    curve: str = "gamma22"
    curve_error: float | None = None
    reference: int = 0
    corrections: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    alignment: list[dict[str, Any]] = field(default_factory=list)
    falloff: list[float] = field(default_factory=list)
    stops_error: list[float] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A bracket that can be fused.

    Attributes:
        bracket: N frames whose values are light to the power of ``1 / 2.2``, on one scale, aligned; with
            ``rendered``, as their files show them, aligned.
        report: what was found and done.
        response: of the cameras that took it.
        names: of the frames, in the order of the images: names of files without their folder.
    """

    bracket: Bracket
    report: Report
    response: Response
    names: tuple[str, ...] = ()


def prepare(
    images: Sequence[Image] | str | Path,
    times: Sequence[float] | np.ndarray | None = None,
    stops: Sequence[float] | np.ndarray | None = None,
    options: Options | None = None,
) -> Prepared:
    """Read photographs and bring them to one linear scale and one geometry.

    Args:
        images: see :func:`apnt.io.read_frames`.
        times, stops: see :func:`apnt.prepare.exposures.find_exposures`.
        options: None = the defaults.

    Raises:
        InputError: photographs, exposures or options that cannot be used, or that contradict each other; with
            ``strict`` everything doubtful.
    """
    options = options or Options()
    if options.curve != AUTO:
        response_of(options.curve)  # what is wrong with it is found before the work
    if options.align not in ("auto", "off"):
        raise InputError(f"align must be auto or off, got {options.align!r}")
    photographs, listed = read_photographs(images)
    names = [Path(photograph.name).name for photograph in photographs]
    notes = joined_notes(photographs)
    stored = photographs[0].curve
    if options.reference is not None and not 0 <= options.reference < len(photographs):
        raise InputError(
            f"reference must be a frame from 0 to {len(photographs) - 1}, got {options.reference}"
        )
    exposures = find_exposures(photographs, times, stops, listed)
    bracket = assemble(photographs, exposures.times)
    stops_found = [float(stop) for stop in np.log2(exposures.times)]
    report = Report(exposures.source, stops_found, corrections=notes)
    if exposures.error is not None:
        report.stops_error = [float(error) for error in exposures.error]
    if exposures.doubt is not None:
        _doubt(report, exposures.doubt, options)
    ordered = [names[n] for n in bracket.order]
    pairs = find_pairs(bracket.ldr, bracket.times, bracket.valid)
    if not options.trust_exposures:
        check_brightness(bracket.ldr, bracket.times, ordered, pairs)
    odd = [ordered[k] for k in strangers(bracket.ldr)]
    if odd:
        _doubt(report, _other_scene(odd, len(ordered)), options)
    bracket, response = linearise(bracket, pairs, ordered, stored, report, options)
    look = response if report.curve == AS_WRITTEN else None
    apertures = {photograph.exposure.f_number for photograph in photographs}
    if look is None and (len(apertures) > 1 or apertures == {None}):
        evened(bracket, ordered, report)
    reference = (
        choose_reference(bracket.ldr, bracket.times, bracket.valid)
        if options.reference is None
        else bracket.order.index(options.reference)
    )
    bracket = replace(bracket, reference=reference)
    report.reference = bracket.order[reference]
    if options.align == "auto" and min(bracket.size) >= _SMALLEST_ALIGNED:
        bracket = aligned(bracket, ordered, report, options, look)
    return Prepared(filled(bracket, look), report, response, tuple(names))


def _other_scene(odd: list[str], count: int) -> str:
    names = ", ".join(odd)
    if len(odd) > count / 2:
        return f"{names} look like photographs of different scenes: name the frames of one bracket."
    looks = "looks" if len(odd) == 1 else "look"
    return f"{names} {looks} like another scene than the other frames: leave out what does not belong."


def linearise(
    bracket: Bracket,
    pairs: Pairs,
    names: Sequence[str],
    stored: str | None,
    report: Report,
    options: Options,
) -> tuple[Bracket, Response]:
    """Bring the frames to values that are light to the power of 1 / 2.2, and to one scale of all frames.

    Args:
        bracket: as read; its frames are overwritten, as in the steps below: a second copy of them would not
            fit beside the first where photographs are large.
        pairs: of values of its frames.
        names: of its frames.
        stored: the curve that the files state; None where they state none.
        report: what is done is added.
        options: see :class:`Options`.
    """
    error = _TRUSTED if options.trust_exposures else EXPOSURE_ERROR
    # Where the curve is known, too: the frames' gains are what it says then, whoever named the curve.
    estimate = estimate_response(bracket.ldr, bracket.times, bracket.valid, error, pairs=pairs)
    told = stored if options.curve == AUTO else options.curve
    response = estimate.response if told is None else response_of(told)
    if options.rendered:
        linear = response.name == "linear"
        report.curve = "linear" if linear else AS_WRITTEN
        if options.curve != AUTO and not linear:
            report.corrections.append("The frames are fused as their files show them: no curve is applied.")
        return as_rendered(bracket, linear), response
    if told is None:
        report.curve_error = estimate.error
        if estimate.note is not None:
            _doubt(report, estimate.note, options)
        elif response.name == "estimated":
            report.corrections.append(
                "The camera's tone curve was measured on the frames and undone; light is expected to be "
                f"right to {max(estimate.error, 0.01):.0%}."
            )
        elif response.name == "linear":
            report.corrections.append(
                "The frames are linear: their brightness is proportional to their exposure. They are read so."
            )
    report.curve = response.name
    gains = _gains(bracket, estimate, names, report, options)
    if response.name == "gamma22" and gains is None:
        return bracket, response
    if gains is None:
        gains = np.ones((len(bracket), 3))
    common = np.median(gains, axis=1)
    for k, frame in enumerate(bracket.ldr):
        light = _balanced(response.linear(frame), gains[k] / common[k])
        np.power(light, np.float32(1 / GAMMA), out=frame)
    times = bracket.times * common
    return replace(bracket, times=times / times.min()), response


def _balanced(light: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Linear light (H, W, 3) of a frame divided by its channels' gains; what is saturated stays at 1."""
    if np.allclose(gains, 1):
        return light
    return np.where(light >= _SATURATED, 1, np.minimum(light / gains.astype(np.float32), 1)).astype(
        np.float32
    )


def _gains(
    bracket: Bracket, estimate: Estimate, names: Sequence[str], report: Report, options: Options
) -> np.ndarray | None:
    """(N, 3) what each frame recorded of the light that its exposure says; None where all are as they say."""
    log2 = np.log2(estimate.gains)
    log2 = log2 - log2[len(log2) // 2]
    if options.trust_exposures:
        log2 = log2 - np.median(log2, axis=1, keepdims=True)
    if estimate.note is not None or np.abs(log2).max() < _CORRECTED / np.log(2):
        return None
    balances, exposures = [], []
    for name, own in zip(names, log2, strict=True):
        exposure, colour = float(np.median(own)), own - np.median(own)
        side = "brighter" if exposure > 0 else "darker"
        if abs(exposure) > _REFUSED_GAIN:
            raise InputError(
                f"exposures must agree with the pixels: {name} is {abs(exposure):.1f} stops {side} than its "
                "exposure says; correct its exposure, or insist on it with --trust-exposures"
            )
        if np.abs(colour).max() > _COLOURED / np.log(2):
            red, green, blue = np.exp2(own)
            balances.append(f"{name} (red x{red:.2f}, green x{green:.2f}, blue x{blue:.2f})")
        elif abs(exposure) > _CORRECTED / np.log(2):
            exposures.append(f"{name} ({abs(exposure):.2f} stops {side})")
    if balances:
        report.corrections.append(
            f"White balance differs from that of {names[len(names) // 2]}: {', '.join(balances)}: corrected."
        )
    if exposures:
        report.corrections.append(
            f"Brightness differs from what exposures say: {', '.join(exposures)}: corrected."
        )
    return np.exp2(log2)


def evened(bracket: Bracket, names: Sequence[str], report: Report) -> None:
    """Undo, in place, what the corners of frames lose beside others', where apertures may differ."""
    falloff = estimate_falloff(bracket)
    if falloff is None:
        return
    corners = np.log2(np.exp(falloff.corners()))
    darker = []
    for k, frame in enumerate(bracket.ldr):
        if corners[k] < -_CORRECTED / np.log(2):
            without_falloff(frame, falloff.gain(k, bracket.size))
            darker.append(f"{names[k]} (by up to {-corners[k]:.2f} stops)")
    report.falloff = [float(corners[bracket.order.index(n)]) for n in range(len(bracket))]
    report.corrections.append(
        f"Corners are darker than those of {names[int(np.argmax(corners))]}: {', '.join(darker)}: corrected."
    )


def aligned(
    bracket: Bracket, names: Sequence[str], report: Report, options: Options, look: Response | None = None
) -> Bracket:
    """Bring all frames to the geometry of the reference; the border that a frame does not show is no data.

    Args:
        bracket: with frames on one scale; they are overwritten.
        names: of its frames.
        report: what is done is added.
        options: see :class:`Options`.
        look: the response that the frames still have; None = gamma 2.2.
    """
    response = None if look is None else look.linear
    found: Alignment = align(
        bracket.ldr, bracket.times, bracket.reference, response=response, valid=bracket.valid
    )
    entries: list[dict[str, Any]] = [{} for _ in names]
    valid, moved = bracket.valid, []
    for k, frame in enumerate(found.frames):
        entries[bracket.order[k]] = {
            "name": names[k],
            "status": frame.status,
            "pixels": round(frame.shift, 2),
            "why": frame.why,
        }
        if frame.status == "refused":
            _doubt(report, f"{names[k]} was not aligned: {frame.why}.", options)
        if frame.status != "aligned":
            continue
        moved.append(f"{names[k]} (by up to {frame.shift:.1f} pixels)")
        if valid is None:
            valid = np.ones(bracket.ldr.shape[:3], bool)
        bracket.ldr[k], valid[k] = warp(bracket.ldr[k], frame.homography, valid[k])
    if moved:
        report.corrections.append(f"Aligned with {names[bracket.reference]}: {', '.join(moved)}.")
    report.alignment = entries
    return replace(bracket, valid=valid)


def filled(bracket: Bracket, look: Response | None = None) -> Bracket:
    """Where a frame holds no data, what it would show of the light of the nearest exposure that does.

    Args:
        bracket: with frames on one scale; they are overwritten.
        look: the response that the frames still have; None = gamma 2.2.
    """
    if bracket.valid is None or bracket.valid.all():
        return replace(bracket, valid=None)
    for k, frame in enumerate(bracket.ldr):
        missing = ~bracket.valid[k]
        for j in [bracket.reference, *sorted(bracket.others, key=lambda j: abs(j - k))]:
            usable = missing & bracket.valid[j]
            if usable.any():
                frame[usable] = _exposed(bracket.ldr[j][usable], bracket.times[k] / bracket.times[j], look)
                missing &= ~usable
    return bracket


def _exposed(values: np.ndarray, ratio: float, look: Response | None) -> np.ndarray:
    """Values (..., 3) as a frame of ``ratio`` times their exposure shows them."""
    if look is None:
        return np.minimum(values * np.float32(ratio ** (1 / GAMMA)), 1.0)
    return look.encode(look.linear(values) * np.float32(ratio))


def _doubt(report: Report, sentence: str, options: Options) -> None:
    if options.strict:
        raise InputError(f"strict refuses what is doubtful: {sentence}")
    report.warnings.append(sentence)


__all__ = ["AUTO", "Options", "Prepared", "Report", "prepare"]
