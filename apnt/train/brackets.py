"""Training brackets, captured or made from radiance maps when they are needed, reproducible one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from apnt.bracket import Bracket, to_chw
from apnt.data.captured import CapturedBrackets, open_dataset
from apnt.data.crops import CropRecipe, random_crop
from apnt.data.layouts import find_scenes
from apnt.data.maps import has_radiance_maps, list_radiance_maps
from apnt.data.photographs import PhotographRecipe, prepared_photographs
from apnt.data.synthetic import BracketRecipe, SyntheticBracket, synthesize
from apnt.errors import InputError
from apnt.io.radiance import read_radiance


def brackets_for(
    data: str | Path,
    length: int,
    crop: int,
    synthetic: BracketRecipe,
    captured: CropRecipe | None = None,
    seed: int = 0,
) -> SyntheticBrackets | CapturedCrops:
    """The training samples of a folder: captured or synthetic ones, depending on its content.

    Args:
        data: a data set of captured brackets with truth, in a layout that docs/data.md lists, or a folder of
            radiance maps.
        length: number of samples.
        crop: side of a square sample, pixels.
        synthetic: how brackets are made from radiance maps.
        captured: how crops are drawn from captured brackets; None = with the defaults.
        seed: of everything.

    Raises:
        InputError: the folder holds neither, or its content cannot be used.
    """
    recipe = captured or CropRecipe()
    found = captured_training_set(data, recipe)
    if found is None:
        return SyntheticBrackets(data, length, crop, synthetic, seed)
    return CapturedCrops(found, length, crop, recipe, seed)


def captured_training_set(data: str | Path, recipe: CropRecipe) -> CapturedBrackets | None:
    """The training scenes of a data set, or all where it is flat; None for a folder of radiance maps.

    Raises:
        InputError: the folder holds neither, has test scenes only, or a scene that cannot be used.
    """
    try:
        found = find_scenes(data)
    except InputError as error:
        if has_radiance_maps(data):
            return None
        raise InputError(
            f"data must be a folder with .hdr or .exr radiance maps or a data set of captured brackets, and "
            f"{data} is neither: {error}"
        ) from error
    if found.layout.truth is None and has_radiance_maps(data):
        return None  # the numbered pictures beside the maps are not brackets
    splits = {scene.split for scene in found.scenes}
    if "train" not in splits and splits != {None}:
        raise InputError(f"data must hold training scenes, and {data} has only {sorted(map(str, splits))}")
    return open_dataset(
        data,
        "train" if "train" in splits else None,
        on_error=recipe.on_error,
        need_truth=True,
        truth_scale=recipe.truth_scale,
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV works in one thread: the cores are busy with training.

    A loader's worker is left so: it is a fork, and its OpenCV would wait for threads that it does not have.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        if get_worker_info() is None:
            cv2.setNumThreads(before)


class CapturedCrops(Dataset[dict[str, torch.Tensor]]):
    """Random crops of captured brackets, read from disk when they are needed.

    Every scene is visited once before any is visited again, in an order that changes each time. Sample ``i``
    depends on ``seed``, ``i`` and the files alone, so that a run that resumes at sample ``i`` sees the same
    samples as one that was not interrupted. A scene that cannot be read raises an error, or is replaced, with
    a warning, by the next in the order, depending on how the set was opened.

    Args:
        brackets: with truth.
        length: number of samples.
        crop: side of a square sample, pixels.
        recipe: how crops are changed.
        seed: of everything.

    Items: ``ldr`` (3, 3, h, w), ``times`` (3,) and ``truth`` (3, h, w).
    """

    def __init__(self, brackets: CapturedBrackets, length: int, crop: int, recipe: CropRecipe, seed: int = 0):
        self.brackets, self.length, self.crop, self.recipe, self.seed = brackets, length, crop, recipe, seed

    def __len__(self) -> int:
        return self.length

    @_one_thread()
    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([self.seed, index])
        return _item(random_crop(self._scene(index), self.crop, self.recipe, rng))

    def _scene(self, index: int) -> Bracket:
        """The scene of a sample, or the next in the order that can be read."""
        visit, place = divmod(index, len(self.brackets))
        # With a third number, the order is independent of the samples' random numbers.
        order = np.random.default_rng([self.seed, visit, 1]).permutation(len(self.brackets))
        for step in range(len(order)):
            bracket = self.brackets.read(int(order[(place + step) % len(order)]))
            if bracket is not None:
                return bracket
        raise InputError("data must hold scenes that can be read, and none can be")


class SyntheticBrackets(Dataset[dict[str, torch.Tensor]]):
    """Random crops of radiance maps as synthetic brackets.

    Sample ``i`` depends on ``seed`` and ``i`` alone, so that a run that resumes at sample ``i`` sees the same
    samples as one that was not interrupted.

    Args:
        folder: radiance maps (``.hdr``, ``.exr``), or a data set of captured brackets, whose truths are then
            used as maps.
        length: number of samples.
        crop: side of a square frame, pixels.
        recipe: of the brackets.
        seed: of everything.
        zoom: by which maps are enlarged, so that frames can be larger than the maps would permit.

    Items: ``ldr`` (3, 3, h, w), ``times`` (3,), ``truth`` (3, h, w), and to the short and the long exposure
    ``motion``, ``motion_long`` (2, h, w) and ``visible``, ``visible_long`` (h, w).
    """

    def __init__(
        self,
        folder: str | Path,
        length: int,
        crop: int,
        recipe: BracketRecipe,
        seed: int = 0,
        zoom: float = 1.0,
    ):
        self.side = crop + 2 * recipe.margin
        self.maps = [_zoomed(radiance, zoom) for radiance in _read_maps(folder, self.side)]
        self.half = [cv2.resize(m, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for m in self.maps]
        large = [m for m in self.maps if min(m.shape[:2]) >= self.side and m.max() > 0]
        if not large:
            raise InputError(
                f"data must hold maps of at least {self.side} pixels a side (crop and margins) with light in "
                f"them, and none in {folder} is: make crop or the recipe's shift smaller"
            )
        self.length, self.crop, self.recipe, self.seed = length, crop, recipe, seed

    def __len__(self) -> int:
        return self.length

    @_one_thread()
    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([self.seed, index])
        side = self.side
        for _ in range(1000):
            # A map at half its size has sharper edges and shows more of the scene.
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
        return _item_with_motion(made)


class PhotographBrackets(Dataset[dict[str, torch.Tensor]]):
    """Samples of another data set, a share of them replaced by brackets like prepared photographs.

    Sample ``i`` depends on ``seed``, ``i`` and the files alone; those that are not replaced are the other
    data set's.

    Args:
        others: the other data set.
        folder: as of :class:`SyntheticBrackets`.
        crop: side of a square frame, pixels.
        recipe: of the brackets, and their share.
        seed: of everything.
        motion: whether items have the motion, which the other data set's then have, too.

    Items: ``ldr`` (3, 3, h, w), ``times`` (3,) and ``truth`` (3, h, w), and with ``motion`` what those of
    :class:`SyntheticBrackets` have.
    """

    def __init__(
        self,
        others: SyntheticBrackets | CapturedCrops,
        folder: str | Path,
        crop: int,
        recipe: PhotographRecipe,
        seed: int = 0,
        motion: bool = False,
    ):
        read = others.maps if isinstance(others, SyntheticBrackets) else _read_maps(folder, crop)
        self.maps = [m for m in read if m.max() > 0 and min(m.shape[:2]) >= crop]
        if not self.maps:
            raise InputError(
                f"data must hold maps of at least {crop} pixels a side with light in them, and none in "
                f"{folder} is: make crop smaller"
            )
        self.others, self.crop, self.recipe, self.seed, self.motion = others, crop, recipe, seed, motion

    def __len__(self) -> int:
        return len(self.others)

    @_one_thread()
    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        # With a third number, the choices are independent of the other data set's.
        rng = np.random.default_rng([self.seed, index, 2])
        if rng.random() >= self.recipe.share:
            item = self.others[index]
            return item if self.motion else {name: item[name] for name in ("ldr", "times", "truth")}
        ground = self.maps[int(rng.integers(len(self.maps)))]
        textures = [self.maps[int(rng.integers(len(self.maps)))] for _ in range(3)]
        for _ in range(1000):
            try:
                made = prepared_photographs(ground, textures, self.crop, rng, self.recipe, motion=self.motion)
                return _item_with_motion(made) if isinstance(made, SyntheticBracket) else _item(made)
            except InputError:  # a crop without light
                ground = self.maps[int(rng.integers(len(self.maps)))]
        raise InputError("data must hold maps with light in most places, and a thousand crops were black")


def _item(bracket: Bracket) -> dict[str, torch.Tensor]:
    """``ldr`` (3, 3, h, w), ``times`` (3,) and ``truth`` (3, h, w) of a bracket with truth."""
    assert bracket.truth is not None
    ldr, times = bracket.tensors()
    return {"ldr": ldr[0], "times": times[0], "truth": to_chw(bracket.truth)}


def _item_with_motion(bracket: SyntheticBracket) -> dict[str, torch.Tensor]:
    """:func:`_item`, and ``motion``, ``motion_long`` (2, h, w), ``visible``, ``visible_long`` (h, w)."""
    assert bracket.motion_long is not None
    assert bracket.visible_long is not None
    return {
        **_item(bracket),
        "motion": to_chw(bracket.motion),
        "visible": torch.from_numpy(bracket.visible),
        "motion_long": to_chw(bracket.motion_long),
        "visible_long": torch.from_numpy(bracket.visible_long),
    }


def _read_maps(folder: str | Path, side: int) -> list[np.ndarray]:
    """Radiance maps, or the truths of a data set; these are halved where ``side`` permits, to save memory."""
    found = captured_training_set(folder, CropRecipe())
    if found is None:
        return [_trim(read_radiance(path)) for path in list_radiance_maps(folder)]
    maps = []
    for scene in found.scenes:
        assert scene.truth is not None
        truth = read_radiance(scene.truth)
        scale = 0.5 if min(truth.shape[:2]) >= 2 * side else 1.0
        maps.append(cv2.resize(truth, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    return maps


def _trim(radiance: np.ndarray) -> np.ndarray:
    """The middle two thirds of a panorama's rows; nearer to the poles it is too distorted."""
    height, width = radiance.shape[:2]
    return radiance[height // 6 : height - height // 6] if width == 2 * height else radiance


def _zoomed(radiance: np.ndarray, zoom: float) -> np.ndarray:
    """A map enlarged ``zoom`` times."""
    if zoom == 1:
        return radiance
    return np.maximum(cv2.resize(radiance, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC), 0)


def _augment(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotate by quarter turns, flip, and shuffle the colour channels."""
    image = np.rot90(image, int(rng.integers(4)))
    if rng.random() < 0.5:
        image = image[:, ::-1]
    return np.ascontiguousarray(image[..., rng.permutation(3)])
