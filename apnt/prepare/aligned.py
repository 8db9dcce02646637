"""Frames in one geometry: what the alignment found, applied and reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from apnt import scratch
from apnt.bracket import Bracket
from apnt.doing import doing, part_done
from apnt.prepare.alignment.align import Alignment, align, warp
from apnt.prepare.report import Report
from apnt.prepare.response import Response


def aligned(bracket: Bracket, names: Sequence[str], report: Report, look: Response | None = None) -> Bracket:
    """Bring all frames to the geometry of the reference; the border that a frame does not show is no data.

    Args:
        bracket: with frames on one scale; they are overwritten.
        names: of its frames.
        report: what is done is added.
        look: the response that the frames still have; None = gamma 2.2.
    """
    response = None if look is None else look.linear
    found: Alignment = align(
        bracket.ldr, bracket.times, bracket.reference, response=response, valid=bracket.valid
    )
    entries: list[dict[str, Any]] = [{} for _ in names]
    doing("Moving them", len(names))
    valid, moved = bracket.valid, []
    for k, frame in enumerate(found.frames):
        if k:
            part_done()
        entries[bracket.order[k]] = {
            "name": names[k],
            "status": frame.status,
            "pixels": round(frame.shift, 2),
            "why": frame.why,
        }
        if frame.status == "refused":
            report.warnings.append(
                f"{names[k]} was not aligned: {frame.why}; it is used where it lies, and what differs counts "
                "as motion, which the network searches for or leaves out."
            )
        if frame.status != "aligned":
            continue
        moved.append(f"{names[k]} (by up to {frame.shift:.1f} pixels)")
        if valid is None:
            valid = scratch.filled(bracket.ldr.shape[:3], True, bool)
        bracket.ldr[k], valid[k] = warp(bracket.ldr[k], frame.homography, valid[k])
    if moved:
        report.corrections.append(f"Aligned with {names[bracket.reference]}: {', '.join(moved)}.")
    report.alignment = entries
    return replace(bracket, valid=valid)
