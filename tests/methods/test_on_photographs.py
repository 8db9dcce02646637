"""The classical methods on photographs: whatever a camera makes of a scene, a finite picture in range."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from apnt.bracket import Bracket
from apnt.methods import METHODS, load_method

SIDE = 96
BRACKETS = (
    "desk_canon_s45", "kalantari_002", "merianos_old_house", "merianos_rovinia", "night_arch",
    "ntire21_000000", "phone_cat", "phone_library", "sculpture_garden", "stack_ghost", "stained_glass",
    "villa",
)  # fmt: skip


def small(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        image.draft("RGB", (4 * SIDE, 4 * SIDE))
        pixels = np.asarray(image.convert("RGB"))
    return cv2.resize(pixels, (SIDE, SIDE * 2 // 3), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


@pytest.mark.parametrize("name", BRACKETS)
def test_every_method_makes_a_picture_of_every_bracket(name):
    data = Path(os.environ.get("APNT_DATA", Path(__file__).parents[3] / "shared" / "data"))
    folder = data / "brackets" / name
    if not folder.is_dir():
        pytest.skip(f"the photographs are not in {folder}")
    files = json.loads((folder / "bracket.json").read_text())["files_short_to_long"]
    stack = np.stack([small(folder / file) for file in files])
    bracket = Bracket(name, stack, 2.0 ** np.arange(len(stack)))
    for method in [key for key, entry in METHODS.items() if entry.kind == "display"]:
        result = load_method(method).fuse(bracket)
        assert result.shape == stack.shape[1:], method
        assert np.isfinite(result).all(), method
        assert result.min() >= 0, method
        assert result.max() <= 1, method
        # As a picture: neither as dark as the shortest nor as bright as the longest exposure.
        assert stack[0].mean() - 0.01 < result.mean() < stack[-1].mean() + 0.1, method
