"""Figures of the blocks of a picture. NumPy takes one axis at a time several times as fast as two at once."""

from __future__ import annotations

import numpy as np


def blocks(image: np.ndarray, side: int) -> np.ndarray:
    """(H, W, C) to (rows, side, columns, side, C), what does not fill a block left out."""
    rows, columns = image.shape[0] // side, image.shape[1] // side
    whole = image[: rows * side, : columns * side]
    return whole.reshape(rows, side, columns, side, image.shape[2])


def least_of(values: np.ndarray) -> np.ndarray:
    """(rows, columns, C) of blocks."""
    return np.asarray(values.min(axis=1).min(axis=2))


def most_of(values: np.ndarray) -> np.ndarray:
    """(rows, columns, C) of blocks; of bool whether any is true."""
    return np.asarray(values.max(axis=1).max(axis=2))


def mean_of(values: np.ndarray) -> np.ndarray:
    """(rows, columns, C) of blocks."""
    return np.asarray(values.mean(axis=1).mean(axis=2))


def variance_of(values: np.ndarray) -> np.ndarray:
    """(rows, columns, C) of blocks, about their own means."""
    away = values - mean_of(values)[:, None, :, None]
    away *= away
    return mean_of(away)
