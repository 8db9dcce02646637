"""val-v1: the frozen validation brackets, the yardstick of this project.

Twenty-two brackets of 384x512, two from each of eleven radiance maps (eight Poly Haven panoramas, three
photographs of the OpenEXR image set); every second one has a moving camera. Changing anything here makes
another set: give it another name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from apnt.data.radiance import read_radiance
from apnt.data.synthetic import BracketRecipe, SyntheticBracket, synthesize
from apnt.errors import InputError

SIZE = (384, 512)
SEED = 20261123
SCENES = (
    "chinese_garden.hdr",
    "ilm_Bonita.exr",
    "ilm_Cannon.exr",
    "ilm_Tree.exr",
    "old_hall.exr",
    "pedestrian_overpass.hdr",
    "rainforest_trail.hdr",
    "sepulchral_chapel_rotunda.hdr",
    "spree_bank.hdr",
    "st_fagans_interior.hdr",
    "vintage_measuring_lab.hdr",
)
RECIPE = BracketRecipe(
    saturated=(0.03, 0.2),
    shift=20.0,
    objects=(2, 3),
    object_size=(0.08, 0.2),
    object_speed=(4.0, 24.0),
    camera=1.0,
)


def val_v1(data: str | Path | None = None) -> Iterator[SyntheticBracket]:
    """Make the brackets of val-v1, one after the other.

    Args:
        data: the folder that holds the files named in ``SCENES`` (or whose ``hdr/val`` does); None takes the
            environment variable ``APNT_DATA``.

    Raises:
        InputError: no folder was named, or a file is missing.
    """
    folder = find_folder(data)
    maps = {name: _at_least(read_radiance(folder / name), SIZE, RECIPE.margin) for name in SCENES}
    # Objects come from other scenes at half the size, so that they hold whole things and sharp detail.
    patches = {
        name: cv2.resize(m, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for name, m in maps.items()
    }
    for index in range(2 * len(SCENES)):
        name, half = SCENES[index // 2], index % 2
        rng = np.random.default_rng([SEED, index])
        recipe = replace(RECIPE, camera=float(half), stops=(2 + (index // 2 + half) % 2,))
        others = [patches[other] for other in SCENES if other != name]
        background = _background(maps[name], half, name, rng)
        yield synthesize(background, others, rng, recipe, name=f"{Path(name).stem}_{half}")


def find_folder(data: str | Path | None) -> Path:
    """The folder with the radiance maps of val-v1, checked to be complete."""
    named = data or os.environ.get("APNT_DATA")
    if not named:
        raise InputError(
            "data must name the folder with the radiance maps of val-v1: give --data or set APNT_DATA; "
            "docs/data.md lists the files and where they come from"
        )
    folder = Path(named)
    if (folder / "hdr" / "val").is_dir():
        folder = folder / "hdr" / "val"
    missing = [name for name in SCENES if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"data must hold the {len(SCENES)} radiance maps of val-v1; {folder} lacks {missing}"
        )
    return folder


def _background(radiance: np.ndarray, half: int, name: str, rng: np.random.Generator) -> np.ndarray:
    """(H + 2m, W + 2m, 3): the left or right half of a panorama, or a random window of a photograph."""
    height, width = (n + 2 * RECIPE.margin for n in SIZE)
    if name.startswith("ilm_"):
        y = int(rng.integers(0, radiance.shape[0] - height + 1))
        x = int(rng.integers(0, radiance.shape[1] - width + 1))
        return radiance[y : y + height, x : x + width]
    y = (radiance.shape[0] - height) // 2
    columns = np.arange(half * SIZE[1] - RECIPE.margin, (half + 1) * SIZE[1] + RECIPE.margin)
    return radiance[y : y + height].take(columns, axis=1, mode="wrap")


def _at_least(radiance: np.ndarray, size: tuple[int, int], margin: int) -> np.ndarray:
    """Mirror the borders of a photograph that is smaller than a frame and its margin."""
    short = [max(0, n + 2 * margin - have) for n, have in zip(size, radiance.shape[:2], strict=True)]
    return np.pad(radiance, [(s // 2, s - s // 2) for s in short] + [(0, 0)], mode="reflect")
