"""Deprecated, for what ``apnt.prepare.response`` does now: frames brought to the reference frame's response.

Cameras put a contrast curve on their JPEG files, so that the same light, divided by the exposure time, comes
out up to four times brighter in one frame than in another. Where frames are flat and not saturated, their
values tell how the levels of one frame map to those of the reference frame; that map is applied to the other
frames.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from apnt.bracket import Bracket
from apnt.camera import GAMMA

TOLERANCE = 0.1
"""Mean relative difference in radiance from which frames are adjusted; below, gamma 2.2 is right enough."""

_BLOCK = 8  # pixels; a flat block forgives an alignment that is a few pixels off
_USABLE = (0.04, 0.93)  # display-referred values that are neither noise nor saturation
_FLAT = 0.12  # largest standard deviation of a block, relative to its mean
_LEVELS = 23  # bins of the curve
_BLOCKS_A_LEVEL = 20
_SPREAD = 0.25  # largest interquartile range of a level's log ratios: beyond, it is motion and no curve
_FEWEST_LEVELS = 4
_SMALLEST = 64  # pixels a side: less holds too few blocks, and OpenCV cannot align it


def match_tone(bracket: Bracket) -> tuple[Bracket, float]:
    """Adjust all other frames to the response of the reference frame, where they disagree with it.

    Args:
        bracket: as read; not changed.

    Returns:
        The bracket, and the largest mean relative difference in radiance that was adjusted: 0 where nothing
        was, because the frames agree to within ``TOLERANCE`` or are too small or too unlike to tell.
    """
    ldr, largest = bracket.ldr, 0.0
    if min(bracket.size) < _SMALLEST:
        return bracket, 0.0
    for k in bracket.others:
        levels, ratio = tone_ratio(bracket, k)
        if len(levels) < _FEWEST_LEVELS:
            continue
        difference = float(np.abs(np.log(ratio)).mean())
        if difference <= TOLERANCE:
            continue
        # Radiance times the ratio is the value times its root. Black and white stay, and order is kept.
        mapped = np.minimum(levels * ratio ** (1 / GAMMA), 1.0)
        inputs, outputs = np.r_[0.0, levels, 1.0], np.maximum.accumulate(np.r_[0.0, mapped, 1.0])
        ldr = ldr.copy() if ldr is bracket.ldr else ldr
        ldr[k] = np.interp(ldr[k], inputs, outputs)
        largest = max(largest, float(np.expm1(difference)))
    return replace(bracket, ldr=ldr), largest


def tone_ratio(bracket: Bracket, k: int) -> tuple[np.ndarray, np.ndarray]:
    """How much brighter the reference frame records the same light than frame ``k``, level by level.

    Returns:
        Display-referred levels of frame ``k``, ascending, and at each the median ratio of radiance, reference
        to ``k``, over flat blocks; levels with too few blocks or too much disagreement are left out.
    """
    other, reference = _overlap(bracket.ldr[k], bracket.reference_frame)
    other, reference = _blocks(other), _blocks(reference)  # (blocks, pixels)
    usable = np.ones(len(other), dtype=bool)
    for values in (other, reference):
        usable &= ((values > _USABLE[0]) & (values < _USABLE[1])).all(axis=1)
        usable &= values.std(axis=1) < _FLAT * values.mean(axis=1)
    light_other = (other[usable] ** GAMMA).mean(axis=1)
    light_reference = (reference[usable] ** GAMMA).mean(axis=1)
    times = bracket.times
    log_ratio = np.log(light_reference / times[bracket.reference]) - np.log(light_other / times[k])
    edges = np.linspace(*_USABLE, _LEVELS + 1)
    bins = np.digitize(light_other ** (1 / GAMMA), edges) - 1
    levels, ratios = [], []
    for index in range(_LEVELS):
        found = log_ratio[bins == index]
        if len(found) < _BLOCKS_A_LEVEL:
            continue
        low, middle, high = np.percentile(found, (25, 50, 75))
        if high - low < _SPREAD:
            levels.append((edges[index] + edges[index + 1]) / 2)
            ratios.append(np.exp(middle))
    return np.array(levels), np.array(ratios)


def _overlap(other: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part that both frames show, once ``other`` is shifted onto the reference."""
    # Median threshold bitmaps (Ward 2003) do not mind different exposures and curves.
    grey = [cv2.cvtColor(np.round(f * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY) for f in (reference, other)]
    dx, dy = (int(s) for s in cv2.createAlignMTB(max_bits=5).calculateShift(*grey))
    height, width = reference.shape[:2]
    return (
        other[max(-dy, 0) : height - max(dy, 0), max(-dx, 0) : width - max(dx, 0)],
        reference[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)],
    )


def _blocks(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) to (blocks * 3, pixels of a block), what does not fill a block left out."""
    rows, columns = image.shape[0] // _BLOCK, image.shape[1] // _BLOCK
    whole = image[: rows * _BLOCK, : columns * _BLOCK].astype(np.float64)
    split = whole.reshape(rows, _BLOCK, columns, _BLOCK, 3).transpose(0, 2, 4, 1, 3)
    return split.reshape(-1, _BLOCK * _BLOCK)
