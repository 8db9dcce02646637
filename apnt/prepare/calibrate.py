"""The response of one camera from several brackets that it took."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from apnt.errors import InputError
from apnt.io.exif import IN_FOLDER, asking
from apnt.io.frames import assemble, read_photographs
from apnt.prepare.blocks import find_pairs
from apnt.prepare.consistency import check_brightness
from apnt.prepare.contradicted import which_is_wrong
from apnt.prepare.estimate import Estimate, estimate_camera, estimate_response
from apnt.prepare.exposures import find_exposures
from apnt.prepare.response import Response
from apnt.progress import each


class Calibration(NamedTuple):
    """A camera's response, and what each bracket said about it."""

    response: Response
    estimates: list[Estimate]


def calibrate(folders: Sequence[str | Path]) -> Calibration:
    """Measure a camera's response on brackets.

    Args:
        folders: one bracket each, all of one camera and picture style.

    Raises:
        InputError: a folder that cannot be read, with exposures that nobody knows or that its pixels
            contradict, or brackets of which none tells a response.
    """
    estimates, brackets = [], []
    for folder in each(folders, "Measuring {}"):
        with asking(IN_FOLDER):
            photographs, listed = read_photographs(folder)
            exposures = find_exposures(photographs, listed=listed)
        if exposures.doubt is not None:
            raise InputError(f"{folder} must have exposures that are known: {exposures.doubt}")
        names = [Path(photograph.name).name for photograph in photographs]
        bracket = assemble(photographs, exposures.times)
        pairs = find_pairs(bracket.ldr, bracket.times, bracket.valid)
        ordered = [names[n] for n in bracket.order]
        check_brightness(bracket.ldr, bracket.times, ordered, pairs)
        estimate = estimate_response(bracket.ldr, bracket.times, bracket.valid, pairs=pairs)
        either = which_is_wrong(estimate.wrong, estimate.error, ordered)
        if either is not None:
            raise InputError(f"{folder} must have exposures that fit each other: {either}")
        estimates.append(estimate)
        brackets.append((bracket.ldr, bracket.times))
    found = estimates[0] if len(estimates) == 1 else estimate_camera(brackets)
    if found.note is not None:
        raise InputError(f"the brackets must tell a response, and they do not: {found.note}")
    return Calibration(found.response, estimates)
