"""What preparing photographs found and did, in the words of a photographer and as numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from apnt.errors import InputError

SEEN = 0.02
"""Log gain from which what a frame differs by is corrected, and said."""


@dataclass
class Report:
    """What was found and done, in the words of a photographer, and as numbers.

    Attributes:
        exposures: where they come from: "times", "stops", "bracket.json", "EXIF", "XMP", "EXIF and XMP" or
            "pixels".
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

    def refuse_doubts(self) -> None:
        """Turn the warnings into a refusal, which names all of them."""
        if self.warnings:
            raise InputError(f"strict refuses what is doubtful: {' '.join(self.warnings)}")
