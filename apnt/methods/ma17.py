"""Structural patch decomposition with removal of what moves (Ma, Li, Yong, Wang, Meng and Zhang 2017)."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from apnt.bracket import Bracket
from apnt.methods.ghosts import WINDOW, Limits, Windows, consistent, matched
from apnt.methods.stack import checked, checked_reference, displayed

_STRIDE = 2
_POWER = 4
_EPSILON = 0.001
_GLOBAL_SIGMA, _LOCAL_SIGMA = 0.2, 0.5  # of the exposure weights: of the frame's mean, of the patch's
_LIMITS = Limits(dark=0.01, bright=0.99, intensity=0.1)
_NO_STRUCTURE = 0.01  # norm below which a sum of unit structures is rounding noise


def ma17(bracket: Bracket) -> np.ndarray:
    """Fuse, and take what moves from the reference.

    Returns:
        (H, W, 3) float32, display-referred in [0, 1].
    """
    return displayed(fuse(bracket.ldr, bracket.reference))


def fuse(frames: np.ndarray, reference: int | None = None) -> np.ndarray:
    """Fuse patches of 21 by 21 pixels and three channels, and average them where they overlap.

    A patch is its mean ``l``, its strength ``c = ||x - l||`` and its structure ``s = (x - l) / c``. Beside
    the frames there are pseudo exposures, the reference brought to each frame's histogram, and of every
    frame and its pseudo exposure one counts: the frame where it shows the same scene as the reference. The
    fused patch has the largest strength of those that count; the sum, scaled to norm 1, of the structures of
    the frames that count with weights ``c**4 + 0.001``; and the mean of ``l``, weighted by exposure. A
    pseudo exposure that counts enters the sum of structures with weight 0.001, as the authors' program has
    it: with the mean and the strength of the frame whose place it takes.

    No patch is built: overlapping patches are summed by box filters of their weights.

    Args:
        frames: (N, H, W, 3) in [0, 1], dark to bright.
        reference: index of the frame that moving objects are taken from; None = the authors' choice, of three
            frames the middle one, else the one with fewest nearly black or white spots.

    Returns:
        (H, W, 3) float64 in [0, 1].

    Raises:
        InputError: see :func:`apnt.methods.stack.checked`, and a reference that is no frame.
    """
    stack = checked(frames)
    reference = checked_reference(_best_exposed(stack) if reference is None else reference, len(stack))
    pseudo = [matched(stack[reference], frame) for k, frame in enumerate(stack) if k != reference]
    candidates = np.concatenate([stack, np.stack(pseudo)])
    patches = Patches(*stack.shape[1:3])
    moments = [patches.moments(image) for image in candidates]
    means = np.stack([patches.sample(m.mean) for m in moments])
    strengths = np.stack([patches.sample(_strength(m, patches.values)) for m in moments])
    counts = _counts(stack, reference, moments, patches)
    origins = [*range(len(stack)), *(k for k in range(len(stack)) if k != reference)]
    gains = _gains(candidates, means, strengths, counts, origins, patches)
    exposure = counts * _exposedness(candidates.mean(axis=(1, 2, 3))[:, None, None], means)
    base = (exposure * means).sum(axis=0) / exposure.sum(axis=0)
    offset = base - (gains * means[origins]).sum(axis=0)
    image = patches.spread(offset)[..., None] + sum(
        patches.spread(gain)[..., None] * candidate for gain, candidate in zip(gains, candidates, strict=True)
    )
    return np.clip(image / patches.spread(np.ones_like(offset))[..., None], 0, 1)


class Patches:
    """The patches of an image: every second position in both directions, and the last one.

    An image smaller than a patch is one patch high or wide.

    Attributes:
        values: number of values in a patch.
    """

    def __init__(self, height: int, width: int) -> None:
        self._side = (min(WINDOW, height), min(WINDOW, width))
        self.values = 3 * self._side[0] * self._side[1]
        self._places = (height - self._side[0] + 1, width - self._side[1] + 1)
        rows, columns = (np.union1d(np.arange(0, n, _STRIDE), n - 1) for n in self._places)
        self._grid = np.ix_(rows, columns)
        self._size = (height, width)

    def sum(self, image: np.ndarray) -> np.ndarray:
        """Of (H, W) over the window at every place, by its upper left corner."""
        total = cv2.boxFilter(image, -1, self._side[::-1], anchor=(0, 0), normalize=False)
        return total[: self._places[0], : self._places[1]]

    def moments(self, image: np.ndarray) -> Windows:
        """Of (H, W, 3), at every place."""
        mean = self.sum(image.sum(axis=-1)) / self.values
        return Windows(mean, np.maximum(self.sum((image**2).sum(axis=-1)) / self.values - mean**2, 0))

    def product(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Mean of the product of two images (H, W, 3), at every place."""
        return self.sum(np.einsum("ijc,ijc->ij", one, other)) / self.values

    def sample(self, places: np.ndarray) -> np.ndarray:
        """At the patches alone."""
        return places[self._grid]

    def spread(self, weights: np.ndarray) -> np.ndarray:
        """The sum of the weights of the patches that cover each pixel, (H, W)."""
        corners = np.zeros(self._size)
        corners[self._grid] = weights
        anchor = (self._side[1] - 1, self._side[0] - 1)
        return cv2.boxFilter(
            corners, -1, self._side[::-1], anchor=anchor, normalize=False, borderType=cv2.BORDER_CONSTANT
        )


def _strength(moments: Windows, values: int) -> np.ndarray:
    return np.sqrt(values * moments.variance) + _EPSILON


def _counts(stack: np.ndarray, reference: int, moments: list[Windows], patches: Patches) -> np.ndarray:
    """Which patches of the frames, then of the pseudo exposures, count: (2 N - 1, h, w) of 0 and 1."""
    base, frames, pseudo = moments[reference], [], []
    for index, (frame, here) in enumerate(zip(stack, moments, strict=False)):
        if index == reference:
            frames.append(np.ones_like(base.mean, dtype=bool))
            continue
        covariance = patches.product(frame, stack[reference]) - here.mean * base.mean
        frames.append(consistent(here, base, covariance, _LIMITS))
        pseudo.append(~frames[-1])
    return np.stack([patches.sample(mask) for mask in frames + pseudo]).astype(np.float64)


def _gains(
    candidates: np.ndarray,
    means: np.ndarray,
    strengths: np.ndarray,
    counts: np.ndarray,
    origins: list[int],
    patches: Patches,
) -> np.ndarray:
    """By what each candidate's ``x - l`` enters the fused patch: ``c_max w_k / (c_k ||sum w s||)``.

    ``origins`` names the frame whose ``l`` and ``c`` a candidate has here: itself, or the one it replaces.
    """
    frames = np.arange(len(counts)) <= len(counts) // 2
    weights = (frames[:, None, None] * strengths**_POWER + _EPSILON) * counts
    scaled = weights / (weights.sum(axis=0) * strengths[origins])
    squared = patches.values * (scaled * (means - means[origins])).sum(axis=0) ** 2
    for one, other in _pairs(len(counts)):
        product = patches.sample(patches.product(candidates[one], candidates[other]))
        covariance = patches.values * (product - means[one] * means[other])
        squared += (1 if one == other else 2) * scaled[one] * scaled[other] * covariance
    norm = np.sqrt(np.maximum(squared, 0))
    norm[norm < _NO_STRUCTURE] = np.inf
    return scaled * (strengths * counts).max(axis=0) / norm


def _pairs(count: int) -> Iterator[tuple[int, int]]:
    return ((i, j) for i in range(count) for j in range(i + 1))


def _exposedness(frame: np.ndarray, patch: np.ndarray) -> np.ndarray:
    """Gaussians around mid-grey of the means of the frames and of their patches."""
    return np.exp(-((frame - 0.5) ** 2) / (2 * _GLOBAL_SIGMA**2) - (patch - 0.5) ** 2 / (2 * _LOCAL_SIGMA**2))


def _best_exposed(stack: np.ndarray) -> int:
    """The middle one of three frames, else the one with fewest spots (3 by 3) near black or white."""
    if len(stack) == 3:
        return 1
    spots = [cv2.blur(frame.mean(axis=-1), (3, 3))[1:-1, 1:-1] for frame in stack]
    return int(np.argmin([((mean < 0.01) | (mean > 0.99)).sum() for mean in spots]))
