"""Exposure fusion by a boosting Laplacian pyramid (Shen, Zhao, Yan and Li 2014)."""

from __future__ import annotations

import cv2
import numpy as np

from apnt.bracket import Bracket
from apnt.methods import just_noticeable
from apnt.methods.stack import checked, displayed, grey

_CURVE = 3.2, -1.3, 0.4  # a, b and c of the local weight
_INCONSISTENCY = 1.0  # lambda of the global weight
_WINDOW = 9  # of the global weight, in pixels
_ACTIVE = 0.01  # local weight from which details are boosted
_ALPHA, _BETA = 0.2, 0.5  # of the boost
_NOISE = 0.01, 0.02  # 0.4 d below the first is left as it is, above the second boosted in full
_KERNEL = np.array([0.05, 0.25, 0.4, 0.25, 0.05])
_REACH = 4  # pixels that one detail depends on, to each side
_ROWS = 16  # done at a time, so that they stay in the cache


def shen14(bracket: Bracket) -> np.ndarray:
    """Fuse; what moves loses weight where gradients disagree, and no more is done about it.

    Returns:
        (H, W, 3) float32, display-referred in [0, 1].
    """
    return displayed(fuse(bracket.ldr))


def fuse(frames: np.ndarray) -> np.ndarray:
    """Blend details, boosted where a frame is well exposed, and the smooth rest by one set of weights.

    The paper's form, as far as its constants could be verified, on one level of details as the first
    author's program has it. That program differs: in the global weight (window 19; of the sum of the T_ij
    it asks only whether it exceeds 0.01, on HSV's value smoothed by a Gaussian), in the guidance (from 0.001
    of the normalised local weight), in the exponents of the smooth part (0.8, 1 and 1.2 for three frames,
    where all are 1 here) and in weights smoothed twice. The paper's lambda of 100 would, with intensities
    in [0, 1], cut most weights to 0 or 1, with halos; the program's 1 is taken.

    Args:
        frames: (N, H, W, 3) in [0, 1], dark to bright.

    Returns:
        (H, W, 3) float64, not clipped.

    Raises:
        InputError: see :func:`apnt.methods.stack.checked`.
    """
    stack = checked(frames)
    local, noticed = local_weights(stack), noticeable_weights(stack)
    weights = local * global_weights(stack) * noticed + 1e-12
    weights /= weights.sum(axis=0)
    fine, coarse = np.zeros(stack.shape[1:]), np.zeros(1)
    for frame, weight, exposed, noticeable in zip(stack, weights, local, noticed, strict=True):
        guidance = np.where(exposed > _ACTIVE, noticeable, np.nan)
        fine += weight[..., None] * boosted_details(frame, guidance)
        coarse = coarse + _down(weight[..., None]) * _down(frame)
    return fine + _up(coarse, stack.shape[1:3])


def local_weights(stack: np.ndarray) -> np.ndarray:
    """How well exposed each pixel is, from a curve like a film's; 0 at black and white: (N, H, W).

    ``grey(max(0, 1 - |(log(v / (1 - v)) - b) / a|))`` with ``v = I**(1 / c)``.
    """
    a, b, c = _CURVE
    value = np.clip(stack ** (1 / c), 1e-30, 1 - 1e-15)
    return grey(np.maximum(0, 1 - np.abs((np.log(value / (1 - value)) - b) / a)))


def noticeable_weights(stack: np.ndarray) -> np.ndarray:
    """Just noticeable distortion of the 8-bit luma, times 10 / 255: (N, H, W)."""
    luma = np.floor(grey(stack * 255) + 0.5)
    return np.stack([just_noticeable.threshold(image) for image in luma]) * 10 / 255


def global_weights(stack: np.ndarray) -> np.ndarray:
    """How far each frame's gradients point where the other frames' do: (N, H, W) in [0, 1].

    ``V_j = prod over i of max(0, 1 - lambda mean(M_j |sin(angle between the gradients of i and j)|))``.
    """
    luma = np.pad(grey(stack), ((0, 0), (1, 1), (1, 1)), mode="edge")
    dy, dx = luma[:, 2:, 1:-1] - luma[:, :-2, 1:-1], luma[:, 1:-1, 2:] - luma[:, 1:-1, :-2]
    dy, dx = dy / 2, dx / 2
    size = np.hypot(dx, dy)
    result = np.ones_like(size)
    for j in range(len(stack)):
        for i in range(len(stack)):
            if i != j:
                across = np.abs(dx[i] * dy[j] - dy[i] * dx[j]) / np.maximum(size[i], 1e-12)
                result[j] *= np.maximum(0, 1 - _INCONSISTENCY * cv2.blur(across, (_WINDOW, _WINDOW)))
    return result


def boosted_details(frame: np.ndarray, guidance: np.ndarray) -> np.ndarray:
    """What the coarser level does not hold, small differences made larger.

    A detail is a pixel less a weighted mean of its surroundings. Before the mean is taken, the difference of
    each neighbour from the pixel, of norm ``d`` over RGB, is given the norm ``d**n / (d**n + beta**n)`` with
    ``n = alpha**guidance``; differences as small as noise stay.

    Args:
        frame: (H, W, 3) in [0, 1].
        guidance: (H, W), the just noticeable distortion; NaN where details stay as they are.

    Returns:
        (H, W, 3) float64.
    """
    height, width = frame.shape[:2]
    rows, columns = (_smoothing(n).astype(np.float32) for n in (height, width))
    power = (_ALPHA**guidance).astype(np.float32)
    planes = np.ascontiguousarray(frame.transpose(2, 0, 1), np.float32)
    padded = np.pad(planes, ((0, 0), (_REACH, _REACH), (_REACH, _REACH)))  # of no weight beyond the border
    result = np.zeros_like(planes)
    for top in range(0, height, _ROWS):
        block = slice(top, min(top + _ROWS, height))
        plain = np.isnan(power[block])
        for y in range(2 * _REACH + 1):
            for x in range(2 * _REACH + 1):
                neighbour = padded[:, block.start + y : block.stop + y, x : x + width]
                difference = planes[:, block] - neighbour
                gain = _boost(difference, power[block])
                gain[plain] = 1
                gain *= rows[block, y, None] * columns[:, x]
                result[:, block] += gain * difference
    return result.transpose(1, 2, 0).astype(np.float64)


def _boost(difference: np.ndarray, power: np.ndarray) -> np.ndarray:
    """By what a difference (3, H, W) grows; NaN where ``power`` is."""
    red, green, blue = difference
    distance = np.sqrt(red * red + green * green + blue * blue)
    signal = np.minimum(np.maximum((0.4 * distance - _NOISE[0]) / (_NOISE[1] - _NOISE[0]), 0), 1)
    signal *= 2 - signal
    signal *= signal
    safe = np.maximum(distance, 1e-6)
    boosted = 1 / (safe * (1 + np.exp(power * np.log(_BETA / safe))))  # d**n / (d**n + beta**n) / d
    return 1 + signal * (boosted - 1)


def _smoothing(length: int) -> np.ndarray:
    """What ``up(down(line))`` takes from each pixel's neighbourhood: (length, 9), rows of sum 1."""
    period = 2 * _REACH + 1  # combs of impulses so far apart that no pixel sees two
    place = np.arange(length)[:, None]
    combs = (place % period == np.arange(period)).astype(np.float64)
    answers = _up_lines(_down_lines(combs), length)
    return np.take_along_axis(answers, (place + np.arange(-_REACH, _REACH + 1)) % period, axis=1)


def _filter_lines(lines: np.ndarray) -> np.ndarray:
    """Smoothed along the first axis, zero beyond the border."""
    flat = np.ascontiguousarray(lines.reshape(len(lines), -1))
    return cv2.filter2D(flat, -1, _KERNEL[:, None], borderType=cv2.BORDER_CONSTANT).reshape(lines.shape)


def _down_lines(lines: np.ndarray) -> np.ndarray:
    """Every second row, smoothed; near the border by the part of the kernel that lies inside."""
    return (_filter_lines(lines) / _filter_lines(np.ones_like(lines)))[::2]


def _up_lines(lines: np.ndarray, length: int) -> np.ndarray:
    """``length`` rows, smoothed from the samples that the kernel reaches."""
    spread, places = np.zeros((2, length, *lines.shape[1:]))
    spread[::2], places[::2] = lines, 1
    return _filter_lines(spread) / _filter_lines(places)


def _down(image: np.ndarray) -> np.ndarray:
    """(H, W, C) at half the size."""
    return _down_lines(_down_lines(image.swapaxes(0, 1)).swapaxes(0, 1))


def _up(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w, C) at ``size``."""
    return _up_lines(_up_lines(image.swapaxes(0, 1), size[1]).swapaxes(0, 1), size[0])
