"""What the page shows beside the fused image: the frames, the weighted merge, the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from apnt.bracket import Bracket
from apnt.doing import doing, part_done
from apnt.errors import InputError
from apnt.looks import render
from apnt.methods.weighted import weighted
from apnt.prepare.pipeline import Prepared
from apnt.prepare.shown import as_shown
from apnt.report.radiance import reduced
from apnt.run import Look
from apnt.strips import strips

_ROWS = 256  # of a strip: merging takes several arrays of the frames' size


def frame(prepared: Prepared, k: int, pixels: int, *, rendered: bool) -> np.ndarray:
    """(h, w, 3) float32 in [0, 1]: frame ``k`` as its camera shows it, aligned, of at most so many pixels.

    Args:
        prepared: the bracket.
        k: of the bracket, by ascending exposure.
        pixels: at most.
        rendered: the bracket holds frames as their files show them.
    """
    values = np.clip(reduced(prepared.bracket.ldr[k], pixels), 0, 1)
    return values if rendered else as_shown(values, prepared.response)


def merged(bracket: Bracket, pixels: int) -> np.ndarray:
    """(h, w, 3) float32 radiance: the weighted merge of all frames (eq. 1), of at most so many pixels."""
    out = np.empty((*bracket.size, 3), np.float32)
    cut = list(strips(len(out), _ROWS))
    doing("Merging the frames", len(cut))
    for rows in cut:
        valid = None if bracket.valid is None else bracket.valid[:, rows]
        out[rows] = weighted(replace(bracket, ldr=bracket.ldr[:, rows], valid=valid, truth=None, moving=None))
        part_done()
    return reduced(out, pixels)


def picture(
    radiance: np.ndarray, like: np.ndarray, longer: tuple[np.ndarray, float] | None, look: Look
) -> np.ndarray:
    """(h, w, 3) float32 sRGB: the picture of radiance in the mood of a frame, where that has one."""
    options = {"look": look.look, "exposure": look.exposure, "white_balance": look.white_balance}
    try:
        return render(radiance, like=like, longer=longer, **options)  # type: ignore[arg-type]
    except InputError:  # the frame is all white or all black
        return render(radiance, **options)  # type: ignore[arg-type]
