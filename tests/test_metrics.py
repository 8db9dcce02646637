"""Metrics on numbers worked out by hand, and SSIM against scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apnt.errors import InputError
from apnt.metrics import psnr_linear, psnr_mu, ssim_linear, ssim_mu
from apnt.tonemap import mu_law, mu_law_inverse

METRICS = (psnr_mu, psnr_linear, ssim_mu, ssim_linear)


def _pair(height: int = 20, width: int = 23) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.random((height, width, 3), dtype=np.float32)
    return np.clip(truth + 0.1 * rng.standard_normal(truth.shape), 0, 1).astype(np.float32), truth


def test_psnr_of_a_constant_error() -> None:
    truth = np.full((4, 5, 3), 0.25)
    assert psnr_linear(truth + 0.1, truth) == pytest.approx(20)
    # A tenth in the mu-law domain.
    assert psnr_mu(mu_law_inverse(mu_law(truth) + 0.1), truth) == pytest.approx(20)


def test_psnr_counts_every_channel() -> None:
    truth = np.zeros((2, 2, 3))
    prediction = truth.copy()
    prediction[0, 0, 1] = 1  # mean squared error 1 / 12
    assert psnr_linear(prediction, truth) == pytest.approx(10 * math.log10(12))
    assert psnr_mu(prediction, truth) == pytest.approx(10 * math.log10(12))


def test_ssim_of_two_constants() -> None:
    # No variance: the contrast term is 1, the luminance term (2ab + c1) / (a^2 + b^2 + c1).
    prediction, truth = np.full((12, 13, 3), 0.5), np.full((12, 13, 3), 0.25)
    assert ssim_linear(prediction, truth) == pytest.approx((0.25 + 1e-4) / (0.3125 + 1e-4))
    a, b = mu_law(0.5 * np.ones(1))[0], mu_law(0.25 * np.ones(1))[0]
    assert ssim_mu(prediction, truth) == pytest.approx((2 * a * b + 1e-4) / (a * a + b * b + 1e-4))


def test_ssim_is_scikit_images_on_the_valid_region() -> None:
    compare = pytest.importorskip("skimage.metrics").structural_similarity
    prediction, truth = _pair()
    theirs, ssim_map = compare(
        prediction.astype(np.float64), truth.astype(np.float64), data_range=1, channel_axis=-1, full=True,
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    )  # fmt: skip
    assert ssim_linear(prediction, truth) == pytest.approx(theirs, abs=1e-12)
    assert ssim_linear(prediction, truth) == pytest.approx(ssim_map[5:-5, 5:-5].mean(), abs=1e-12)
    mask = np.zeros(truth.shape[:2], dtype=bool)
    mask[3:9, 12:] = True  # reaches into the border, which does not count
    inside = mask.copy()
    inside[:5] = inside[-5:] = inside[:, :5] = inside[:, -5:] = False
    assert ssim_linear(prediction, truth, mask) == pytest.approx(ssim_map[inside].mean(), abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_mask_of_all_pixels_is_no_mask(metric) -> None:
    prediction, truth = _pair()
    assert metric(prediction, truth, np.ones(truth.shape[:2], dtype=bool)) == metric(prediction, truth)


@pytest.mark.parametrize("metric", [psnr_mu, psnr_linear])
def test_masked_psnr_is_the_psnr_of_the_part(metric) -> None:
    prediction, truth = _pair()
    mask = np.zeros(truth.shape[:2], dtype=bool)
    mask[2:9, 4:15] = True
    expected = metric(prediction[2:9, 4:15], truth[2:9, 4:15])
    assert metric(prediction, truth, mask) == pytest.approx(expected)
    assert metric(prediction, truth, mask) != pytest.approx(metric(prediction, truth), abs=1e-3)


@pytest.mark.parametrize("metric", METRICS)
def test_empty_mask_has_no_value(metric) -> None:
    prediction, truth = _pair()
    assert math.isnan(metric(prediction, truth, np.zeros(truth.shape[:2], dtype=bool)))


def test_mask_in_the_border_leaves_no_ssim_window() -> None:
    prediction, truth = _pair()
    mask = np.zeros(truth.shape[:2], dtype=bool)
    mask[:5] = True
    assert math.isnan(ssim_mu(prediction, truth, mask))
    assert math.isfinite(psnr_mu(prediction, truth, mask))


def test_equal_images() -> None:
    _, truth = _pair()
    assert psnr_mu(truth, truth) == psnr_linear(truth, truth) == math.inf
    assert ssim_mu(truth, truth) == pytest.approx(1)


def test_computed_in_float64() -> None:
    truth = np.full((12, 12, 3), 0.5, dtype=np.float32)
    prediction = truth + np.float32(2.0**-20)  # squared: 2**-40, far below float32's spacing around 0.25
    assert psnr_linear(prediction, truth) == pytest.approx(400 * math.log10(2))
    assert ssim_linear(prediction, truth) < 1


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, t, m: (p[:-1], t, m), r"prediction must have the shape of truth, \(20, 23, 3\), got \(19"),
        (lambda p, t, m: (p[..., 0], t[..., 0], m), r"truth must have shape \(H, W, 3\), got \(20, 23\)"),
        (lambda p, t, m: (p * np.nan, t, m), "prediction must be finite, 1380 values are not"),
        (lambda p, t, m: (p, t, m.astype(float)), "mask must be bool.*got float64"),
        (lambda p, t, m: (p, t, m[1:]), r"mask must be bool, \(20, 23\), got bool, \(19, 23\)"),
    ],
)
def test_bad_input_is_named(metric, change, message: str) -> None:
    prediction, truth = _pair()
    with pytest.raises(InputError, match=message):
        metric(*change(prediction, truth, np.ones(truth.shape[:2], dtype=bool)))


def test_negative_radiance_and_small_images_are_named() -> None:
    prediction, truth = _pair()
    with pytest.raises(InputError, match=r"prediction must not be negative.*got -0\.5"):
        psnr_mu(np.where(truth > 0.9, -0.5, truth), truth)
    with pytest.raises(InputError, match=r"at least 11x11 pixels for SSIM, got \(10, 23\)"):
        ssim_mu(prediction[:10], truth[:10])
