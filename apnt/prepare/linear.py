"""Frames to linear light on one scale: the cameras' curve, and what single frames differ by, undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from apnt.bracket import Bracket
from apnt.camera import GAMMA, SATURATION
from apnt.doing import doing, part_done
from apnt.errors import InputError
from apnt.prepare.blocks import Pairs
from apnt.prepare.contradicted import brighter_or_darker, which_is_wrong
from apnt.prepare.estimate import Estimate, estimate_response
from apnt.prepare.fit import EXPOSURE_ERROR
from apnt.prepare.known import light_apart
from apnt.prepare.options import AUTO, Options
from apnt.prepare.rendered import AS_WRITTEN, as_rendered
from apnt.prepare.report import SEEN, Report
from apnt.prepare.response import Response, response_of
from apnt.strips import strips

_COLOURED = 0.05  # log gain between channels from which it is the white balance that differs
_SATURATED = 0.985  # linear light from which a value is the camera's white
_WHITE = 0.97
"""Value of a file from which a channel counts as saturated, if its curve says hardly less: next to white,
cameras turn colours to grey, and JPEG has no level at which it ends. The shoulder of a curve is steep there,
so that by it such a channel would have a third less light than other frames see, in patches."""

_NEARLY = 2**-0.5  # share of saturation that a curve has to give that light, or the rest would be invented

_TRUSTED = 1e-3  # relative error of exposures that a user insists on: none, but for rounding
_FEW_AGREE = 0.75  # share of the pairs: below, frames may have no common curve; 0.86 in real brackets
_REFUSED_GAIN = 1.0  # stops by which a frame may differ from its exposure and be corrected


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
    told = stored if options.curve == AUTO else options.curve
    known = None if told is None else response_of(told)
    # Where the curve is known, too, for the frames' gains: what it leaves to them, if it explains the frames.
    estimate = estimate_response(bracket.ldr, bracket.times, bracket.valid, error, pairs=pairs, known=known)
    response = estimate.response if known is None else known
    if options.rendered:
        linear = response.name == "linear"
        report.curve = "linear" if linear else AS_WRITTEN
        if options.curve != AUTO and not linear:
            report.corrections.append("The frames are fused as their files show them: no curve is applied.")
        return as_rendered(bracket, linear), response
    either = which_is_wrong(estimate.wrong, estimate.error, names)
    if either is not None:
        report.warnings.append(either)
    few = estimate.note is None and 0 < estimate.agreement < _FEW_AGREE
    if told is None:
        report.curve_error = estimate.error
        if estimate.note is not None:
            report.warnings.append(estimate.note)
        elif response.name == "estimated" and either is None and not few:
            report.corrections.append(
                "The camera's tone curve was measured on the frames and undone; light is expected to be "
                f"right to {max(estimate.error, 0.01):.0%}."
            )
        elif response.name == "linear":
            report.corrections.append(
                "The frames are linear: their brightness is proportional to their exposure. They are read so."
            )
    if estimate.contradicted is not None:
        report.warnings.append(_other_curve(response, estimate.contradicted, options.curve == AUTO))
    elif few:
        report.warnings.append(
            f"Only {estimate.agreement:.0%} of the places agree with one curve: a frame is rendered or shows "
            "something otherwise than the others, or much moves; light may be off."
        )
    report.curve = response.name
    gains = _gains(bracket, estimate, names, report, options, told is not None)
    if response.name == "gamma22" and gains is None:
        return bracket, response
    if gains is None:
        gains = np.ones((len(bracket), 3))
    common = np.median(gains, axis=1)
    doing("Bringing them to one scale", len(bracket))
    nearly = response.linear(np.full((1, 3), _WHITE, np.float32)) >= SATURATION**GAMMA * _NEARLY
    for k, frame in enumerate(bracket.ldr):
        for rows in strips(len(frame)):
            white = (frame[rows] >= np.float32(_WHITE)) & nearly
            light = _balanced(response.linear(frame[rows]), gains[k] / common[k])
            np.power(light, np.float32(1 / GAMMA), out=frame[rows])
            if k:  # of what the shortest frame has, no other knows more
                np.maximum(frame[rows], np.float32(SATURATION), out=frame[rows], where=white)
        part_done()
    times = bracket.times * common
    return replace(bracket, times=times / times.min()), response


def _other_curve(said: Response, measured: Response, by_files: bool) -> str:
    apart = light_apart(said, measured)
    measured_name = measured.name if measured.table is None else "another one"
    whose = ", which the files state," if by_files else ""
    return (
        f"The curve {said.name}{whose} and the exposures contradict each other: by the exposures the curve "
        f"is {measured_name}, and light may be off by {apart:.0%}; correct the exposures, or give another "
        "--curve."
    )


def _balanced(light: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Linear light (H, W, 3) of a frame divided by its channels' gains; what is saturated stays at 1."""
    if np.allclose(gains, 1):
        return light
    return np.where(light >= _SATURATED, 1, np.minimum(light / gains.astype(np.float32), 1)).astype(
        np.float32
    )


def _gains(
    bracket: Bracket, estimate: Estimate, names: Sequence[str], report: Report, options: Options, told: bool
) -> np.ndarray | None:
    """(N, 3) what each frame recorded of the light that its exposure says; None where all are as they say.

    ``told`` says that the curve is not measured.
    """
    log2 = np.log2(estimate.gains)
    log2 = log2 - log2[len(log2) // 2]
    if options.trust_exposures:
        log2 = log2 - np.median(log2, axis=1, keepdims=True)
    if estimate.note is not None or np.abs(log2).max() < SEEN / np.log(2):
        return None
    balances, exposures = [], []
    by, other = (f" by the curve {report.curve}", ", give another --curve") if told else ("", "")
    usual = sorted(np.median(log2, axis=1))[(len(log2) - 1) // 2] if len(log2) > 2 else 0.0
    for name, own in zip(names, log2, strict=True):
        exposure, colour = float(np.median(own) - usual), own - np.median(own)
        side = brighter_or_darker(exposure)
        if abs(exposure) > _REFUSED_GAIN:
            raise InputError(
                f"exposures must agree with the pixels: {name} is {abs(exposure):.1f} stops {side} than its "
                f"exposure says{by}; correct its exposure{other}, or insist on it with --trust-exposures"
            )
        if np.abs(colour).max() > _COLOURED / np.log(2):
            red, green, blue = np.exp2(own)
            balances.append(f"{name} (red x{red:.2f}, green x{green:.2f}, blue x{blue:.2f})")
        elif abs(exposure) > SEEN / np.log(2):
            exposures.append(f"{name} ({abs(exposure):.2f} stops {side})")
    if balances:
        report.corrections.append(
            f"White balance differs from that of {names[len(names) // 2]}: {', '.join(balances)}: corrected."
        )
    if exposures:
        said = "the exposures measured at first" if report.stops_error else "what exposures say"
        report.corrections.append(f"Brightness differs from {said}: {', '.join(exposures)}: corrected.")
    return np.exp2(log2)
