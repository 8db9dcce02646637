"""Samples with fewer bits than their container: found over all frames of a bracket, and scaled."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from apnt import scratch
from apnt.camera import GAMMA
from apnt.io.photograph import Photograph, Samples
from apnt.strips import strips

_FULL = 65535
_UNSEEN = 0.995  # part of the full range from which scaling to it is not said
_FEWEST_BITS = 8
_PLATEAU = 8  # samples at exactly the largest value that make a clipped area of it
_PLATEAUS = 64  # the same in each of two frames, where the value alone says nothing


@dataclass(frozen=True)
class Depth:
    """What the samples of 16-bit frames really are.

    Attributes:
        bits: effective bits.
        white: the stored sample that means full white.
    """

    bits: int
    white: int


def effective_bits(arrays: Iterable[np.ndarray]) -> int | None:
    """Bits of the samples in 16-bit containers, judged over all frames of one bracket.

    One frame may be dark for good reasons; but a bracket's longest frame clips. Where it clips at
    ``2**n - 1`` and nothing lies above, the samples have n bits; at 32768, they are the 15 bits of some
    editors; where every sample is a multiple of ``2**(16 - n)`` up to the largest one, n bits were shifted
    up. Two exposures that both end in an area of one value clip there, whatever value it is: sensors
    saturate below the range of their converters.

    Args:
        arrays: uint16, any shapes.

    Returns:
        8 to 16, or None where nothing proves that the container is not full.
    """
    depth = judge([Samples.of(array) for array in arrays])
    return depth.bits if depth else None


def judge(samples: Sequence[Samples]) -> Depth | None:
    """The depth of frames with these samples; None where nothing proves that it is not 16 bits."""
    peak = max((s.peak for s in samples), default=0)
    if sum(s.at_peak for s in samples if s.peak == peak) < _PLATEAU:
        return None
    if peak == 32768:
        return Depth(15, peak)
    bits = peak.bit_length()
    if _FEWEST_BITS <= bits < 16 and peak == 2**bits - 1:
        return Depth(bits, peak)
    used = 0
    for s in samples:
        used |= s.used
    step = used & -used
    if 1 < step <= 2 ** (16 - _FEWEST_BITS) and peak == _FULL + 1 - step:
        return Depth(17 - step.bit_length(), peak)
    clipped = sum(s.peak == peak and s.at_peak >= _PLATEAUS for s in samples)
    if bits >= _FEWEST_BITS and peak < _FULL and clipped > 1:
        return Depth(bits, peak)
    return None


def rescale_bracket(photographs: Sequence[Photograph]) -> tuple[list[Photograph], list[str], list[str]]:
    """Scale the frames of one bracket whose 16-bit containers hold fewer bits, so that white is 1.

    Only frames from 16-bit TIFF and PNG files are judged, all together; the others are returned as they are.

    Returns:
        The frames, in the order given; sentences of what was scaled; and of the doubt that remains when all
        frames are dark and none of them clips.
    """
    judged = [n for n, photo in enumerate(photographs) if photo.samples is not None]
    samples = [s for photo in photographs if (s := photo.samples) is not None]
    frames = list(photographs)
    names = ", ".join(frames[n].name for n in judged)
    depth = judge(samples)
    if depth is None:
        encoded = any(frames[n].curve != "linear" for n in judged)
        return frames, [], _doubt(names, samples, GAMMA if encoded else 1.0)
    for n in judged:
        frames[n] = _rescale(frames[n], depth)
    verb = "holds" if len(judged) == 1 else "hold"
    note = f"{names} {verb} {depth.bits}-bit samples in 16 bits: scaled by {depth.white}"
    if depth.white + 1 not in (2**depth.bits, 2**15 + 1):
        note = f"{names} clip at {depth.white} of {_FULL}: scaled by it"
    # Less than half a percent, as of a container's shifted bits, is no correction that a photographer sees.
    return frames, [note] if depth.white < _UNSEEN * _FULL else [], []


def _rescale(photo: Photograph, depth: Depth) -> Photograph:
    pixels = scratch.empty(photo.pixels.shape, np.float32)
    for rows in strips(len(pixels)):
        strip = pixels[rows]
        strip[...] = photo.pixels[rows]
        if photo.profile is not None:
            photo.profile.inverse().apply(strip)
        strip *= np.float32(_FULL)
        np.rint(strip, out=strip)  # the samples as stored, so that white becomes 1 exactly
        strip /= np.float32(depth.white)
        np.minimum(strip, 1, out=strip)
        if photo.profile is not None:
            photo.profile.apply(strip)
    return replace(photo, pixels=pixels, bits=depth.bits, samples=None)


def _doubt(names: str, samples: Sequence[Samples], gamma: float) -> list[str]:
    peak = max((s.peak for s in samples), default=_FULL)
    if not 0 < peak < 32768:
        return []
    bits = max(_FEWEST_BITS, peak.bit_length())
    stops = gamma * math.log2(_FULL / (2**bits - 1))
    return [
        f"{names}: the brightest sample is {peak} of 65535; if the files hold {bits}-bit samples, "
        f"their light is read {stops:.1f} stops too dark"
    ]
