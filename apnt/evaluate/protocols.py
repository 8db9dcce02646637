"""The metric protocols by name: which numbers a table holds, and what they mean in one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from apnt.errors import InputError
from apnt.metrics import (
    PEAK_LUMINANCE,
    PROTOCOL,
    psnr_linear,
    psnr_mu,
    pu21_psnr,
    ssim_linear,
    ssim_mu,
)

PIXELS = {"all": "", "saturated": " sat.", "moving saturated": " moving sat."}
"""The pixels that a column counts -> how its title says so; ``saturated`` means the medium exposure's."""


class Column(NamedTuple):
    """One measure: (H, W, 3) result, (H, W, 3) truth, (H, W) bool pixels or None -> number.

    Attributes:
        key: its name in files.
        title: its name in tables, without the pixels.
        digits: decimals shown.
        measure: the function.
        pixels: which of ``PIXELS`` count.
        headline: whether tables show it where space is short; the others are in the files alone.
        unit: of the number, "" for none.
    """

    key: str
    title: str
    digits: int
    measure: Callable[[np.ndarray, np.ndarray, np.ndarray | None], float]
    pixels: str = "all"
    headline: bool = True
    unit: str = "dB"


@dataclass(frozen=True)
class Protocol:
    """Measures that belong together.

    Attributes:
        name: one of ``PROTOCOLS``.
        meaning: one line that every table of it prints: numbers under another protocol do not compare.
        columns: the measures; larger is better in all of them.
    """

    name: str
    meaning: str
    columns: tuple[Column, ...]


def _peers() -> Protocol:
    """The numbers that papers of this field print."""
    metrics = (
        Column("psnr_mu", "PSNR-µ", 2, psnr_mu),
        Column("psnr_linear", "PSNR-L", 2, psnr_linear),
        Column("ssim_mu", "SSIM-µ", 4, ssim_mu, unit=""),
        Column("ssim_linear", "SSIM-L", 4, ssim_linear, unit=""),
    )
    columns = list(metrics)
    for pixels in ("saturated", "moving saturated"):
        columns += [_restricted(metric, pixels, headline=metric.key == "psnr_mu") for metric in metrics]
    return Protocol("peers", PROTOCOL, tuple(columns))


def _pu21(peak_luminance: float) -> Protocol:
    """What the eye sees on a bright display, by a simple model."""
    metric = Column("pu21_psnr", "PU21-PSNR", 2, partial(pu21_psnr, peak_luminance=peak_luminance))
    meaning = (
        "PSNR of RGB in the PU21 encoding (banding and glare, Mantiuk and Azimi 2021), full image, "
        f"unquantised, peak 256; radiance 1 is shown at {peak_luminance:g} cd/m²"
    )
    columns = [metric, *(_restricted(metric, pixels) for pixels in ("saturated", "moving saturated"))]
    return Protocol("pu21", meaning, tuple(columns))


def _cvvdp(peak_luminance: float, device: str | None) -> Protocol:
    """What the eye sees on a bright display, by a detailed model."""
    from apnt.evaluate.colorvideovdp import ColorVideoVDP

    metric = ColorVideoVDP(peak_luminance, device)
    meaning = f"quality in JOD, 10 = no visible difference, by {metric.description}, full image"
    return Protocol("cvvdp", meaning, (Column("cvvdp", "ColorVideoVDP", 2, metric, unit="JOD"),))


def _restricted(metric: Column, pixels: str, headline: bool = True) -> Column:
    key = f"{metric.key}_{pixels.replace(' ', '_')}"
    return metric._replace(key=key, pixels=pixels, headline=headline)


PROTOCOLS = ("peers", "pu21", "cvvdp")
DEFAULT_PROTOCOLS = ("peers", "pu21")
PEERS = _peers()


def load_protocol(
    name: str, *, peak_luminance: float = PEAK_LUMINANCE, device: str | None = None
) -> Protocol:
    """Make a protocol ready to measure.

    Args:
        name: one of ``PROTOCOLS``.
        peak_luminance: cd/m^2 at which radiance 1 is shown, for ``pu21`` and ``cvvdp``.
        device: where ``cvvdp`` computes; None = the GPU where there is one.

    Raises:
        InputError: no such protocol, a luminance that cannot be used, or a package that is missing.
    """
    if name not in PROTOCOLS:
        raise InputError(f"protocols must be of {', '.join(PROTOCOLS)}, got {name!r}")
    if not 1 <= peak_luminance <= 10000:
        raise InputError(f"peak_luminance must be from 1 to 10000 cd/m^2, got {peak_luminance:g}")
    if name == "peers":
        return PEERS
    return _pu21(peak_luminance) if name == "pu21" else _cvvdp(peak_luminance, device)
