"""Stacks for the classical methods, and the answers of the authors' own programs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

Oracle = Callable[[str, str], tuple[np.ndarray, dict[str, np.ndarray]]]
Smooth = Callable[..., np.ndarray]


@pytest.fixture
def oracle() -> Oracle:
    """(method, case) -> (N, H, W, 3) inputs in [0, 1] and what the authors' program made of them."""
    named = os.environ.get("APNT_CASES", Path(__file__).parents[3] / "shared" / "cases")
    folder = Path(named) / "methods"

    def read(method: str, case: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        if not (folder / method / case).is_dir():
            pytest.skip(f"the authors' answers are not in {folder / method / case}")
        images = [cv2.imread(str(path)) for path in sorted((folder / method / case).glob("in_*.png"))]
        answer = dict(np.load(folder / method / case / "out.npz"))
        if "out_i16" in answer:
            answer["image"] = answer["out_i16"] / 8192
        return np.stack(images)[..., ::-1] / 255, answer

    return read


@pytest.fixture
def smooth() -> Smooth:
    """(count, height, width, seed) -> a stack of one smooth coloured scene, dark to bright."""

    def make(count: int = 3, height: int = 64, width: int = 80, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        coarse = rng.random((7, 9, 3))
        scene = np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
        exposures = 4 * np.logspace(-1, 0, count)
        return np.stack([np.round(np.clip(scene * t, 0, 1) * 255) / 255 for t in exposures])

    return make
