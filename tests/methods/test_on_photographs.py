"""Every method on photographs: whatever a camera makes of a scene, a finite image in range."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from apnt._fuse import fused_image
from apnt.bracket import Bracket
from apnt.methods import METHODS, Method, Options, load_method
from apnt.nn import checkpoint
from apnt.nn.compared.registry import NETWORKS, build, network_config

SIDE = 96
NARROW: dict[str, dict[str, Any]] = {
    "kalantari17": {"channels": [6, 6, 6]},
    "wu18": {"channels": 2, "blocks": 1},
    "yan19": {"channels": 6, "growth": 2},
}
BRACKETS = (
    "desk_canon_s45", "kalantari_002", "merianos_old_house", "merianos_rovinia", "night_arch",
    "ntire21_000000", "ntire21_000001", "ntire21_000002", "ntire21_000003", "phone_cat", "phone_library",
    "sculpture_garden", "stack_ghost", "stained_glass", "villa",
)  # fmt: skip


def small(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        image.draft("RGB", (4 * SIDE, 4 * SIDE))
        pixels = np.asarray(image.convert("RGB"))
    return cv2.resize(pixels, (SIDE, SIDE * 2 // 3), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def times_of(about: dict[str, Any], count: int) -> np.ndarray:
    """Relative exposure times; two stops apart where nobody knows them."""
    stops = about["ev_stops"] or [2 * k for k in range(count)]
    return 2.0 ** np.array(stops, float)


@pytest.fixture(scope="module")
def methods() -> dict[str, Method]:
    """All methods; a network without packaged weights narrow and untrained, which is finite all the same."""
    found = {}
    for name in METHODS:
        model = None
        if name in NETWORKS and checkpoint.packaged_for(name) is None:
            model = build(network_config({"network": name, **NARROW[name]})).eval()
        found[name] = load_method(name, Options(device="cpu", model=model))
    return found


@pytest.mark.parametrize("name", BRACKETS)
def test_every_method_makes_an_image_of_every_bracket(name, methods):
    data = Path(os.environ.get("APNT_DATA", Path(__file__).parents[3] / "shared" / "data"))
    folder = data / "brackets" / name
    if not folder.is_dir():
        pytest.skip(f"the photographs are not in {folder}")
    about = json.loads((folder / "bracket.json").read_text())
    stack = np.stack([small(folder / file) for file in about["files_short_to_long"]])
    bracket = Bracket(name, stack, times_of(about, len(stack)))
    for method, ready in methods.items():
        result = fused_image(bracket, ready)
        assert result.shape == stack.shape[1:], method
        assert np.isfinite(result).all(), method
        assert result.min() >= 0, method
        assert result.max() <= 1, method
        if ready.kind == "radiance":
            continue
        # As a picture: neither as dark as the shortest nor as bright as the longest exposure.
        assert stack[0].mean() - 0.01 < result.mean() < stack[-1].mean() + 0.1, method
