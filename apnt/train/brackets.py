"""Training brackets made on the fly from a folder of radiance maps, reproducible sample by sample."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from apnt.data.radiance import list_radiance_maps, read_radiance
from apnt.data.synthetic import BracketRecipe, synthesize
from apnt.errors import InputError


class SyntheticBrackets(Dataset[dict[str, torch.Tensor]]):
    """Random crops of radiance maps as synthetic brackets.

    Sample ``i`` depends on ``seed`` and ``i`` alone, so a run that starts again at sample ``i`` sees what it
    would have seen.

    Args:
        folder: radiance maps (``.hdr``, ``.exr``).
        length: number of samples.
        crop: side of a square frame, pixels.
        recipe: of the brackets.
        seed: of everything.

    Items: ``ldr`` (3, 3, h, w), ``times`` (3,), ``truth`` (3, h, w), ``motion`` (2, h, w) and ``visible``
    (h, w).
    """

    def __init__(self, folder: str | Path, length: int, crop: int, recipe: BracketRecipe, seed: int = 0):
        self.maps = [_trim(read_radiance(path)) for path in list_radiance_maps(folder)]
        self.half = [cv2.resize(m, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for m in self.maps]
        self.side = crop + 2 * recipe.margin
        large = [m for m in self.maps if min(m.shape[:2]) >= self.side and m.max() > 0]
        if not large:
            raise InputError(
                f"data must hold maps of at least {self.side} pixels a side (crop and margins) with light in "
                f"them, and none in {folder} is: make crop or the recipe's shift smaller"
            )
        self.length, self.crop, self.recipe, self.seed = length, crop, recipe, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        cv2.setNumThreads(0)  # the cores are busy with training
        rng = np.random.default_rng([self.seed, index])
        side = self.side
        for _ in range(1000):
            # A map at half its size has sharper edges and more context per pixel.
            pool = self.half if rng.random() < 0.3 and min(self.half[0].shape[:2]) >= side else self.maps
            scene = pool[int(rng.integers(len(pool)))]
            if min(scene.shape[:2]) < side:
                continue
            y, x = (int(rng.integers(0, n - side + 1)) for n in scene.shape[:2])
            background = _augment(scene[y : y + side, x : x + side], rng)
            if np.quantile(background.max(axis=-1), 0.75) > 0:
                break
        else:
            raise InputError("data must hold maps with light in most places, and a thousand crops were black")
        patches = [p[int(rng.integers(len(p)))] for p in (self.maps, self.half, self.half)]
        made = synthesize(background, [_augment(p, rng) for p in patches], rng, self.recipe)
        assert made.truth is not None
        return {
            "ldr": torch.from_numpy(made.ldr.transpose(0, 3, 1, 2).copy()),
            "times": torch.from_numpy(made.times.astype(np.float32)),
            "truth": torch.from_numpy(made.truth.transpose(2, 0, 1).copy()),
            "motion": torch.from_numpy(made.motion.transpose(2, 0, 1).copy()),
            "visible": torch.from_numpy(made.visible),
        }


def _trim(radiance: np.ndarray) -> np.ndarray:
    """The middle two thirds of a panorama's rows: nearer to the poles it is stretched out of shape."""
    height, width = radiance.shape[:2]
    return radiance[height // 6 : height - height // 6] if width == 2 * height else radiance


def _augment(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Flip, turn by quarters and shuffle the colour channels."""
    image = np.rot90(image, int(rng.integers(4)))
    if rng.random() < 0.5:
        image = image[:, ::-1]
    return np.ascontiguousarray(image[..., rng.permutation(3)])
