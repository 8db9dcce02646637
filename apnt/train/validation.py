"""Brackets that are fused while the network trains: numbers for the log, pictures for TensorBoard."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from apnt._fuse import fused_image
from apnt.bracket import Bracket
from apnt.device import choose_device
from apnt.errors import InputError
from apnt.evaluate.sets import load_set
from apnt.methods.network import method_of
from apnt.metrics import psnr_linear, psnr_mu
from apnt.nn import APNTFusion
from apnt.tonemap import mu_law
from apnt.train.log import Log
from apnt.train.loop import Status
from apnt.train.recipe import NetworkRecipe, ValidationRecipe
from apnt.train.samples import training_samples

_SEED = 1_000_003  # added to the training's, so that no bracket is one of those


class Validation:
    """Fuses a few brackets with known truth when it is time to.

    Args:
        network: that is looked at; it is put into evaluation mode.
        brackets: with truth.
        recipe: when it is time to.
        dtype: of mixed precision, or None.
    """

    def __init__(
        self,
        network: APNTFusion,
        brackets: list[Bracket],
        recipe: ValidationRecipe,
        dtype: torch.dtype | None,
    ):
        self.network, self.brackets, self.recipe, self.dtype = network, brackets, recipe, dtype

    def __call__(self, status: Status, log: Log) -> bool:
        """Validate if it is time to; says whether it did."""
        step, spent = status.looked
        due = 0 < self.recipe.steps <= status.step - step
        due = due or 0 < 60 * self.recipe.minutes <= status.spent - spent
        if due:
            self.look(status.step, log)
        return due

    def look(self, step: int, log: Log) -> dict[str, float]:
        """Fuse every bracket and log mean PSNR-mu and PSNR-L, and a picture of each."""
        method = method_of(self.network, choose_device(None, self.network), self.dtype or torch.float32)
        scores: dict[str, list[float]] = {"psnr_mu": [], "psnr_linear": []}
        for bracket in self.brackets:
            assert bracket.truth is not None
            fused = fused_image(bracket, method)
            scores["psnr_mu"].append(psnr_mu(fused, bracket.truth))
            scores["psnr_linear"].append(psnr_linear(fused, bracket.truth))
            log.picture(step, bracket.name, comparison(bracket, fused))
        means = {f"validation_{key}": float(np.mean(values)) for key, values in scores.items()}
        log.write(step, means)
        return means


def comparison(bracket: Bracket, fused: np.ndarray) -> np.ndarray:
    """(H, 4 * W, 3) uint8: medium exposure, fused, truth (both after the mu-law), eight times their error."""
    assert bracket.truth is not None
    seen, truth = mu_law(fused), mu_law(bracket.truth)
    row = np.concatenate([bracket.ldr[1], seen, truth, 8 * np.abs(seen - truth)], axis=1)
    return np.round(np.clip(row, 0.0, 1.0) * 255).astype(np.uint8)


def validation_brackets(
    recipe: NetworkRecipe, data: Path, validation_data: Path | None = None
) -> list[Bracket]:
    """The brackets that a recipe validates on; none where it never does.

    Args:
        recipe: of the training.
        data: of the training.
        validation_data: folder that a named set is made or read from, None = what the set falls back to; or,
            where the recipe names none, a folder that is a set itself.

    Raises:
        InputError: no such set, or brackets without truth.
    """
    chosen = recipe.validation
    if not (chosen.minutes or chosen.steps):
        return []
    if chosen.set != "train" or validation_data is not None:
        name, folder = (
            (chosen.set, validation_data) if chosen.set != "train" else (str(validation_data), None)
        )
        brackets: Iterable[Bracket] = load_set(name, folder)[0]
        found = list(islice(brackets, chosen.brackets))
        blind = [bracket.name for bracket in found if bracket.truth is None]
        if blind:
            raise InputError(f"validation must have truth, and {', '.join(blind)} of {name} have none")
        return found
    own = replace(recipe, steps=chosen.brackets, batch=1, accumulate=1, seed=recipe.seed + _SEED)
    samples = training_samples(data, own)
    brackets = []
    for index in range(chosen.brackets):
        item = samples[index]
        ldr, truth = item["ldr"].permute(0, 2, 3, 1).numpy(), item["truth"].permute(1, 2, 0).numpy()
        brackets.append(Bracket(f"train_{index}", ldr, item["times"].double().numpy(), truth))
    return brackets
