"""Training samples of a recipe: numbered brackets, on camera curves where the recipe has them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from apnt.data.synthetic import BracketRecipe
from apnt.train.brackets import PhotographBrackets, SyntheticBrackets, brackets_for
from apnt.train.recipe import FeatureRecipe, LoopRecipe, NetworkRecipe
from apnt.train.tone import ToneCurves


class Numbered(Dataset[dict[str, Tensor]]):
    """Samples of another data set with their ``index``, () int64, so that a loss can draw by it."""

    def __init__(self, samples: Dataset[dict[str, Tensor]]):
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {**self.samples[index], "index": torch.tensor(index)}


class Alternating(Dataset[dict[str, Tensor]]):
    """Samples of a data set, and at regular steps those of another.

    Args:
        samples, others: as long as each other.
        batch: samples of a step.
        every: of how many steps one has the others' samples.
    """

    def __init__(
        self, samples: Dataset[dict[str, Tensor]], others: Dataset[dict[str, Tensor]], batch: int, every: int
    ):
        self.samples, self.others, self.batch, self.every = samples, others, batch, every

    def __len__(self) -> int:
        return len(self.samples)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        step = index // self.batch
        return (self.others if step % self.every == self.every - 1 else self.samples)[index]


def training_samples(data: Path, recipe: LoopRecipe) -> Dataset[dict[str, Tensor]]:
    """As many samples as a run takes; sample ``i`` depends on the recipe's seed and ``i`` alone."""
    length = recipe.steps * recipe.batch
    samples: Dataset[dict[str, Tensor]]
    if isinstance(recipe, NetworkRecipe):
        made = brackets_for(data, length, recipe.crop, recipe.brackets, recipe.captured, recipe.seed)
        samples = made
        if recipe.photographs.share:
            samples = PhotographBrackets(made, data, recipe.crop, recipe.photographs, recipe.seed)
    else:
        assert isinstance(recipe, FeatureRecipe)
        samples = _with_motion(data, length, recipe.crop, recipe.brackets, recipe)
        if recipe.far.every:
            far = recipe.far
            others = _with_motion(data, length, far.crop, far.brackets, recipe, far.zoom)
            samples = Alternating(samples, others, recipe.batch, far.every)
    if recipe.tone.probability:
        samples = ToneCurves(samples, recipe.tone, recipe.seed)
    return Numbered(samples)


def _with_motion(
    data: Path, length: int, crop: int, brackets: BracketRecipe, recipe: FeatureRecipe, zoom: float = 1.0
) -> Dataset[dict[str, Tensor]]:
    """Samples for matching features, which need known motion: captured brackets do not have it."""
    made = SyntheticBrackets(data, length, crop, brackets, recipe.seed, zoom)
    if not recipe.photographs.share:
        return made
    return PhotographBrackets(made, data, crop, recipe.photographs, recipe.seed, motion=True)
