"""Random crops of captured brackets: flipped, rotated, with their colour channels shuffled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from apnt.bracket import Bracket
from apnt.errors import InputError


@dataclass(frozen=True)
class CropRecipe:
    """How training samples are drawn from captured brackets.

    Attributes:
        flip: probability that a crop is mirrored.
        turn: probability that it is rotated, by one to three quarter turns.
        permute: probability that its colour channels are shuffled; a shuffle may leave their order unchanged.
        on_error: "raise" stops at a scene that cannot be used, "skip" leaves it out and warns.
        truth_scale: factor on the stored truth, see :func:`apnt.data.open_dataset`.
    """

    flip: float = 0.5
    turn: float = 0.75
    permute: float = 1.0
    on_error: Literal["raise", "skip"] = "raise"
    truth_scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("flip", "turn", "permute"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must be a probability from 0 to 1, got {getattr(self, name)}")


def random_crop(bracket: Bracket, side: int, recipe: CropRecipe, rng: np.random.Generator) -> Bracket:
    """Cut a square out of a bracket and change it by a recipe: all frames and the truth in the same way.

    Args:
        bracket: at least ``side`` pixels high and wide.
        side: of the square, pixels.
        recipe: of the changes.
        rng: source of every random choice.

    Raises:
        InputError: the bracket is smaller.
    """
    height, width = bracket.size
    if side > min(height, width):
        raise InputError(
            f"crop must fit into the brackets, and {bracket.name} has {width} x {height} pixels, got {side}"
        )
    y, x = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    flip = rng.random() < recipe.flip
    quarter_turns = int(rng.integers(1, 4)) if rng.random() < recipe.turn else 0
    channels = rng.permutation(3) if rng.random() < recipe.permute else np.arange(3)

    def change(image: np.ndarray, order: np.ndarray = channels) -> np.ndarray:
        """(..., H, W, C) -> (..., side, side, C)."""
        image = image[..., y : y + side, x : x + side, :]
        image = image[..., ::-1, :] if flip else image
        return np.ascontiguousarray(np.rot90(image, quarter_turns, axes=(-3, -2))[..., order])

    moving = None if bracket.moving is None else change(bracket.moving[..., None], np.arange(1))[..., 0]
    truth = None if bracket.truth is None else change(bracket.truth)
    return replace(bracket, ldr=change(bracket.ldr), truth=truth, moving=moving)
