"""Metrics on numbers worked out by hand, and against scikit-image; PU21 against its published inverse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apnt.errors import InputError
from apnt.metrics import psnr_linear, psnr_mu, pu21_encode, pu21_psnr, ssim_linear, ssim_mu
from apnt.tonemap import mu_law, mu_law_inverse

METRICS = (psnr_mu, psnr_linear, ssim_mu, ssim_linear, pu21_psnr)


def _pair(height: int = 20, width: int = 23) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.random((height, width, 3), dtype=np.float32)
    return np.clip(truth + 0.1 * rng.standard_normal(truth.shape), 0, 1).astype(np.float32), truth


def test_psnr_of_a_constant_error() -> None:
    truth = np.full((4, 5, 3), 0.25)
    assert psnr_linear(truth + 0.1, truth) == pytest.approx(20)
    # A tenth in the mu-law domain.
    assert psnr_mu(mu_law_inverse(mu_law(truth) + 0.1), truth) == pytest.approx(20)


def test_psnr_is_scikit_images() -> None:
    theirs = pytest.importorskip("skimage.metrics").peak_signal_noise_ratio
    prediction, truth = _pair()
    linear = [image.astype(np.float64) for image in (truth, prediction)]
    compressed = [np.log(1 + 5000 * image) / np.log(5001) for image in linear]
    assert psnr_linear(prediction, truth) == pytest.approx(theirs(*linear, data_range=1), abs=1e-10)
    assert psnr_mu(prediction, truth) == pytest.approx(theirs(*compressed, data_range=1), abs=1e-10)


# The published formula and its seven numbers, worked out with thirty digits.
PU21_POINTS = {
    0.005: 0.0,
    0.01: 0.372232209717644,
    0.1: 5.71707383966946,
    1: 36.5439111394192,
    10: 123.647483553847,
    100: 256.383897312704,
    1000: 420.096921349244,
    4000: 527.493900536728,
    10000: 595.393920020095,
}


def test_pu21_goes_through_its_points() -> None:
    codes = pu21_encode(np.array([*PU21_POINTS]))
    np.testing.assert_allclose(codes, [*PU21_POINTS.values()], rtol=1e-12, atol=1e-9)
    # What its authors say of it: 100 cd/m^2 is 256, and the whole range ends at about 600.
    assert codes[5] == pytest.approx(256, abs=0.5)
    assert codes[-1] == pytest.approx(600, abs=5)


def test_pu21_rises_everywhere_and_is_clipped_outside() -> None:
    luminance = np.geomspace(0.005, 10000, 5000)
    assert (np.diff(pu21_encode(luminance)) > 0).all()
    np.testing.assert_array_equal(
        pu21_encode(np.array([-1, 0, 0.004, 2e4])), pu21_encode(luminance[[0, 0, 0, -1]])
    )


def test_pu21_is_undone_by_the_published_inverse() -> None:
    p = (0.353487901, 0.3734658629, 8.277049286e-05, 0.9062562627, 0.09150303166, 0.9099517204, 596.3148142)
    luminance = np.geomspace(0.01, 10000, 100).reshape(4, 25)
    root = np.maximum(pu21_encode(luminance) / p[6] + p[5], 0) ** (1 / p[4])
    decoded = (np.maximum(root - p[0], 0) / (p[1] - p[2] * root)) ** (1 / p[3])
    np.testing.assert_allclose(decoded, luminance, rtol=1e-8)


def test_pu21_psnr_by_hand() -> None:
    # Radiance 0.25 and 0.025 of a display of 4000 cd/m^2: 1000 against 100, everywhere.
    truth, prediction = np.full((4, 5, 3), 0.25), np.full((4, 5, 3), 0.025)
    difference = PU21_POINTS[1000] - PU21_POINTS[100]
    assert pu21_psnr(prediction, truth) == pytest.approx(20 * math.log10(256 / difference))
    difference = PU21_POINTS[100] - PU21_POINTS[10]
    value = pu21_psnr(prediction, truth, peak_luminance=400)
    assert value == pytest.approx(20 * math.log10(256 / difference))


def test_pu21_psnr_is_scikit_images_after_the_encoding() -> None:
    theirs = pytest.importorskip("skimage.metrics").peak_signal_noise_ratio
    prediction, truth = _pair()
    codes = [pu21_encode(1500 * image.astype(np.float64)) for image in (truth, prediction)]
    value = pu21_psnr(prediction, truth, peak_luminance=1500)
    assert value == pytest.approx(theirs(*codes, data_range=256), abs=1e-10)


@pytest.mark.parametrize("peak", [0.5, 10001, -100, math.nan])
def test_pu21_refuses_a_display_outside_its_curve(peak: float) -> None:
    prediction, truth = _pair()
    with pytest.raises(InputError, match="peak_luminance must be from 1 to 10000"):
        pu21_psnr(prediction, truth, peak_luminance=peak)


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


@pytest.mark.parametrize("metric", [psnr_mu, psnr_linear, pu21_psnr])
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
