"""MEF-SSIM of the methods that make a picture for a display and no radiance to compare with the truth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from apnt.bracket import Bracket
from apnt.evaluate.tables import number
from apnt.methods import Method
from apnt.metrics_mef import SMALLEST, mef_ssim

CAUTION = (
    "MEF-SSIM (three scales, 8 bits): how much of the strongest structure of all frames a picture shows; 1 "
    "is best, no truth enters. Where something moves it asks for the structures of every frame at once and "
    "marks down a picture without ghosts: compare on scenes that stand still"
)


class StructureScores:
    """MEF-SSIM of every display method on every bracket.

    Args:
        methods: those that are evaluated; only the ones of the kind "display" are scored.
    """

    def __init__(self, methods: Mapping[str, Method]):
        self.titles = {name: method.title for name, method in methods.items() if method.kind == "display"}
        self.scenes: list[str] = []
        self.scores: dict[str, list[float]] = {name: [] for name in self.titles}

    def add(self, bracket: Bracket, results: Mapping[str, np.ndarray]) -> None:
        """Score the pictures of one bracket; one of fewer than 41 rows or columns has no score."""
        if not self.titles or min(bracket.size) < SMALLEST:
            return
        self.scenes.append(bracket.name)
        for name in self.titles:
            self.scores[name].append(mef_ssim(results[name], bracket.ldr))

    def rows(self) -> list[list[str]]:
        """Heading and one row per method; none where nothing was scored."""
        if not self.scenes:
            return []
        body = [[self.titles[name], number(float(np.mean(self.scores[name])), 4)] for name in self.titles]
        return [["method", f"MEF-SSIM ({len(self.scenes)})"], *body]

    def as_json(self) -> dict[str, object]:
        """Every number."""
        means = {name: float(np.mean(values)) for name, values in self.scores.items() if values}
        return {"meaning": CAUTION, "scenes": self.scenes, "means": means, "scores": self.scores}
