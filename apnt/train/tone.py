"""Tone curves of cameras, as an augmentation: frames whose values are not gamma 2.2, and the truth to them.

A camera's JPEG files pass through a contrast curve, the same for all frames but for small changes in the
processing of each. Linearised by gamma 2.2, two frames then give different values for the same light, and
neither gives the light itself. The truth is therefore the light as the reference frame renders it: by its own
curve, continued with the values of the shortest exposure where the reference frame saturates.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from apnt.camera import GAMMA
from apnt.data.tone_curves import KNOTS, apply_curve, tone_curve
from apnt.train.recipe import ToneRecipe


def truth_of_reference(truth: np.ndarray, curve: np.ndarray, time: float) -> np.ndarray:
    """The radiance of a bracket on this curve, as its reference frame renders it.

    Args:
        truth: linear radiance in [0, 1], 1 = saturation of the shortest exposure.
        curve: of the reference frame.
        time: the reference frame's exposure time, relative to the shortest.

    Returns:
        Same shape, float32. Below the reference frame's saturation, its values linearised by gamma 2.2;
        above, the values of the shortest exposure, stretched so that they begin there and end at 1.
        :func:`apnt.io.response.match_tone` brings the frames to this scale; fusing photographs undoes the
        curve instead (:mod:`apnt.prepare.pipeline`).
    """
    display = truth.astype(np.float64) ** (1 / GAMMA)  # values of the shortest exposure
    joint = time ** (-1 / GAMMA)  # its value where the reference frame saturates
    below = np.interp(np.minimum(display / joint, 1.0), KNOTS, curve) * joint
    start = np.interp(joint, KNOTS, curve)
    above = joint + (np.interp(display, KNOTS, curve) - start) / (1 - start) * (1 - joint)
    return (np.where(display < joint, below, above) ** GAMMA).astype(np.float32)


class ToneCurves(Dataset[dict[str, Tensor]]):
    """Brackets of another data set, some of them on a camera's tone curve.

    Sample ``i`` depends on sample ``i`` of the other data set, ``seed`` and ``i`` alone. A bracket on a curve
    has 8 bits, as JPEG files have.

    Args:
        brackets: items with ``ldr`` (N, 3, h, w), ``times`` (N,) and ``truth`` (3, h, w), whose reference is
            the middle frame; other keys stay as they are.
        recipe: of the curves.
        seed: of the curves.
    """

    def __init__(self, brackets: Dataset[dict[str, Tensor]], recipe: ToneRecipe, seed: int):
        self.brackets, self.recipe, self.seed = brackets, recipe, seed

    def __len__(self) -> int:
        return len(self.brackets)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        item = self.brackets[index]
        rng = np.random.default_rng([self.seed, index, 1])
        if rng.random() >= self.recipe.probability:
            return item
        curve = tone_curve(rng, self.recipe.strength)
        frames = item["ldr"].numpy().copy()
        reference = len(frames) // 2
        for k in range(len(frames)):
            if k != reference:
                frames[k] = apply_curve(frames[k], tone_curve(rng, self.recipe.residual))
        frames = np.round(apply_curve(frames, curve) * 255) / np.float32(255)
        time = float(item["times"][reference] / item["times"][0])
        truth = truth_of_reference(item["truth"].numpy(), curve, time)
        return {**item, "ldr": torch.from_numpy(frames), "truth": torch.from_numpy(truth)}
