"""The response of one camera from several brackets that it took."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from apnt.camera import GAMMA
from apnt.errors import InputError
from apnt.io.frames import assemble, read_photographs
from apnt.prepare.consistency import check_brightness
from apnt.prepare.estimate import Estimate, estimate_response
from apnt.prepare.exposures import find_exposures
from apnt.prepare.response import Response

_LEVELS = 256


class Calibration(NamedTuple):
    """A camera's response, and what each bracket said about it."""

    response: Response
    estimates: list[Estimate]


def calibrate(folders: Sequence[str | Path]) -> Calibration:
    """Measure a camera's response on brackets.

    Each bracket is estimated alone; the curves, as logarithms of light, are averaged with weights of one over
    their expected error squared. A named curve that all brackets find is taken as it is.

    Args:
        folders: one bracket each, all of one camera and picture style.

    Raises:
        InputError: a folder that cannot be read, with exposures that nobody knows or that its pixels
            contradict, or brackets of which none tells a response.
    """
    estimates = []
    for folder in folders:
        photographs, listed = read_photographs(folder)
        exposures = find_exposures(photographs, listed=listed)
        if exposures.doubt is not None:
            raise InputError(f"{folder} must have exposures that are known: {exposures.doubt}")
        names = [Path(photograph.name).name for photograph in photographs]
        bracket = assemble(photographs, exposures.times)
        check_brightness(bracket.ldr, bracket.times, [names[n] for n in bracket.order], bracket.valid)
        estimates.append(estimate_response(bracket.ldr, bracket.times, bracket.valid))
    told = [estimate for estimate in estimates if estimate.note is None]
    if not told:
        raise InputError(f"the brackets must tell a response, and none does: {estimates[0].note}")
    found = {estimate.response.name for estimate in told}
    if len(found) == 1 and found != {"estimated"}:
        return Calibration(told[0].response, estimates)
    levels = np.repeat(np.linspace(0, 1, _LEVELS, dtype=np.float32)[1:, None], 3, axis=1)
    weights = [1 / max(estimate.error, 1e-3) ** 2 for estimate in told]
    curves = [np.log(estimate.response.linear(levels).T) for estimate in told]  # (3, levels)
    light = np.exp(np.average(curves, axis=0, weights=weights) / GAMMA)  # to the power of 1 / 2.2
    table = np.concatenate([np.zeros((3, 1)), light / light[:, -1:]], axis=1)
    return Calibration(Response("calibrated", table), estimates)
