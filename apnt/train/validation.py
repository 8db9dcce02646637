"""Validation while the network trains: scores for the log, pictures for TensorBoard."""

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
from apnt.tonemap import mu_law
from apnt.train.log import Log
from apnt.train.loop import Status
from apnt.train.recipe import NetworkRecipe, ValidationRecipe
from apnt.train.samples import training_samples

_SEED = 1_000_003  # added to the training's, so that no validation bracket is a training bracket


class Validation:
    """Fuses a few brackets with known truth whenever a validation is due.

    Args:
        network: the averaged weights; it is put into evaluation mode.
        brackets: with truth.
        recipe: when a validation is due.
        dtype: of mixed precision, or None.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        brackets: list[Bracket],
        recipe: ValidationRecipe,
        dtype: torch.dtype | None,
    ):
        self.network, self.brackets, self.recipe, self.dtype = network, brackets, recipe, dtype

    def __call__(self, status: Status, log: Log) -> bool:
        """Validate if a validation is due, and return whether it was."""
        step, spent = status.validated
        due = 0 < self.recipe.steps <= status.step - step
        due = due or 0 < 60 * self.recipe.minutes <= status.spent - spent
        if due:
            self.validate(status.step, log)
        return due

    def validate(self, step: int, log: Log) -> dict[str, float]:
        """Fuse every bracket; log a picture of each and the means of PSNR-mu and PSNR-L; return the means."""
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
    """(H, 4 * W, 3) uint8: reference frame, fused, truth (both after the mu-law), eight times their error."""
    assert bracket.truth is not None
    result, truth = mu_law(fused), mu_law(bracket.truth)
    row = np.concatenate([bracket.reference_frame, result, truth, 8 * np.abs(result - truth)], axis=1)
    return np.round(np.clip(row, 0.0, 1.0) * 255).astype(np.uint8)


def validation_brackets(
    recipe: NetworkRecipe, data: Path, validation_data: Path | None = None
) -> list[Bracket]:
    """The brackets that a recipe validates on; none where it never does.

    Args:
        recipe: of the training.
        data: of the training.
        validation_data: folder that the recipe's set is made or read from, None = that set's own default; or,
            where the recipe's set is ``"train"``, a folder that is a set itself.

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
        without = [bracket.name for bracket in found if bracket.truth is None]
        if without:
            raise InputError(f"validation must have truth, and {', '.join(without)} of {name} have none")
        return found
    own = replace(recipe, steps=chosen.brackets, batch=1, accumulate=1, seed=recipe.seed + _SEED)
    samples = training_samples(data, own)
    brackets = []
    for index in range(chosen.brackets):
        item = samples[index]
        ldr, truth = item["ldr"].permute(0, 2, 3, 1).numpy(), item["truth"].permute(1, 2, 0).numpy()
        brackets.append(Bracket(f"train_{index}", ldr, item["times"].double().numpy(), truth))
    return brackets
