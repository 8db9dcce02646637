"""Samples whose white is below their container's: found over all frames of a bracket, and scaled."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from apnt import scratch
from apnt.camera import GAMMA
from apnt.io.photograph import Photograph, Samples
from apnt.strips import strips

_DEEP, _BYTE = 65535, 255  # the largest samples of the containers
_UNSEEN = 0.995  # part of the full range from which scaling to it is not said
_FEWEST_BITS = 8
_PLATEAU = 8  # samples at exactly the largest value that make a clipped area of it
_PLATEAUS = 64  # the same in each of two frames, where the value alone says nothing
_LEAST_WHITE = 0.75  # of 8 bits: what frames end at below has been drawn, or is an object
_SHARE, _RISES = 0.002, 4  # of 8-bit samples at white: least share, and times those of the number below


@dataclass(frozen=True)
class Depth:
    """What the samples of frames really are.

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
    """The depth of frames with these samples in 16 bits; None where nothing proves that it is not that."""
    peak = max((s.peak for s in samples), default=0)
    if sum(s.at_peak for s in _at(peak, samples)) < _PLATEAU:
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
    if 1 < step <= 2 ** (16 - _FEWEST_BITS) and peak == _DEEP + 1 - step:
        return Depth(17 - step.bit_length(), peak)
    clipped = sum(s.at_peak >= _PLATEAUS for s in _at(peak, samples))
    if bits >= _FEWEST_BITS and peak < _DEEP and clipped > 1:
        return Depth(bits, peak)
    return None


def judge_bytes(samples: Sequence[Samples]) -> Depth | None:
    """The white of frames with these samples in 8 bits; None where nothing proves that it is not 255.

    Frames of video and of some programs come to white at 235 or 248. Two exposures that both end in an area
    of one value clip there; it has to be a wall in their histograms, because 8 bits are few.
    """
    peak = max((s.peak for s in samples), default=0)
    walls = sum(s.at_peak >= max(_PLATEAUS, _SHARE * s.count, _RISES * s.below) for s in _at(peak, samples))
    return Depth(8, peak) if _LEAST_WHITE * _BYTE <= peak < _BYTE and walls > 1 else None


def rescale_bracket(photographs: Sequence[Photograph]) -> tuple[list[Photograph], list[str], list[str]]:
    """Scale the frames of one bracket whose containers hold fewer bits, or less white, so that white is 1.

    Frames from 16-bit TIFF and PNG files are judged together, and so are those of 8 bits; the others are
    returned as they are.

    Returns:
        The frames, in the order given; sentences of what was scaled; and of the doubt that remains when all
        16-bit frames are dark and none of them clips.
    """
    frames, notes, doubts = list(photographs), list[str](), list[str]()
    for full, judged_by in ((_DEEP, judge), (_BYTE, judge_bytes)):
        judged = [n for n, photo in enumerate(frames) if photo.samples and photo.samples.full == full]
        samples = [s for n in judged if (s := frames[n].samples)]
        names = ", ".join(frames[n].name for n in judged)
        depth = judged_by(samples)
        if depth is not None:
            for n in judged:
                frames[n] = _rescale(frames[n], depth)
            notes += _note(names, len(judged), depth, full)
        elif full == _DEEP:
            encoded = any(frames[n].curve != "linear" for n in judged)
            doubts += _doubt(names, samples, GAMMA if encoded else 1.0)
    return frames, notes, doubts


def rescaled(photograph: Photograph, white: int) -> Photograph:
    """A frame read alone, scaled as its bracket was.

    Args:
        photograph: of a format whose white is judged.
        white: of a frame of the bracket, see :class:`apnt.io.photograph.Photograph`.
    """
    if photograph.samples is None:
        return photograph
    return _rescale(photograph, Depth(white.bit_length(), white))


def _at(peak: int, samples: Sequence[Samples]) -> Iterator[Samples]:
    return (s for s in samples if s.peak == peak)


def _note(names: str, count: int, depth: Depth, full: int) -> list[str]:
    # Less than half a percent, as of a container's shifted bits, is no correction that a photographer sees.
    if depth.white >= _UNSEEN * full:
        return []
    if full == _BYTE or depth.white + 1 not in (2**depth.bits, 2**15 + 1):
        return [f"{names} clip at {depth.white} of {full}: scaled by it"]
    verb = "holds" if count == 1 else "hold"
    return [f"{names} {verb} {depth.bits}-bit samples in 16 bits: scaled by {depth.white}"]


def _rescale(photo: Photograph, depth: Depth) -> Photograph:
    assert photo.samples is not None
    pixels = scratch.empty(photo.pixels.shape, np.float32)
    for rows in strips(len(pixels)):
        strip = pixels[rows]
        strip[...] = photo.pixels[rows]
        if photo.profile is not None:
            photo.profile.inverse().apply(strip)
        strip *= np.float32(photo.samples.full)
        np.rint(strip, out=strip)  # the samples as stored, so that white becomes 1 exactly
        strip /= np.float32(depth.white)
        np.minimum(strip, 1, out=strip)
        if photo.profile is not None:
            photo.profile.apply(strip)
    return replace(photo, pixels=pixels, bits=depth.bits, white=depth.white, samples=None)


def _doubt(names: str, samples: Sequence[Samples], gamma: float) -> list[str]:
    peak = max((s.peak for s in samples), default=_DEEP)
    if not 0 < peak < 32768:
        return []
    bits = max(_FEWEST_BITS, peak.bit_length())
    stops = gamma * math.log2(_DEEP / (2**bits - 1))
    return [
        f"{names}: the brightest sample is {peak} of 65535; if the files hold {bits}-bit samples, "
        f"their light is read {stops:.1f} stops too dark"
    ]
