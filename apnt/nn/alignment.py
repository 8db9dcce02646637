"""The short and the long exposure moved onto the medium one, and how far to believe it. Beyond the paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from apnt.nn.blocks import constant, mean5x5
from apnt.nn.config import APNTConfig
from apnt.nn.domains import LONG, MEDIUM, SHORT, ms_hdr, saturation_level, to_display, to_radiance
from apnt.nn.inputs import cut, enlarge
from apnt.nn.matching import Match, upsample_offset
from apnt.nn.subpixel import refine, resample
from apnt.ops import patch_swap, window_match
from apnt.ops.subpixel import parabola
from apnt.tonemap import mu_law

CONSISTENCY = 8
"""Channels of :func:`consistency`."""


class Exposure(NamedTuple):
    """One exposure in three domains, (N, 3, H, W) each.

    Attributes:
        ldr: display-referred, in [0, 1].
        radiance: linear, ``H_k`` of eq. 3.
        compressed: the radiance after the mu-law, ``T(H_k)``.
    """

    ldr: Tensor
    radiance: Tensor
    compressed: Tensor


def aligned_by(source: int, config: APNTConfig) -> list[int]:
    """The exposures that :func:`align` looks at."""
    return sorted({source, MEDIUM}) if config.subpixel or config.stride > 1 else [source]


def align(
    exposures: Mapping[int, Exposure], times: Tensor, source: int, match: Match, config: APNTConfig
) -> Exposure:
    """The short or the long exposure, moved by its match onto the medium one.

    Args:
        exposures: by their number, those of :func:`aligned_by` at least.
        times: (N, 3) relative.
        source: ``SHORT`` or ``LONG``.
        match: of the medium exposure with it.
        config: of the network.
    """
    if config.subpixel:
        offset = _between_pixels(exposures, times, source, match, config)
        ldr = resample(exposures[source].ldr, offset).clamp(0, 1)
        radiance = to_radiance(ldr[:, None], times[:, source, None], config.gamma)[:, 0]
    else:
        whole = match.offsets[0]
        if config.stride > 1:
            whole = _full_size(match, _comparable(exposures, times, source, config), config)
        ldr, radiance = (
            patch_swap(image, whole, patch_size=config.patch_size) for image in exposures[source][:2]
        )
    return Exposure(ldr, radiance, mu_law(radiance))


@constant
def _between_pixels(
    exposures: Mapping[int, Exposure], times: Tensor, source: int, match: Match, config: APNTConfig
) -> Tensor:
    """Offsets with fractions, (N, 2, H, W) float32."""
    with torch.autocast(times.device.type, enabled=False):
        pictures = _comparable(exposures, times, source, config)
        whole, fraction = match.offsets[0], match.fraction
        if config.stride > 1:
            whole = _full_size(match._replace(fraction=None), pictures, config)
            fraction = parabola(*pictures, whole)
        assert fraction is not None
        return refine(pictures, whole + fraction)


@constant
def _full_size(match: Match, pictures: tuple[Tensor, Tensor], config: APNTConfig) -> Tensor:
    """The finest offsets (N, 2, H / stride, W / stride) in pixels of the exposures, (N, 2, H, W).

    A match of smaller pictures is too coarse by up to half a stride, but where a flow has fractions; a last
    match of the full-size pictures' own colours refines it.
    """
    center = upsample_offset(match.offsets[0], config.stride, pictures[0].shape[-2:])
    if match.fraction is not None:
        finer = (config.stride * match.fraction).round().to(torch.int32)
        center = center + cut(enlarge(finer, config.stride), *pictures[0].shape[-2:])
    refined, _ = window_match(*pictures, center, radius=config.stride // 2, patch_size=3, normalize="cosine")
    return refined


def _comparable(
    exposures: Mapping[int, Exposure], times: Tensor, source: int, config: APNTConfig
) -> tuple[Tensor, Tensor]:
    """The short or the long and the medium exposure as pictures equally exposed, (N, 3, H, W) each."""
    level = saturation_level(times, max(source, MEDIUM), config.gamma, config.threshold)
    searched, target = (
        to_display(ms_hdr(exposures[k].radiance, level), level, config.gamma) for k in (source, MEDIUM)
    )
    return searched, target


@constant
def consistency(
    exposures: list[Exposure], times: Tensor, matches: tuple[Match, Match], config: APNTConfig
) -> Tensor:
    """What tells how far the aligned exposures can be believed, (N, 8, H, W).

    Of the short and of the long one four channels each: the distance between a pixel and the match of its
    partner (0 = the same place, 1 = anywhere), the difference from the medium exposure where neither
    saturates (mean over 5x5 pixels), whether it saturates, and a quarter of the stops between the two.
    """
    height, width = exposures[MEDIUM].ldr.shape[-2:]
    channels = []
    for k, match in zip((SHORT, LONG), matches, strict=True):
        assert match.distance is not None
        far = cut(enlarge(match.distance[:, None], 2 * config.stride), height, width)
        moved, medium = _comparable(dict(enumerate(exposures)), times, k, config)
        difference = (moved - medium).abs().mean(dim=1, keepdim=True)
        near = mean5x5(difference)
        saturated = exposures[k].ldr.amax(dim=1, keepdim=True) >= config.threshold
        stops = (times[:, k] / times[:, MEDIUM]).log2().abs() / 4
        plane = stops[:, None, None, None].expand(-1, 1, height, width)
        channels += [far / (1 + far), (4 * near).clamp_max(1), saturated.to(near.dtype), plane]
    return torch.cat(channels, dim=1)
