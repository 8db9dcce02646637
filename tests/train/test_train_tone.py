"""Camera tone curves as an augmentation: curves, the truth that goes with them, the data set."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from apnt.camera import GAMMA
from apnt.train.recipe import ToneRecipe
from apnt.train.tone import ToneCurves, apply_curve, tone_curve, truth_of_reference

LEVELS = np.linspace(0, 1, 1025)


class Ramp(Dataset[dict[str, Tensor]]):
    """Noise-free brackets of one radiance ramp, (3, 8, 32), with 2 stops between exposures."""

    times = torch.tensor([1.0, 4.0, 16.0])
    truth = torch.linspace(0, 1, 256).view(1, 8, 32).expand(3, 8, 32) ** GAMMA

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        ldr = (self.truth[None] * self.times[:, None, None, None]).clamp(max=1) ** (1 / GAMMA)
        return {"ldr": ldr, "times": self.times, "truth": self.truth, "visible": torch.ones(8, 32)}


@pytest.mark.parametrize("strength", [0.0, 0.03, 0.4, 2.0])
def test_curves_rise_smoothly_from_black_to_white(strength: float) -> None:
    for seed in range(20):
        curve = tone_curve(np.random.default_rng(seed), strength)
        assert curve[0] == 0
        assert curve[-1] == pytest.approx(1)
        slope = np.diff(curve)
        assert (slope > 0).all()
        assert np.abs(np.diff(np.log(slope))).max() < 0.05 * strength + 1e-9


def test_no_strength_is_no_curve() -> None:
    curve = tone_curve(np.random.default_rng(0), 0.0)
    assert np.allclose(curve, LEVELS)
    truth = np.linspace(0, 1, 100)
    assert np.allclose(truth_of_reference(truth, curve, 4.0), truth, atol=1e-6)


def test_frames_differ_as_camera_files_do() -> None:
    # Two frames two stops apart show the same light; this is their difference after gamma 2.2.
    radiance = np.geomspace(0.002, 0.24, 50)
    worst = []
    for seed in range(200):
        curve = tone_curve(np.random.default_rng(seed), ToneRecipe().strength)
        short, medium = (apply_curve((radiance * t) ** (1 / GAMMA), curve) ** GAMMA / t for t in (1.0, 4.0))
        worst.append(np.abs(np.log(medium / short)).max())
    # Files of three cameras reach factors of up to 4.3.
    assert 1.5 < np.exp(np.median(worst)) < 3
    assert np.exp(np.quantile(worst, 0.95)) > 3


def test_the_truth_follows_the_reference_frame_and_goes_on_to_one() -> None:
    curve = tone_curve(np.random.default_rng(3), 0.5)
    radiance = np.linspace(0, 1, 2001)
    time = 4.0
    truth = truth_of_reference(radiance, curve, time)
    medium = apply_curve(np.minimum(radiance * time, 1) ** (1 / GAMMA), curve)
    below = radiance <= 1 / time
    assert np.allclose(truth[below], medium[below] ** GAMMA / time, atol=1e-6)
    assert truth[0] == 0
    assert truth[-1] == pytest.approx(1)
    assert (np.diff(truth) > 0).all()
    # Above, it is the shortest exposure, stretched to begin where the reference frame saturates.
    short = apply_curve(radiance ** (1 / GAMMA), curve)[~below]
    joint = time ** (-1 / GAMMA)
    start = float(np.interp(joint, LEVELS, curve))
    expected = joint + (short - start) / (1 - start) * (1 - joint)
    assert np.allclose(truth[~below] ** (1 / GAMMA), expected, atol=1e-5)


def test_samples_depend_on_seed_and_index_alone_and_share_a_curve() -> None:
    recipe = ToneRecipe(probability=1.0, residual=0.0)
    one, two = (ToneCurves(Ramp(), recipe, seed=1) for _ in range(2))
    one[0]
    first, again = one[5], two[5]
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["ldr"], one[6]["ldr"])
    assert torch.equal(first["visible"], Ramp()[5]["visible"])
    assert torch.equal(first["ldr"] * 255, (first["ldr"] * 255).round())  # JPEG files have 8 bits
    # The frames share one curve: equal levels of two frames become equal levels.
    plain = Ramp()[5]["ldr"]
    values = [np.interp(0.5, plain[k, 0].flatten().numpy(), first["ldr"][k, 0].flatten()) for k in range(3)]
    assert np.ptp(values) < 0.02


def test_residuals_leave_the_reference_frame_and_the_truth_alone() -> None:
    shared, own = (ToneCurves(Ramp(), ToneRecipe(1.0, 0.4, r), seed=1)[3] for r in (0.0, 0.1))
    assert not torch.equal(shared["ldr"][0], own["ldr"][0])
    # The draws of the residuals come after the shared curve's.
    assert torch.equal(shared["ldr"][1], own["ldr"][1])
    assert torch.equal(shared["truth"], own["truth"])


def test_probability() -> None:
    never, sometimes = (ToneCurves(Ramp(), ToneRecipe(p), seed=1) for p in (0.0, 0.5))
    changed = [not torch.equal(sometimes[i]["ldr"], Ramp()[i]["ldr"]) for i in range(12)]
    assert 2 <= sum(changed) <= 10
    assert all(torch.equal(never[i]["ldr"], Ramp()[i]["ldr"]) for i in range(12))
