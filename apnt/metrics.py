"""How close a fused image is to the truth: PSNR and SSIM, linear and mu-law, and PSNR after PU21."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from apnt.defaults import PEAK_LUMINANCE
from apnt.errors import InputError
from apnt.tonemap import mu_law

PROTOCOL = "full image, RGB, unquantised, data range 1, mu 5000, SSIM 11x11 Gaussian sigma 1.5 valid"
"""What every table prints, because numbers under another protocol do not compare."""

Masks = Sequence[np.ndarray | None]
"""Of (H, W) bool each: pixels that count together; None = all."""

Metric = Callable[[np.ndarray, np.ndarray, Masks], list[float]]
"""(H, W, 3) result, (H, W, 3) truth, masks -> one number for each mask."""

_WINDOW = 11
_SIGMA = 1.5
_MARGIN = _WINDOW // 2
# Mantiuk and Azimi, "PU21", Picture Coding Symposium 2021, type banding_glare, the one its authors recommend.
_PU21 = (0.353487901, 0.3734658629, 8.277049286e-5, 0.9062562627, 0.09150303166, 0.9099517204, 596.3148142)
_PU21_RANGE = (0.005, 10000.0)  # cd/m^2, where the curve was fitted
_PU21_WHITE = 256.0  # the peak of PU21's PSNR: the code of 100 cd/m^2, a standard display's white


def psnr_mu(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """PSNR in dB of two radiance images after the mu-law curve (eq. 15), over all pixels and RGB.

    Args:
        prediction: (H, W, 3) float, linear radiance, 1 = where the shortest exposure saturates, not negative.
        truth: same shape and scale.
        mask: (H, W) bool, the pixels that count; None = all.

    Returns:
        Computed in float64 with data range 1; inf for equal images, NaN where the mask is empty.

    Raises:
        InputError: shapes that differ or are not (H, W, 3), values that are not finite, negative radiance,
            a mask of another shape or type.
    """
    return each_psnr_mu(prediction, truth, (mask,))[0]


def psnr_linear(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """PSNR in dB of two linear radiance images; arguments and result as for :func:`psnr_mu`."""
    return each_psnr_linear(prediction, truth, (mask,))[0]


def ssim_mu(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean SSIM (Wang et al. 2004) of two radiance images after the mu-law curve (eq. 15).

    11x11 Gaussian window of sigma 1.5, only windows that lie wholly inside the image, data range 1,
    K1 = 0.01, K2 = 0.03, biased covariance, mean over windows and channels.

    Args:
        prediction: (H, W, 3) float, linear radiance, not negative, H and W at least 11.
        truth: same shape and scale.
        mask: (H, W) bool, the window centres that count; None = all. Centres closer than 5 pixels to the
            image's border never count.

    Returns:
        Computed in float64; at most 1, NaN where the mask leaves no window.

    Raises:
        InputError: as :func:`psnr_mu`, and for images smaller than the window.
    """
    return each_ssim_mu(prediction, truth, (mask,))[0]


def ssim_linear(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean SSIM of two linear radiance images; arguments and result as for :func:`ssim_mu`."""
    return each_ssim_linear(prediction, truth, (mask,))[0]


def pu21_encode(luminance: np.ndarray) -> np.ndarray:
    """Encode light so that equal steps are about equally visible: PU21, banding and glare.

    ``p7 * (((p1 + p2 * L**p4) / (1 + p3 * L**p4))**p5 - p6)`` (Mantiuk and Azimi, Picture Coding Symposium
    2021). About 0 at 0.005 cd/m^2, 256 at 100, 595 at 10000.

    Args:
        luminance: any shape, cd/m^2; clipped to [0.005, 10000], where the curve is defined.

    Returns:
        Same shape, float64.
    """
    p1, p2, p3, p4, p5, p6, p7 = _PU21
    power = np.clip(np.asarray(luminance, np.float64), *_PU21_RANGE) ** p4
    return np.maximum(p7 * (((p1 + p2 * power) / (1 + p3 * power)) ** p5 - p6), 0)


def pu21_psnr(
    prediction: np.ndarray,
    truth: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    peak_luminance: float = PEAK_LUMINANCE,
) -> float:
    """PSNR in dB of two radiance images as an HDR display shows them, after :func:`pu21_encode` of RGB.

    The peak is 256, the code of 100 cd/m^2, as in the code published with PU21; the scale of the images is
    fixed, so that truth and prediction are shown alike whatever the brightest pixel is.

    Args:
        prediction, truth, mask: as for :func:`psnr_mu`; negative radiance is shown as black.
        peak_luminance: cd/m^2 at which radiance 1 is shown, from 1 to 10000.

    Returns:
        Computed in float64; inf where nothing differs, NaN where the mask is empty.

    Raises:
        InputError: as :func:`psnr_mu`, and for a luminance outside the curve's range.
    """
    return each_pu21_psnr(prediction, truth, (mask,), peak_luminance=peak_luminance)[0]


def each_psnr_mu(prediction: np.ndarray, truth: np.ndarray, masks: Masks) -> list[float]:
    """:func:`psnr_mu` on each of several masks; what they share is computed once, as in all of this kind."""
    return _psnr(*_compressed(*_checked(prediction, truth, masks)), masks)


def each_psnr_linear(prediction: np.ndarray, truth: np.ndarray, masks: Masks) -> list[float]:
    """:func:`psnr_linear` on each of several masks."""
    return _psnr(*_checked(prediction, truth, masks), masks)


def each_ssim_mu(prediction: np.ndarray, truth: np.ndarray, masks: Masks) -> list[float]:
    """:func:`ssim_mu` on each of several masks."""
    return _ssim(*_compressed(*_checked(prediction, truth, masks)), masks)


def each_ssim_linear(prediction: np.ndarray, truth: np.ndarray, masks: Masks) -> list[float]:
    """:func:`ssim_linear` on each of several masks."""
    return _ssim(*_checked(prediction, truth, masks), masks)


def each_pu21_psnr(
    prediction: np.ndarray, truth: np.ndarray, masks: Masks, *, peak_luminance: float = PEAK_LUMINANCE
) -> list[float]:
    """:func:`pu21_psnr` on each of several masks."""
    if not 1 <= peak_luminance <= _PU21_RANGE[1]:
        raise InputError(f"peak_luminance must be from 1 to 10000 cd/m^2, got {peak_luminance:g}")
    prediction, truth = _checked(prediction, truth, masks)
    return _psnr(
        pu21_encode(prediction * peak_luminance), pu21_encode(truth * peak_luminance), masks, _PU21_WHITE
    )


def _psnr(prediction: np.ndarray, truth: np.ndarray, masks: Masks, peak: float = 1.0) -> list[float]:
    error = ((prediction - truth) / peak) ** 2  # (H, W, 3)
    means = [_mean(error, mask) for mask in masks]
    return [math.inf if mean == 0 else -10 * math.log10(mean) for mean in means]


def _mean(values: np.ndarray, mask: np.ndarray | None) -> float:
    """Of (H, W, 3) over the pixels of a mask (H, W) and all channels; NaN over none."""
    counted = values if mask is None else values[mask]
    return float(counted.mean()) if counted.size else math.nan


def _ssim(prediction: np.ndarray, truth: np.ndarray, masks: Masks) -> list[float]:
    if min(truth.shape[:2]) < _WINDOW:
        raise InputError(f"truth must be at least {_WINDOW}x{_WINDOW} pixels for SSIM, got {truth.shape[:2]}")
    mean_p, mean_t = _blur(prediction), _blur(truth)
    variance_p = _blur(prediction**2) - mean_p**2
    variance_t = _blur(truth**2) - mean_t**2
    covariance = _blur(prediction * truth) - mean_p * mean_t
    c1, c2 = 0.01**2, 0.03**2
    ssim = (2 * mean_p * mean_t + c1) * (2 * covariance + c2)
    ssim /= (mean_p**2 + mean_t**2 + c1) * (variance_p + variance_t + c2)  # (H - 10, W - 10, 3)
    inner = slice(_MARGIN, -_MARGIN)
    return [_mean(ssim, None if mask is None else mask[inner, inner]) for mask in masks]


def _blur(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (H - 10, W - 10, 3): the Gaussian mean of every window inside the image."""
    kernel = cv2.getGaussianKernel(_WINDOW, _SIGMA, cv2.CV_64F)
    blurred = cv2.sepFilter2D(image, cv2.CV_64F, kernel, kernel)
    return blurred[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def _compressed(prediction: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    for name, image in (("prediction", prediction), ("truth", truth)):
        least = image.min(initial=0)
        if least < 0:
            raise InputError(f"{name} must not be negative for the mu-law curve, got {least:g}: clip it at 0")
    return mu_law(prediction), mu_law(truth)


def _checked(prediction: np.ndarray, truth: np.ndarray, masks: Masks) -> tuple[np.ndarray, np.ndarray]:
    if truth.ndim != 3 or truth.shape[-1] != 3:
        raise InputError(f"truth must have shape (H, W, 3), got {truth.shape}")
    if prediction.shape != truth.shape:
        raise InputError(f"prediction must have the shape of truth, {truth.shape}, got {prediction.shape}")
    for name, image in (("prediction", prediction), ("truth", truth)):
        if not np.isfinite(image).all():
            raise InputError(f"{name} must be finite, {int((~np.isfinite(image)).sum())} values are not")
    for mask in masks:
        if mask is not None and (mask.dtype != bool or mask.shape != truth.shape[:2]):
            raise InputError(f"mask must be bool, {truth.shape[:2]}, got {mask.dtype}, {mask.shape}")
    return prediction.astype(np.float64), truth.astype(np.float64)
