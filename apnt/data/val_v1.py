"""val-v1: the frozen validation brackets, on which this project measures everything.

Twenty-two brackets of 384x512, two from each of eleven radiance maps (eight Poly Haven panoramas, three
photographs of the OpenEXR image set); every second one has a moving camera. A change of anything here makes
another set, which needs another name.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from apnt.data.synthetic import BracketRecipe, SyntheticBracket, synthesize
from apnt.errors import InputError
from apnt.io.inputs import no_folder
from apnt.io.radiance import read_radiance

SIZE = (384, 512)
SEED = 20261123
SCENES = {
    "chinese_garden.hdr": "463b0ab0c03632762e1fb168fbf05162aaa1c2d2d8d8b36b10bc1806d2257243",
    "ilm_Bonita.exr": "3b9b88f82e80d8ca3d5e55bfc4117a733c0a2d7abe9de7ed372ea05caa9bca2e",
    "ilm_Cannon.exr": "1ac7ae21c22fe1b006f18e3b6b53d52330fb7314ba4b1e0c68016967182d0fa9",
    "ilm_Tree.exr": "8397741de996ab16ab94005fd0f0327bd29ab448163160a608c0b26e26864712",
    "old_hall.exr": "2e37cfd0681b110f7a2bd9127e15da3f2b173209a1a9f52f4212934d4abf9e61",
    "pedestrian_overpass.hdr": "3d2c4068676cfead5dce9a12896cf1ebcac4e97914938e3c2987b70cad4e4c4a",
    "rainforest_trail.hdr": "f60321301cc9cdaf9669f7e6d26d653150b82437a9036f387ec1f21f10086b78",
    "sepulchral_chapel_rotunda.hdr": "b2c42325a19791071ba598838efab9b40799d7d7b06e758e607590459e4a478f",
    "spree_bank.hdr": "20d4b21e5f28d9e2eebfecb283a9ddc800730e81336e3eec1fecc2ade5b562cf",
    "st_fagans_interior.hdr": "8b73849c956e2d97e7a6cfacbe9396d90a84fcbd9b24327a37a6629150055cca",
    "vintage_measuring_lab.hdr": "3dcc010490870b894d8140f72d0c3f7067183597723a00eae8fbc9a00fb8cc14",
}
"""File name -> its SHA-256."""
RECIPE = BracketRecipe(
    saturated=(0.03, 0.2),
    shift=20.0,
    objects=(2, 3),
    object_size=(0.08, 0.2),
    object_speed=(4.0, 24.0),
    camera=1.0,
)


def val_v1(data: str | Path | None = None) -> Iterator[SyntheticBracket]:
    """Make the brackets of val-v1, each when it is needed; the folder is checked at once.

    Args:
        data: the folder that holds the files named in ``SCENES`` (or whose ``hdr/val`` does); None takes the
            environment variable ``APNT_DATA``.

    Raises:
        InputError: no folder was named, or a file is missing.
    """
    return _make(find_folder(data))


def _make(folder: Path) -> Iterator[SyntheticBracket]:
    maps = {name: _at_least(read_radiance(folder / name), SIZE, RECIPE.margin) for name in SCENES}
    # Objects come from other scenes at half the size, so that they hold whole structures and sharp detail.
    patches = {
        name: cv2.resize(m, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for name, m in maps.items()
    }
    for index in range(2 * len(SCENES)):
        name, half = list(SCENES)[index // 2], index % 2
        rng = np.random.default_rng([SEED, index])
        recipe = replace(RECIPE, camera=float(half), stops=(2 + (index // 2 + half) % 2,))
        others = [patches[other] for other in SCENES if other != name]
        background = _background(maps[name], half, name, rng)
        yield synthesize(background, others, rng, recipe, name=f"{Path(name).stem}_{half}")


def find_folder(data: str | Path | None) -> Path:
    """The folder with all radiance maps of val-v1; warns of other versions of them.

    Raises:
        InputError: no folder was named, or a file is missing.
    """
    named = data or os.environ.get("APNT_DATA")
    if not named:
        raise InputError(
            "data must name the folder with the radiance maps of val-v1: give --data or set APNT_DATA; "
            "docs/data.md lists the files and where they come from; the set procedural needs none"
        )
    folder = Path(named)
    if (folder / "hdr" / "val").is_dir():
        folder = folder / "hdr" / "val"
    if not folder.is_dir():
        why = no_folder(folder)
        raise InputError(f"data must be a folder of radiance maps, and {folder} {why}: check the path")
    missing = [name for name in SCENES if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"data must hold the {len(SCENES)} radiance maps of val-v1; {folder} lacks {missing}"
        )
    for name, expected in SCENES.items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected:
            warnings.warn(
                f"{folder / name} is not the file that val-v1 was frozen with: its numbers will differ",
                stacklevel=2,
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
    missing = [max(0, n + 2 * margin - have) for n, have in zip(size, radiance.shape[:2], strict=True)]
    return np.pad(radiance, [(n // 2, n - n // 2) for n in missing] + [(0, 0)], mode="reflect")
