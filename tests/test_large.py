"""A picture that needs tiles, from photographs to the result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import apnt
from apnt import budget
from apnt.errors import InputError
from apnt.tonemap import mu_law


def frames(height: int, width: int) -> list[np.ndarray]:
    """Three 8-bit frames of smooth light with some texture, two stops apart."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = [np.sin(x / 37) * np.cos(y / 51 + colour) for colour in range(3)]
    light = 0.12 + 0.1 * np.stack(waves, axis=-1)
    light = light + np.random.default_rng(0).random((height, width, 1), np.float32) * 0.02
    return [np.uint8(np.round(255 * np.minimum(light * t, 1) ** (1 / 2.2))) for t in (0.5, 2, 8)]


@pytest.mark.filterwarnings("ignore")
def test_the_result_does_not_depend_on_the_budget(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    images = frames(560, 944)
    options = {"stops": (0, 2, 4), "weights": "fast", "precision": "fp32", "curve": "gamma22", "align": "off"}
    results = []
    for memory in (budget.resident() + 500_000_000, budget.resident() + 3_000_000_000):
        results.append(mu_law(apnt.fuse(images, memory=memory, **options)))  # type: ignore[call-overload]
    assert np.abs(results[0] - results[1]).max() < 1e-3
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match=r"memory must be at least .* got 50 MB: raise it with --memory"):
        apnt.fuse(images, memory="50MB", **options)  # type: ignore[call-overload]
