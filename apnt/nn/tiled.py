"""The network on a picture of any size: in tiles that give what the whole would.

Each part of the network gets the tile with as much around it as it sees (:mod:`apnt.nn.reach`): the fusion
stream least, the encoder most, because patches are swapped in from where the match lies. Matches are made
ahead, row after row (:mod:`apnt.nn.tiled_match`), and channel attention gets means of the whole image
(:mod:`apnt.nn.means`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise, product
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from apnt import scratch
from apnt.memory import give_back
from apnt.nn import means, reach
from apnt.nn.alignment import Exposure, aligned_by
from apnt.nn.apnt import APNTFusion, Seen
from apnt.nn.boxes import Box, fitting, tiled
from apnt.nn.config import APNTConfig
from apnt.nn.domains import LONG, SHORT, to_radiance
from apnt.nn.inputs import padded_side
from apnt.nn.matching import Match
from apnt.nn.tiled_encode import EncodedPicture, encoded_from
from apnt.nn.tiled_match import EXPOSURES, Crop, TiledMatches
from apnt.nn.transfer import swap
from apnt.strips import strips
from apnt.tonemap import mu_law

_READ = 64 << 20  # bytes of frames that are read at once


class Part(NamedTuple):
    """The result of one tile.

    Attributes:
        box: where it lies, full-size pixels.
        radiance: (3, h, w) in [0, 1].
        maps: of the tile, as the network returns them; empty where they were not asked for.
        last: of its tile; where matches lie far away, a tile comes in several parts.
    """

    box: Box
    radiance: Tensor
    maps: dict[str, list[Tensor]]
    last: bool = True


def padded(size: tuple[int, int], config: APNTConfig) -> tuple[Box, tuple[int, int]]:
    """Where a picture lies within what the network sees of it, and the height and width of that.

    Both in whole blocks of the coarsest scale; around the picture lies ``config.border``.
    """
    border = config.border
    height, width = (padded_side(side, 4 * config.stride, border) for side in size)
    return Box(border, border, height - border, width - border), (height, width)


def crop_of(frames: np.ndarray, device: torch.device, border: int = 0) -> Crop:
    """How boxes of (3, H, W, 3) float32 frames are read; what lies beyond them is reflected.

    Args:
        frames: of the picture.
        device: of what is read.
        border: boxes count from so many pixels above and left of the picture.
    """
    height, width = frames.shape[1:3]
    length = max(1, _READ // frames[:, 0].nbytes)

    def crop(box: Box, exposures: Sequence[int] = EXPOSURES) -> Tensor:
        chw = np.empty((len(exposures), 3, box.height, box.width), np.float32)
        columns = _reflected(box.left - border, box.right - border, width)
        for part in strips(box.height, length):
            top, out = box.top - border, chw[:, :, part]
            for to_rows, rows in _reflected(top + part.start, top + part.stop, height):
                for (to_columns, place), (k, n) in product(columns, enumerate(exposures)):
                    planes = list(out[k, :, to_rows, to_columns])
                    cv2.mixChannels([frames[n, rows][:, place]], planes, [0, 0, 1, 1, 2, 2])
            scratch.let_go()  # rows come into memory whole
        return torch.from_numpy(chw)[None].to(device)

    return crop


def _reflected(low: int, high: int, size: int) -> list[tuple[slice, np.ndarray | slice]]:
    """Where what lies from ``low`` to ``high`` is taken from: a slice, and places beside it that are listed.

    NumPy copies these number by number.
    """
    found: list[tuple[slice, np.ndarray | slice]] = []
    ends = [low, min(max(low, 0), high), max(min(high, size), min(max(low, 0), high)), high]
    for k, (begin, end) in enumerate(pairwise(ends)):
        if begin == end:
            continue
        place: np.ndarray | slice = slice(begin, end)
        if k != 1:
            listed = np.abs(np.arange(begin, end))
            place = np.where(listed < size, listed, 2 * (size - 1) - listed)
        found.append((slice(begin - low, end - low), place))
    return found


class Tiled:
    """A picture that is fused in tiles.

    Args:
        network: in evaluation mode; not changed.
        crop: its exposures, see :func:`crop_of`, with the network's border.
        times: (3,) or (1, 3) exposure times, ascending.
        size: height and width, pixels.
    """

    def __init__(self, network: APNTFusion, crop: Crop, times: Tensor, size: tuple[int, int]) -> None:
        self.network: APNTFusion = means.separate(network)  # type: ignore[assignment]
        self.config, self.stride = network.config, network.config.stride
        self.crop, self.size = crop, size
        self.picture, self.padded = padded(size, self.config)
        times = times.reshape(1, 3).float()
        self.times = times / times.amin()
        self.prepared = False
        self.encoded: EncodedPicture | None = None

    @property
    def inner(self) -> tuple[int, int]:
        """Height and width of what the network sees, in its own pixels."""
        return self.padded[0] // self.stride, self.padded[1] // self.stride

    @torch.no_grad()
    def prepare(self) -> float:
        """Look at a sample of windows, for the means of channel attention.

        Returns:
            Seconds a pixel that the network took, at full size.
        """
        windows = means.windows(self.padded, self.stride)
        seconds = []
        with means.seen(self.network) as found:
            for window in windows:
                start = time.perf_counter()
                self.network._forward(self.crop(window), self.times)
                seconds.append((time.perf_counter() - start) / window.area)
        means.give(self.network, found)
        self.prepared = True
        return float(np.median(seconds))

    @torch.no_grad()
    def whole(self) -> Part:
        """The picture as one tile, with maps: what :meth:`run` gives of one, sooner."""
        if not self.prepared:
            self.prepare()
        everything = Box(0, 0, *self.padded)
        radiance, maps = self.network._forward(self.crop(everything), self.times)
        return self._part(self.picture, everything, radiance, maps)

    @torch.no_grad()
    def run(
        self,
        side: int | tuple[int, int],
        match_side: int | tuple[int, int],
        *,
        maps: bool = False,
        most: tuple[int, int] | None = None,
        encode_rows: int | None = None,
    ) -> Iterator[Part]:
        """Fuse tile by tile, row after row.

        Args:
            side: the longest side of a tile, or its largest height and width, full-size pixels.
            match_side: of a tile of the match.
            maps: also give the maps.
            most: pixels of the network that are encoded, and matched, at once: where the matches of a tile
                lie so far away that it would be more, it is cut. None = any number.
            encode_rows: encode the whole picture, so many rows of full-size pixels at a time, before the
                first tile; None = of each tile what its matches ask for.
        """
        encoded, matched = most or (None, None)
        if not self.prepared:
            self.prepare()
        stride, block = self.stride, 4 * self.stride
        matches = None
        if self.config.transfer:
            high, wide = (match_side, match_side) if isinstance(match_side, int) else match_side
            matches = TiledMatches(
                self.network, self.crop, self.times, self.inner, (high // stride, wide // stride), matched
            )
        for core in tiled(self.picture, side, block):
            boxes = Boxes.around(core, self.config, self.padded)
            if matches is not None:
                matches.forget(boxes.highest // stride)
                matches.reach_down(boxes.lowest // stride)
            if encode_rows is not None and self.encoded is None:  # when the matches' own memory is free
                rows = encode_rows // stride
                self.encoded = EncodedPicture(self.network, self.crop, self.times, self.inner, rows)
            cut = fitting(core, block, partial(self._fits, matches, encoded))
            for k, own in enumerate(cut):
                part = self._tile(own, matches)
                part = part._replace(maps=part.maps if maps else {}, last=k == len(cut) - 1)
                yield part
                del part

    def _fits(self, matches: TiledMatches | None, most: int | None, core: Box) -> bool:
        """Whether no more than ``most`` is encoded for a tile."""
        if most is None:
            return True
        boxes = Boxes.around(core, self.config, self.padded)
        return self._source(boxes, self._offsets(boxes, matches)).area <= most

    def _tile(self, core: Box, matches: TiledMatches | None) -> Part:
        network, stride = self.network, self.stride
        boxes = Boxes.around(core, self.config, self.padded)
        fused = boxes.fused.at(stride)
        outer, decoded = self._decode(boxes, matches)
        seen = outer
        give_back()
        found: list[Match] = []
        aligned: list[Exposure] = []
        if matches is not None:
            for source in matches.sources:
                found.append(matches.get(source, fused))
            if self.config.aligned:
                aligned = [self._aligned(source, boxes, matches) for source in (SHORT, LONG)]
        give_back()
        radiance, maps = network._blend(seen, self.times, decoded, found, aligned)
        return self._part(core, boxes.fused, radiance, maps)

    def _part(self, core: Box, fused: Box, radiance: Tensor, maps: dict[str, list[Tensor]]) -> Part:
        """What of a tile is shown, of what was fused in a box around it."""
        own = self.own(core)
        return Part(
            self.shown(own),
            own.of(radiance, fused)[0].float().clamp(0, 1),
            {name: [self._own(name, k, m, own, fused) for k, m in enumerate(stack)]
             for name, stack in maps.items()},
        )  # fmt: skip

    def own(self, core: Box) -> Box:
        """What of a tile lies in the picture."""
        bottom, right = (self.config.border + side for side in self.size)
        return core._replace(bottom=min(core.bottom, bottom), right=min(core.right, right))

    def shown(self, own: Box) -> Box:
        """Where that lies, counted from the picture's corner."""
        return Box(*(end - self.config.border for end in own))

    def _own(self, name: str, k: int, value: Tensor, own: Box, fused: Box) -> Tensor:
        step = 1 if name == "error" else self.stride << (k if name in ("offset", "score") else 0)
        place = Box(own.top // step, own.left // step, -(-own.bottom // step), -(-own.right // step))
        return place.of(value, fused.at(step))

    def _offsets(self, boxes: Boxes, matches: TiledMatches | None) -> list[Tensor]:
        """To the short exposure, where features are decoded."""
        return [] if matches is None else matches.get(SHORT, boxes.decoded.at(self.stride)).offsets

    def _source(self, boxes: Boxes, offsets: list[Tensor]) -> Box:
        """What features come from: where they are decoded, and where their matches lie.

        With what is encoded for them where the whole picture is not.
        """
        decoded = source = boxes.decoded.at(self.stride)
        for k, offset in enumerate(offsets):
            source = source.joined(decoded.at(1 << k).moved(offset).times(1 << k))
        if offsets:
            source = source.grown(reach.swap(self.config), 4, self.inner)
        return encoded_from(source, self.inner) if self.encoded is None else source

    def _decode(self, boxes: Boxes, matches: TiledMatches | None) -> tuple[Seen, list[Tensor]]:
        """What is seen, and decoded, in the box of the fusion stream."""
        network, stride, config = self.network, self.stride, self.config
        decoded, fused = boxes.decoded.at(stride), boxes.fused.at(stride)
        offsets = self._offsets(boxes, matches)
        source = self._source(boxes, offsets)
        if self.encoded is None:
            looked = source
            seen = network._look(self.crop(looked.times(stride)), self.times)
            give_back()
            encoded = network._encode(seen)
        else:
            looked = fused.grown(reach.LOOK, 4, self.inner)
            seen = network._look(self.crop(looked.times(stride)), self.times, short=not config.aligned)
            encoded = self.encoded.of(source)
        seen = _cut(seen, fused, looked, stride, copy=self.encoded is None)
        give_back()
        if offsets:
            placed = [
                _placed(offset, decoded.at(1 << k), source.at(1 << k)) for k, offset in enumerate(offsets)
            ]
            encoded = swap(encoded, placed, config.patch_size)
        features = network.decoder(
            [decoded.at(1 << k).of(f, source.at(1 << k)) for k, f in enumerate(encoded)]
        )
        return seen, [fused.at(1 << k).of(f, decoded.at(1 << k)) for k, f in enumerate(features)]

    def _aligned(self, source: int, boxes: Boxes, matches: TiledMatches) -> Exposure:
        """An aligned exposure, in the box of the fusion stream."""
        stride, block = self.stride, 4 * self.stride
        wanted = boxes.aligned.at(stride)
        match = matches.get(source, wanted)
        by = reach.align(self.config)
        box = wanted.moved(match.offsets[0]).times(stride).grown(by, block, self.padded)
        inner = box.at(stride)
        match = Match(
            [_placed(match.offsets[0], wanted, inner)],
            [],
            None if match.fraction is None else _placed(match.fraction, wanted, inner),
        )
        seen = aligned_by(source, self.config)
        ldr = self.crop(box, seen)
        radiance = to_radiance(ldr, self.times[:, seen], self.config.gamma)
        exposures = {
            number: Exposure(ldr[:, k], radiance[:, k], mu_law(radiance[:, k]))
            for k, number in enumerate(seen)
        }
        moved = self.network._align_one(exposures, self.times, source, match)
        return Exposure(*(boxes.fused.of(x, box) for x in moved))


class Boxes(NamedTuple):
    """What is computed for a tile, full-size pixels.

    Attributes:
        fused: by the fusion stream.
        aligned: where offsets are needed to align exposures.
        decoded: by the decoder.
    """

    fused: Box
    aligned: Box
    decoded: Box

    @staticmethod
    def around(core: Box, config: APNTConfig, size: tuple[int, int]) -> Boxes:
        """Those of a tile of a picture of ``size``."""
        block = 4 * config.stride
        fused = core.grown(reach.blend(config) * config.stride, block, size)
        aligned = fused.grown(reach.align(config), block, size)
        decoded = fused.grown((reach.DECODER + 1) * config.stride, block, size)
        return Boxes(fused, aligned, decoded)

    @property
    def lowest(self) -> int:
        """The row above which everything that is matched lies."""
        return max(self.aligned.bottom, self.decoded.bottom)

    @property
    def highest(self) -> int:
        """The first row of what is matched."""
        return min(self.aligned.top, self.decoded.top)


def _cut(seen: Seen, box: Box, outer: Box, stride: int, copy: bool) -> Seen:
    """What lies in a box: views, or copies, so that the rest can go."""

    def inside(x: Tensor, step: int) -> Tensor:
        part = box.times(step).of(x, outer.times(step))
        return part.clone() if copy else part

    exposures = [Exposure(*(inside(x, stride) for x in exposure)) for exposure in seen.exposures]
    always = (inside(x, 1) for x in seen[1:4])
    short = (None if x is None else inside(x, 1) for x in seen[4:])
    return Seen(exposures, *always, *short)


def _placed(x: Tensor, box: Box, outer: Box) -> Tensor:
    """(N, C, h, w) of a box in an outer one, with zeros around."""
    out = x.new_zeros((*x.shape[:-2], outer.height, outer.width))
    box.of(out, outer).copy_(x)
    return out
