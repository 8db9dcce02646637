"""ColorVideoVDP (Mantiuk et al. 2024) through its authors' package, which is not among ours."""

from __future__ import annotations

import importlib

import numpy as np

from apnt.device import choose_device
from apnt.errors import InputError
from apnt.metrics import Masks

_CONTRAST = 1_000_000  # of the display; with the ambient light that of the package's own linear HDR display
_AMBIENT = 10.0  # lux


class ColorVideoVDP:
    """Quality of a radiance image on a 30-inch 4K HDR display seen from twice its height.

    Args:
        peak_luminance: cd/m^2 of the display at radiance 1.
        device: where to compute; None = the GPU where there is one.

    Attributes:
        description: what the package itself asks to be reported: version, display, viewing distance.

    Raises:
        InputError: the package is not installed or does not load, or no such device.
    """

    def __init__(self, peak_luminance: float, device: str | None = None):
        try:
            pycvvdp = importlib.import_module("pycvvdp")
        except ModuleNotFoundError as error:
            if error.name != "pycvvdp":
                raise InputError(
                    f"protocol cvvdp needs the package cvvdp, which is installed but lacks {error.name}: "
                    "install cvvdp with its dependencies, or leave the protocol out"
                ) from error
            raise InputError(
                "protocol cvvdp needs the package cvvdp, which is not installed: "
                "pip install 'apnt[cvvdp]', or leave the protocol out"
            ) from error
        except Exception as error:  # torchvision beside another torch raises RuntimeError, for one
            raise InputError(
                f"protocol cvvdp needs the package cvvdp, which does not load ({error}): install it anew, or "
                "leave the protocol out"
            ) from error
        display = pycvvdp.vvdp_display_photo_eotf(
            peak_luminance,
            contrast=_CONTRAST,
            source_colorspace="BT.709",
            EOTF="linear",
            E_ambient=_AMBIENT,
            name="HDR display",
        )
        self._peak = np.float32(peak_luminance)
        self._metric = pycvvdp.cvvdp(
            display_name="standard_hdr_linear",
            display_photometry=display,
            quiet=True,
            device=choose_device(device),
        )
        self.description = str(self._metric.get_info_string()).strip('"')

    def __call__(self, prediction: np.ndarray, truth: np.ndarray, masks: Masks = (None,)) -> list[float]:
        """JOD of (H, W, 3) linear radiance, 10 for equal images; it has no meaning for a part of an image."""
        if any(mask is not None for mask in masks):
            raise InputError("masks must be None: ColorVideoVDP judges whole images")
        if prediction.shape != truth.shape or truth.ndim != 3 or truth.shape[-1] != 3:
            raise InputError(
                "prediction and truth must have one shape (H, W, 3), "
                f"got {prediction.shape} and {truth.shape}"
            )
        light = [np.ascontiguousarray(i, np.float32) * self._peak for i in (prediction, truth)]
        return [float(self._metric.predict(*light, dim_order="HWC")[0])] * len(masks)
