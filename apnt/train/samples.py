"""Training samples of a recipe: numbered brackets, on camera curves where the recipe has them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from apnt.train.brackets import PhotographBrackets, SyntheticBrackets, brackets_for
from apnt.train.recipe import LoopRecipe, NetworkRecipe
from apnt.train.tone import ToneCurves


class Numbered(Dataset[dict[str, Tensor]]):
    """Samples of another data set with their ``index``, () int64, so that a loss can draw by it."""

    def __init__(self, samples: Dataset[dict[str, Tensor]]):
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {**self.samples[index], "index": torch.tensor(index)}


def training_samples(data: Path, recipe: LoopRecipe) -> Dataset[dict[str, Tensor]]:
    """As many samples as a run takes; sample ``i`` depends on the recipe's seed and ``i`` alone."""
    length = recipe.steps * recipe.batch
    samples: Dataset[dict[str, Tensor]]
    if isinstance(recipe, NetworkRecipe):
        made = brackets_for(data, length, recipe.crop, recipe.brackets, recipe.captured, recipe.seed)
        samples = made
        if recipe.photographs.share:
            samples = PhotographBrackets(made, data, recipe.crop, recipe.photographs, recipe.seed)
    else:  # matching features need known motion, which captured brackets do not have
        samples = SyntheticBrackets(data, length, recipe.crop, recipe.brackets, recipe.seed)
    if recipe.tone.probability:
        samples = ToneCurves(samples, recipe.tone, recipe.seed)
    return Numbered(samples)
