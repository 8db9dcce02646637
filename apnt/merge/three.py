"""A method that takes three frames, for a bracket of any number."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from apnt import scratch
from apnt.bracket import Bracket
from apnt.camera import GAMMA
from apnt.doing import doing
from apnt.merge.blown import raise_blown
from apnt.merge.compare import largest
from apnt.merge.merge import merge, tile_bytes
from apnt.merge.noise import estimate_noise
from apnt.merge.shares import shares_of
from apnt.merge.still_merge import merge_still
from apnt.merge.three_frames import choose, network_scale, three_frames
from apnt.methods import Maps, Method
from apnt.strips import strips

_DARK = 0.25 ** (1 / GAMMA)
"""Value that hardly a pixel of a dark reference exceeds. Noise, not motion, is what is wrong there, and the
long frame has a quarter of it."""
_BRIGHTEST = 98  # per cent


class FromThree(NamedTuple):
    """What :func:`fuse_three` made: as in :class:`apnt._fuse.Fused`."""

    image: np.ndarray
    maps: Maps | None
    shares: dict[str, float]


def fuse_three(bracket: Bracket, method: Method, maps: bool = False) -> FromThree:
    """Fuse three frames of a prepared bracket, and merge the others with the result where they agree.

    The three themselves are merged with it where others are, where they are farther apart than the method was
    trained for, where one is made, and where the reference is dark; else where nothing moved, if its result
    is a merge there (``method.merges``).

    Args:
        bracket: prepared: aligned to its reference, linear after gamma 2.2.
        method: of ``frames`` 3.
        maps: also what the method saw in its three frames, where it can tell.

    Raises:
        InputError: the memory budget is too small.
    """
    choice = choose(bracket)
    merges = bool(choice.support) or choice.wide or None in (choice.short, choice.long) or _dark(bracket)
    if merges:
        scratch.check_room(tile_bytes(bracket.size))
    three = three_frames(bracket, choice)
    seen = None
    if maps and method.explain is not None:
        image, seen = method.explain(three)
        seen = seen.enlarged(three.size)
    else:
        image = method.fuse(three)
    scale = network_scale(bracket, choice)
    if scale != 1:
        np.multiply(image, np.float32(scale), out=image)
        np.minimum(image, 1, out=image)
    merged = None
    if merges:
        merged = merge(bracket, image, choice, estimate_noise(bracket))
        image = np.clip(merged.image, 0, 1, out=merged.image)
    elif method.merges:
        image = merge_still(bracket, image)
    doing("Looking at what the result rests on")
    return FromThree(raise_blown(image, bracket), seen, shares_of(bracket, merged, three, seen))


def _dark(bracket: Bracket) -> bool:
    """Whether all but the brightest fiftieth of the reference is below a quarter of white."""
    reference = bracket.reference_frame
    values = scratch.empty(bracket.size, np.float32)
    for rows in strips(len(values)):
        values[rows] = largest(reference[rows])
    known = values if bracket.valid is None else values[bracket.valid[bracket.reference]]
    return bool(known.size and np.percentile(known, _BRIGHTEST) < _DARK)
