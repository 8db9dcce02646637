"""How photographs are prepared: what a user can choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from apnt import defaults
from apnt.prepare.response import Response

AUTO = defaults.CURVE


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
