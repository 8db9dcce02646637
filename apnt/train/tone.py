"""Tone curves of cameras, as an augmentation: frames whose values are not gamma 2.2, and the truth to them.

A camera's JPEG files pass through a contrast curve, the same for all three frames up to what its processing
does to each of them. Frames then disagree about the same light, and no frame tells what the light was. What
can be asked of a network is the medium frame's view: its own curve, continued by what the short frame adds.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from apnt.camera import GAMMA
from apnt.train.recipe import ToneRecipe

_KNOTS = np.linspace(0.0, 1.0, 1025)
_TERMS = 3


def tone_curve(rng: np.random.Generator, strength: float) -> np.ndarray:
    """Draw a smooth, strictly increasing curve from [0, 1] onto [0, 1].

    The logarithm of its slope is ``sum_k a_k * cos(pi * k * x)`` up to a constant, ``k`` from 1 to 3, with
    normal ``a_k`` of standard deviation ``strength / k``.

    Returns:
        (1025,) float64 values at evenly spaced display-referred levels.
    """
    log_slope = np.zeros_like(_KNOTS)
    for k in range(1, _TERMS + 1):
        log_slope += rng.normal(0.0, strength / k) * np.cos(np.pi * k * _KNOTS)
    slope = np.exp(log_slope)
    area = np.concatenate([[0.0], np.cumsum((slope[1:] + slope[:-1]) / 2)])
    return area / area[-1]


def apply_curve(image: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """Map values in [0, 1] of any shape through a curve of :func:`tone_curve`; float32."""
    return np.interp(image, _KNOTS, curve).astype(np.float32)


def truth_of_medium(truth: np.ndarray, curve: np.ndarray, time: float) -> np.ndarray:
    """The radiance that a bracket on this curve stands for, in the view of its medium frame.

    Args:
        truth: linear radiance in [0, 1], 1 = the short exposure's saturation.
        curve: of the medium frame.
        time: the medium exposure, relative to the short one.

    Returns:
        Same shape, float32: below the medium frame's saturation what its values say when they are linearised
        by gamma 2.2; above, the short frame's values, stretched so that they begin there and end at 1. This
        is the scale to which :func:`apnt.io.match_tone` brings the frames.
    """
    display = truth.astype(np.float64) ** (1 / GAMMA)  # the short frame's values
    joint = time ** (-1 / GAMMA)  # where the medium frame saturates, in the short frame's values
    seen = np.interp(np.minimum(display / joint, 1.0), _KNOTS, curve) * joint
    start = np.interp(joint, _KNOTS, curve)
    beyond = joint + (np.interp(display, _KNOTS, curve) - start) / (1 - start) * (1 - joint)
    return (np.where(display < joint, seen, beyond) ** GAMMA).astype(np.float32)


class ToneCurves(Dataset[dict[str, Tensor]]):
    """Brackets of another data set, some of them on a camera's tone curve.

    Sample ``i`` depends on the other's sample ``i``, ``seed`` and ``i`` alone. A bracket on a curve has 8
    bits, as JPEG files have.

    Args:
        brackets: items with ``ldr`` (3, 3, h, w), ``times`` (3,), ``truth`` (3, h, w) and whatever else.
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
        for k in (0, 2):
            frames[k] = apply_curve(frames[k], tone_curve(rng, self.recipe.residual))
        frames = np.round(apply_curve(frames, curve) * 255) / np.float32(255)
        time = float(item["times"][1] / item["times"][0])
        truth = truth_of_medium(item["truth"].numpy(), curve, time)
        return {**item, "ldr": torch.from_numpy(frames), "truth": torch.from_numpy(truth)}
