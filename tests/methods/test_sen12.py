"""Sen12: what is lost in the reference comes from patches of the other frames, wherever they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from apnt.bracket import Bracket
from apnt.data.procedural import procedural_bracket
from apnt.methods import sen12 as module
from apnt.methods.sen12 import sen12
from apnt.methods.weighted import weighted
from apnt.metrics import psnr_mu


def test_the_search_finds_the_least_squared_difference():
    rng = np.random.default_rng(0)
    frame = torch.from_numpy(rng.random((3, 20, 24), np.float32))
    wanted = torch.from_numpy(rng.random((3, 20, 24), np.float32))
    found = module._match(frame, wanted, None, 2)[0].numpy()
    y, x, half = 9, 12, module.PATCH // 2

    def patch(image: torch.Tensor, row: int, column: int) -> np.ndarray:
        return image[:, row - half : row + half + 1, column - half : column + half + 1].numpy()

    distance = {
        (dy, dx): ((patch(frame, y + dy, x + dx) - patch(wanted, y, x)) ** 2).sum()
        for dy in range(-2, 3)
        for dx in range(-2, 3)
    }
    assert tuple(found[:, y, x]) == min(distance, key=lambda key: distance[key])


def test_a_well_exposed_reference_is_kept_whatever_the_others_show():
    rng = np.random.default_rng(1)
    frames = rng.random((3, 80, 96, 3), np.float32)
    frames[1] = 0.3 + 0.4 * frames[1]
    bracket = Bracket("noise", frames, np.array([1.0, 4, 16]))
    expected = bracket.radiance[1]
    np.testing.assert_allclose(sen12(bracket), expected, rtol=1e-5)


@pytest.mark.parametrize("seed", [0, 1])
def test_moving_highlights_are_better_than_merged(seed):
    bracket = procedural_bracket(seed, 192, 288)
    assert bracket.truth is not None
    lost = bracket.saturated & bracket.moving
    ours, theirs = (psnr_mu(method(bracket), bracket.truth, lost) for method in (sen12, weighted))
    assert ours > theirs
    assert psnr_mu(sen12(bracket), bracket.truth) > psnr_mu(weighted(bracket), bracket.truth) + 5


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("reference", [0, 1])
def test_any_number_of_frames_and_any_reference(count, reference):
    rng = np.random.default_rng(2)
    light = np.repeat(np.repeat(rng.random((8, 10, 3)), 8, 0), 8, 1) / 4
    times = 2.0 ** np.arange(count)
    frames = np.stack([np.clip(light * t, 0, 1) ** (1 / 2.2) for t in times]).astype(np.float32)
    result = sen12(Bracket("still", frames, times, reference=reference))
    np.testing.assert_allclose(result, light, atol=2e-3)


def test_a_hole_is_no_light():
    bracket = procedural_bracket(0, 96, 128)
    valid = np.ones(bracket.ldr.shape[:3], bool)
    valid[0, :, :40] = False
    holed = bracket.ldr.copy()
    holed[0, :, :40] = 1.0  # nonsense that must not be taken
    result = sen12(Bracket("holed", holed, bracket.times, valid=valid))
    whole = sen12(bracket)
    assert np.abs(result - whole)[:, :40].mean() < 0.02
