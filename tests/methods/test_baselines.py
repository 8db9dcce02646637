"""Baselines on small brackets whose answer is known."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from apnt.bracket import Bracket
from apnt.errors import InputError
from apnt.methods import METHODS, check_method, load_methods
from apnt.methods.align_debevec import align_debevec
from apnt.methods.medium import medium
from apnt.methods.weighted import weighted
from apnt.metrics import psnr_mu

BASELINES = (medium, weighted, align_debevec)
TIMES = np.array([1.0, 4.0, 16.0])


def _scene(height: int, width: int) -> np.ndarray:
    """Random radiance of structure at every scale: some pixels saturate the medium, half are dark."""
    rng = np.random.default_rng(3)
    noise = np.zeros((height, width, 3), dtype=np.float32)
    for sigma in (2, 8, 32):
        layer = cv2.GaussianBlur(rng.standard_normal(noise.shape).astype(np.float32), (0, 0), sigma)
        noise += layer / layer.std()
    return np.clip(0.04 * np.exp(noise), 0, 1)


def _expose(radiance: np.ndarray, time: float, steps: int) -> np.ndarray:
    return np.round(np.clip(radiance * time, 0, 1) ** (1 / 2.2) * steps) / steps


def _bracket(
    times: np.ndarray = TIMES, shifts: tuple[tuple[int, int], ...] = ((0, 0),) * 3, steps: int = 255
) -> Bracket:
    margin, height, width = 16, 160, 192
    scene = _scene(height + 2 * margin, width + 2 * margin)
    views = [scene[margin + dy :, margin + dx :][:height, :width] for dy, dx in shifts]
    ldr = np.stack([_expose(view, time, steps) for view, time in zip(views, times, strict=True)])
    return Bracket("scene", ldr.astype(np.float32), times, views[1].astype(np.float32))


def _psnr(method: Callable[[Bracket], np.ndarray], bracket: Bracket) -> float:
    assert bracket.truth is not None
    return psnr_mu(method(bracket), bracket.truth)


@pytest.mark.parametrize("method", BASELINES)
@pytest.mark.parametrize("steps", [255, 65535])
def test_protocol(method, steps: int) -> None:
    bracket = _bracket(steps=steps)
    before = bracket.ldr.copy()
    radiance = method(bracket)
    assert radiance.shape == bracket.ldr.shape[1:]
    assert radiance.dtype == np.float32
    assert radiance.min() >= 0
    assert radiance.max() <= 1
    np.testing.assert_array_equal(bracket.ldr, before)


def test_medium_is_right_up_to_its_saturation() -> None:
    bracket = _bracket(steps=65535)
    assert bracket.truth is not None
    unsaturated = bracket.truth < 1 / TIMES[1]
    np.testing.assert_allclose(medium(bracket)[unsaturated], bracket.truth[unsaturated], atol=2e-5)
    np.testing.assert_allclose(medium(bracket)[~unsaturated], 1 / TIMES[1], rtol=1e-6)


@pytest.mark.parametrize("times", [TIMES, np.array([1.0, 8.0, 64.0])])
def test_weighted_merge_of_a_static_bracket_is_the_truth(times: np.ndarray) -> None:
    bracket = _bracket(times, steps=65535)
    assert bracket.saturated.mean() > 0.02
    np.testing.assert_allclose(weighted(bracket), bracket.truth, atol=5e-5)


def test_weighted_merge_on_single_pixels() -> None:
    ldr = np.zeros((3, 1, 4, 3), dtype=np.float32)
    ldr[:, 0, 0] = np.array([0.3, 1.0, 1.0])[:, None]  # saturated: the short's alone
    ldr[:, 0, 1] = np.array([0.0, 0.0, 0.2])[:, None]  # black: the long's alone
    ldr[:, 0, 2] = np.array([0.1, 0.25, 0.4])[:, None]  # half medium, half long
    ldr[:, 0, 3] = np.array([0.1, 0.25, 1.0])[:, None]  # the long is saturated: the medium's alone
    merged = weighted(Bracket("pixels", ldr, TIMES))[0, :, 0]
    mix = 0.5 * 0.25**2.2 / 4 + 0.5 * 0.4**2.2 / 16
    np.testing.assert_allclose(merged, [0.3**2.2, 0.2**2.2 / 16, mix, 0.25**2.2 / 4], rtol=1e-5)


def test_align_debevec_is_on_our_scale() -> None:
    # One constant per bracket: a merge in another unit, or with another response, would be off by a factor.
    for level in (0.02, 0.05, 0.2):
        ldr = np.stack([np.full((64, 64, 3), _expose(np.array(level), t, 255)) for t in TIMES])
        ldr[:, :32] *= 0.9  # gives MTB an edge to hold on to
        radiance = align_debevec(Bracket("flat", ldr.astype(np.float32), TIMES))
        # Debevec's triangle leaves a saturated frame 1/128 of a vote, so a few per cent are its own.
        np.testing.assert_allclose(radiance[40:60, 4:60], level, rtol=0.06)


def test_align_debevec_recovers_a_shift() -> None:
    still = _bracket()
    moved = _bracket(shifts=((5, -7), (0, 0), (-9, 4)))
    inside = np.s_[16:-16, 16:-16]
    np.testing.assert_array_equal(align_debevec(moved)[inside], align_debevec(still)[inside])
    # The border that the shift uncovers is no black or foreign frame.
    assert _psnr(align_debevec, moved) > _psnr(align_debevec, still) - 1.5
    assert _psnr(align_debevec, moved) > _psnr(weighted, moved) + 5


def test_other_names_of_the_merges() -> None:
    assert check_method("merge") is METHODS["weighted"]
    assert list(load_methods(["merge", "debevec", "weighted"])) == ["weighted", "align-debevec"]
    with pytest.raises(InputError, match="methods must be of medium, weighted.*got 'merged'"):
        check_method("merged")
