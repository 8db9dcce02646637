"""Fusion of structural patches over scales by weight maps alone: what Li20 and Li21 share.

A patch is its mean ``m``, its strength ``c = ||x - m||`` and its structure ``(x - m) / c`` (Ma et al. 2017).
The fused patch has the largest strength, the structures' mean weighted by ``c**p``, and a weighted mean of
the means. Averaging overlapping patches is a box filter of their weights, so no patch is ever built. The
means form the next coarser scale, and only the coarsest scale's means are averaged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from apnt.methods.ghosts import WINDOW, Limits, Windows, consistent, matched
from apnt.methods.stack import checked, checked_reference

_RADIUS = 4
_LIMITS = Limits(dark=0.02, bright=0.98, intensity=0.2)


@dataclass
class Scale:
    """One frame at one scale.

    Attributes:
        values: (H, W, 3) at the first scale, (H, W, 1) at the others.
        mean: (H, W), of the window around each pixel.
        strength: (H, W), of the window around each pixel.
        edge: (H, W), how far an edge-preserving mean follows the pixel, from 0 (not) to 1.
    """

    values: np.ndarray
    mean: np.ndarray
    strength: np.ndarray
    edge: np.ndarray = field(default_factory=lambda: np.zeros(1))


Base = Callable[[list[Scale]], list[np.ndarray]]
"""The coarsest scale of every frame -> their positive weights, (H, W) each, of any sum."""


@dataclass(frozen=True)
class Rules:
    """What tells the methods apart.

    Attributes:
        power: p, of the strength in a structure's weight.
        coarsest_radius: of the windows at the coarsest scale; 4 at the others.
        base: weights of the coarsest means.
        edge: lambda of the edge-preserving mean at the first scale, halved at every further one; None for
            the plain mean.
    """

    power: int
    coarsest_radius: int
    base: Base
    edge: float | None = None


def fuse(frames: np.ndarray, rules: Rules) -> np.ndarray:
    """Fuse a stack that stands still.

    Args:
        frames: (N, H, W, 3) in [0, 1], dark to bright.
        rules: the method's.

    Returns:
        (H, W, 3) float64, not clipped.

    Raises:
        InputError: see :func:`apnt.methods.stack.checked`.
    """
    inputs = list(checked(frames))
    # floor(log2 of the shorter side) - 5 scales between the finest and the coarsest
    coarsest = max(min(frames.shape[1:3]).bit_length() - 5, 1)
    details = []
    for depth in range(coarsest + 1):
        box = Box(inputs[0].shape[:2], rules.coarsest_radius if depth == coarsest else _RADIUS)
        softness = None if rules.edge is None else rules.edge / 2**depth
        scales = [_scale(values, box, softness) for values in inputs]
        details.append(_details(scales, box, rules.power))
        inputs = [scale.mean[::2, ::2, None] for scale in scales]
    image = details.pop() + _base(scales, box, rules.base)
    for detail in reversed(details):
        image = _spread(image, detail.shape[:2]) + detail
    return image


class Box:
    """Mean over the part of a square window that lies in an image of ``size`` pixels."""

    def __init__(self, size: tuple[int, int], radius: int) -> None:
        self.side = 2 * radius + 1
        self._count = self.sum(np.ones(size))

    def sum(self, image: np.ndarray) -> np.ndarray:
        """Over the window of every pixel of (H, W); zero beyond the border."""
        side = (self.side, self.side)
        return cv2.boxFilter(image, -1, side, normalize=False, borderType=cv2.BORDER_CONSTANT)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Of (H, W)."""
        return self.sum(image) / self._count


def _scale(values: np.ndarray, box: Box, softness: float | None) -> Scale:
    """Mean and strength of the windows around the pixels of (H, W, C) values."""
    mean, variance = moments(values, box)
    channels = values.shape[-1]
    strength = np.sqrt(variance) * np.sqrt(channels * box.side**2) + 1e-12
    if softness is None:
        return Scale(values, mean, strength)
    edge = variance / (variance + softness)
    return Scale(values, mean * (1 - edge) + edge * values.mean(axis=-1), strength, edge)


def moments(values: np.ndarray, box: Box) -> Windows:
    """Over the windows around the pixels of (H, W, C) values."""
    mean = box(values.mean(axis=-1))
    return Windows(mean, np.maximum(box((values**2).mean(axis=-1)) - mean**2, 0))


def _details(scales: list[Scale], box: Box, power: int) -> np.ndarray:
    """Sum over the frames of the weighted structures at one scale, (H, W, C)."""
    strengths = np.stack([scale.strength for scale in scales])
    common = strengths.max(axis=0) / (strengths**power + 1e-12).sum(axis=0)
    common *= 1 - scales[-1].edge  # of the last frame for every frame, as the authors' program has it
    total = np.zeros_like(scales[0].values)
    for scale, strength in zip(scales, strengths, strict=True):
        weight = strength ** (power - 1) * common
        total += box(weight)[..., None] * scale.values - box(scale.mean * weight)[..., None]
    return total


def _base(scales: list[Scale], box: Box, rule: Base) -> np.ndarray:
    """Weighted mean of the coarsest means, (H, W, 1)."""
    weights = np.stack(rule(scales)) + 1e-12
    weights /= weights.sum(axis=0)
    parts = [box(scale.mean * weight) for scale, weight in zip(scales, weights, strict=True)]
    return np.sum(parts, axis=0)[..., None]


def _spread(coarse: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 1) on the grid of twice the size: the mean of the samples in each window."""
    samples, places = np.zeros(size), np.zeros(size)
    samples[::2, ::2], places[::2, ::2] = coarse[..., 0], 1
    box = Box(size, _RADIUS)
    return (box.sum(samples) / box.sum(places))[..., None]


def without_motion(frames: np.ndarray, reference: int | None = None) -> np.ndarray:
    """The stack with the reference, at each frame's exposure, where a frame shows something else.

    Args:
        frames: (N, H, W, 3) in [0, 1], dark to bright.
        reference: index of the frame that all are made to match; None = the authors' choice, the middle one,
            of an even number the darker.

    Returns:
        (N, H, W, 3) float64.

    Raises:
        InputError: see :func:`apnt.methods.stack.checked`, and a reference that is no frame.
    """
    stack = checked(frames)
    middle = (len(stack) - 1) // 2
    reference = checked_reference(middle if reference is None else reference, len(stack))
    box = Box(stack.shape[1:3], WINDOW // 2)
    base = moments(stack[reference], box)
    result = stack.copy()
    for index, frame in enumerate(stack):
        if index == reference:
            continue
        here = moments(frame, box)
        covariance = box((frame * stack[reference]).mean(axis=-1)) - here.mean * base.mean
        moved = ~consistent(here, base, covariance, _LIMITS)
        result[index][moved] = matched(stack[reference], frame)[moved]
    return result
