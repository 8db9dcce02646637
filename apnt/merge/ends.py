"""From which light on a channel counts as saturated, by what shorter frames show there."""

from __future__ import annotations

import numpy as np

from apnt.bracket import Bracket
from apnt.camera import GAMMA, SATURATION

FULL = SATURATION**GAMMA
"""Linear light of a frame from which a channel counts as saturated, if it ends where its curve does."""

_LEAST = 0.35  # of a frame's range: a channel that ends before is another object, or another curve
_BLOCK = 4  # pixels
_APART = 0.75  # stops between two frames that are compared
_KNOWN = (0.15, 0.85)  # display-referred values of the shorter frame that tell light
_ALIKE = 0.15  # relative difference of a channel that is not saturated, up to which nothing moved
_LOW = 5.0  # per cent of the blocks: what is brighter only, is noise
_FEWEST = 50  # blocks that tell an end
_MOST = 1_000_000  # pixels of a frame that are looked at


def channel_ends(bracket: Bracket) -> np.ndarray:
    """Where the channels of a bracket's frames end.

    Cameras clip colours by rules of their own: red may come to white at two thirds of the light that its
    curve says. Shorter frames tell. Counted are places in which a channel is saturated in a frame and another
    one is not, and shows the same light as in the next shorter frame, so that nothing moved.

    Returns:
        (3,) float32, linear light of red, green and blue in a frame's own range from which its channel counts
        as saturated, and of which it proves no more; ``FULL`` where nothing says less.
    """
    rows = min(bracket.size[0], max(_BLOCK, _MOST // bracket.size[1]))
    top = (bracket.size[0] - rows) // 2
    part = slice(top, top + rows)
    found: list[list[np.ndarray]] = [[], [], []]
    for longer in range(1, len(bracket)):
        stops = np.log2(bracket.times[longer] / bracket.times[:longer])
        below = np.flatnonzero(stops >= _APART)
        if not below.size:
            continue
        for channel, light in enumerate(_proven(bracket, int(below[-1]), longer, part)):
            found[channel].append(light)
    ends = np.full(3, FULL, np.float32)
    for channel, parts in enumerate(found):
        lights = np.concatenate(parts) if parts else np.empty(0)
        if len(lights) >= _FEWEST:
            ends[channel] = np.clip(np.percentile(lights, _LOW), _LEAST, FULL)
    return ends


def _proven(bracket: Bracket, shorter: int, longer: int, part: slice) -> list[np.ndarray]:
    """For each channel the light, in the longer frame's range, of blocks that it shows saturated."""
    ratio = bracket.times[longer] / bracket.times[shorter]
    short, long = (_blocks(bracket.ldr[k, part]) for k in (shorter, longer))
    clear = (short.min(axis=(1, 3)) > _KNOWN[0]) & (short.max(axis=(1, 3)) < _KNOWN[1])
    if bracket.valid is not None:
        for k in (shorter, longer):
            clear &= _blocks(bracket.valid[k, part][..., None]).all(axis=(1, 3))
    light = (short ** np.float32(GAMMA)).mean(axis=(1, 3)) * np.float32(ratio)
    seen = (long ** np.float32(GAMMA)).mean(axis=(1, 3))
    full = long.min(axis=(1, 3)) >= SATURATION
    alike = (long.max(axis=(1, 3)) < _KNOWN[1]) & clear & (np.abs(seen - light) < _ALIKE * light)
    still = alike.any(axis=-1)
    return [light[..., c][full[..., c] & clear[..., c] & still] for c in range(3)]


def _blocks(image: np.ndarray) -> np.ndarray:
    """(H, W, C) to (rows, block, columns, block, C), what does not fill a block left out."""
    rows, columns = image.shape[0] // _BLOCK, image.shape[1] // _BLOCK
    whole = image[: rows * _BLOCK, : columns * _BLOCK]
    return whole.reshape(rows, _BLOCK, columns, _BLOCK, image.shape[2])
