"""The metric protocols by name: which numbers a table holds, and what they mean in one line."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from apnt.bracket import Bracket
from apnt.defaults import PEAK_LUMINANCE
from apnt.errors import InputError
from apnt.metrics import (
    PROTOCOL,
    Metric,
    each_psnr_linear,
    each_psnr_mu,
    each_pu21_psnr,
    each_ssim_linear,
    each_ssim_mu,
)

PIXELS = {"all": "", "saturated": " sat.", "moving saturated": " moving sat."}
"""The pixels that a column counts -> how its title says so; ``saturated`` means in the reference frame."""


def pixel_masks(bracket: Bracket) -> dict[str, np.ndarray | None]:
    """The pixels that each of ``PIXELS`` counts: (H, W) bool, None = all."""
    saturated = bracket.saturated
    moving = np.zeros_like(saturated) if bracket.moving is None else bracket.moving
    return {"all": None, "saturated": saturated, "moving saturated": saturated & moving}


class Column(NamedTuple):
    """One number of a result: a metric on certain pixels.

    Attributes:
        key: its name in files.
        title: its name in tables, without the pixels.
        digits: decimals shown.
        metric: the function; columns that share it are measured together.
        pixels: which of ``PIXELS`` count.
        headline: whether narrow tables have it; the others are in the files alone.
        unit: of the number, "" for none.
    """

    key: str
    title: str
    digits: int
    metric: Metric
    pixels: str = "all"
    headline: bool = True
    unit: str = "dB"


@dataclass(frozen=True)
class Protocol:
    """Measures that belong together.

    Attributes:
        name: one of ``PROTOCOLS``.
        meaning: one line that every table prints, because numbers under different protocols do not compare.
        columns: the measures; larger is better in all of them.
    """

    name: str
    meaning: str
    columns: tuple[Column, ...]


def _peers() -> Protocol:
    """The numbers that papers of this field print."""
    whole = (
        Column("psnr_mu", "PSNR-µ", 2, each_psnr_mu),
        Column("psnr_linear", "PSNR-L", 2, each_psnr_linear),
        Column("ssim_mu", "SSIM-µ", 4, each_ssim_mu, unit=""),
        Column("ssim_linear", "SSIM-L", 4, each_ssim_linear, unit=""),
    )
    columns = list(whole)
    for pixels in ("saturated", "moving saturated"):
        columns += [_restricted(column, pixels, headline=column.key == "psnr_mu") for column in whole]
    return Protocol("peers", PROTOCOL, tuple(columns))


def _pu21(peak_luminance: float) -> Protocol:
    """What the eye sees on a bright display, by a simple model."""
    whole = Column("pu21_psnr", "PU21-PSNR", 2, partial(each_pu21_psnr, peak_luminance=peak_luminance))
    meaning = (
        "PSNR of RGB in the PU21 encoding (banding and glare, Mantiuk and Azimi 2021), full image, "
        f"unquantised, peak 256; radiance 1 is shown at {peak_luminance:g} cd/m²"
    )
    columns = [whole, *(_restricted(whole, pixels) for pixels in ("saturated", "moving saturated"))]
    return Protocol("pu21", meaning, tuple(columns))


def _cvvdp(peak_luminance: float, device: str | None) -> Protocol:
    """What the eye sees on a bright display, by a detailed model."""
    from apnt.evaluate.colorvideovdp import ColorVideoVDP

    metric = ColorVideoVDP(peak_luminance, device)
    meaning = f"quality in JOD, 10 = no visible difference, by {metric.description}, full image"
    return Protocol("cvvdp", meaning, (Column("cvvdp", "ColorVideoVDP", 2, metric, unit="JOD"),))


def _restricted(column: Column, pixels: str, headline: bool = True) -> Column:
    key = f"{column.key}_{pixels.replace(' ', '_')}"
    return column._replace(key=key, pixels=pixels, headline=headline)


PROTOCOLS = ("peers", "pu21", "cvvdp")
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
