"""Where a frame holds no data: transparent in its file, or outside its picture once it is aligned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from apnt.bracket import Bracket
from apnt.camera import GAMMA, SATURATION
from apnt.prepare.report import Report
from apnt.prepare.response import Response
from apnt.strips import strips

_SAID = 0.005  # share of the picture from which it is said that nobody knows its light


def say_holes(bracket: Bracket, names: Sequence[str], report: Report) -> None:
    """Say which files have holes.

    Args:
        bracket: as read.
        names: of its frames.
        report: what is found is added.
    """
    if bracket.valid is None:
        return
    missing = 1 - bracket.valid.mean(axis=(1, 2))
    shares = [f"{names[k]} in {_percent(share)}" for k, share in enumerate(missing) if share > 0]
    if shares:
        report.corrections.append(
            f"Transparent places are no data: {', '.join(shares)} of the picture; the other frames show them."
        )


def doubt_unknown(bracket: Bracket, names: Sequence[str], report: Report) -> None:
    """Warn of light that no frame knows, because those that could tell hold no data there.

    Args:
        bracket: with frames on one scale, aligned, not yet filled.
        names: of its frames.
        report: what is found is added.
    """
    if bracket.valid is None:
        return
    nowhere = float((~bracket.valid.any(axis=0)).mean())
    if nowhere > 0:
        report.warnings.append(
            f"No frame holds data in {_percent(nowhere)} of the picture: what is shown there means nothing."
        )
    found = np.zeros(len(bracket), np.int64)
    for rows in strips(bracket.size[0]):
        known = bracket.valid[0, rows].copy()
        for k in range(1, len(bracket)):
            shortest = bracket.valid[k, rows] & ~known  # no shorter frame holds data there
            found[k] += (bracket.ldr[k, rows][shortest] >= SATURATION).any(axis=-1).sum()
            known |= shortest
    white = {k: float(count / np.prod(bracket.size)) for k, count in enumerate(found) if count}
    share = sum(white.values())
    if share < _SAID:
        return
    lost, shown = names[: max(white)], [names[k] for k in white]
    holds, shows = "holds" if len(lost) == 1 else "hold", "shows" if len(shown) == 1 else "show"
    report.warnings.append(
        f"In {_percent(share)} of the picture nobody knows how bright it was: {', '.join(lost)} {holds} no "
        f"data there, and {', '.join(shown)} {shows} white; the result is that white, and the light was "
        "brighter."
    )


def _percent(share: float) -> str:
    return f"{share:.1%}" if share < 0.0995 else f"{share:.0%}"


def filled(bracket: Bracket, look: Response | None = None) -> Bracket:
    """Where a frame holds no data, what it would show of the light of the nearest exposure that does.

    Args:
        bracket: with frames on one scale; they are overwritten.
        look: the response that the frames still have; None = gamma 2.2.
    """
    if bracket.valid is None or bracket.valid.all():
        return replace(bracket, valid=None)
    for rows in strips(bracket.size[0]):
        frames, valid = bracket.ldr[:, rows], bracket.valid[:, rows]
        for k, frame in enumerate(frames):
            missing = ~valid[k]
            for j in [bracket.reference, *sorted(bracket.others, key=lambda j: abs(j - k))]:
                usable = missing & valid[j]
                if usable.any():
                    frame[usable] = _exposed(frames[j][usable], bracket.times[k] / bracket.times[j], look)
                    missing &= ~usable
    return bracket


def _exposed(values: np.ndarray, ratio: float, look: Response | None) -> np.ndarray:
    """Values (..., 3) as a frame of ``ratio`` times their exposure shows them."""
    if look is None:
        return np.minimum(values * np.float32(ratio ** (1 / GAMMA)), 1.0)
    return look.encode(look.linear(values) * np.float32(ratio))
