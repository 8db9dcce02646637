"""The matches of a large picture: from its smaller versions down, in tiles, row after row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from apnt.memory import give_back
from apnt.nn import reach
from apnt.nn.apnt import APNTFusion
from apnt.nn.blocks import averaged
from apnt.nn.boxes import Box, cuts, fitting, tiled, whole
from apnt.nn.config import APNTConfig
from apnt.nn.domains import LONG, MEDIUM, SHORT, to_radiance
from apnt.nn.halving import halved
from apnt.nn.inputs import padded_side
from apnt.nn.matching import Match

EXPOSURES = SHORT, MEDIUM, LONG


class Crop(Protocol):
    """How exposures are read."""

    def __call__(self, box: Box, exposures: Sequence[int] = EXPOSURES) -> Tensor:
        """(1, K, 3, h, w) float32 of K exposures in a box, full-size pixels."""


@dataclass
class _Band:
    """Rows ``top`` to ``bottom`` of a match, all columns, pixels of the network; offsets small."""

    top: int
    bottom: int
    match: Match

    def place(self, width: int) -> Box:
        """Where it lies."""
        return Box(self.top, 0, self.bottom, width)

    def below(self, top: int, width: int) -> _Band:
        """Without the rows above ``top``, which are let go."""
        if top <= self.top:
            return self
        rest = Box(top, 0, self.bottom, width)
        kept = _empty(self.match, rest)
        for out, value, _ in _pairs(kept, _parts(self.match, rest, self.place(width))):
            out.copy_(value)
        return _Band(top, self.bottom, kept)


class TiledMatches:
    """Matches with the short and the long exposure, made as far down as they are asked for.

    Args:
        network: in evaluation mode.
        crop: the exposures.
        times: (1, 3) relative.
        size: height and width in pixels of the network, whole blocks of 4.
        side: the largest height and width of a tile, pixels of the network.
        most: pixels of the network that are matched at once, where tiles can be as small; None = any number.
    """

    def __init__(
        self,
        network: APNTFusion,
        crop: Crop,
        times: Tensor,
        size: tuple[int, int],
        side: tuple[int, int],
        most: int | None = None,
    ) -> None:
        self.most = most
        self.network, self.crop, self.times, self.size, self.side = network, crop, times, size, side
        self.config = network.config
        # Offsets reach no farther than the picture.
        self.small = torch.int16 if max(size) < 1 << 14 else torch.int32
        # The fusion stream takes bfloat16 under autocast.
        rounded = torch.is_autocast_enabled(times.device.type)
        self.score = torch.bfloat16 if rounded else torch.float32
        self.fraction = torch.float16 if rounded else torch.float32
        self.sources = (SHORT, LONG) if self.config.aligned else (SHORT,)
        self.bands: dict[int, list[_Band]] = {source: [] for source in self.sources}
        self.rows = cuts(0, size[0], side[0], 4)
        halves = self._halves() if self._far else None
        self.centers = {source: self._begin(source, halves) for source in self.sources}

    def get(self, source: int, box: Box) -> Match:
        """The match in a box of the network's pixels; :meth:`reach_down` has gone past its bottom."""

        rows = [
            (band, Box(max(box.top, band.top), box.left, min(box.bottom, band.bottom), box.right))
            for band in self.bands[source]
            if max(box.top, band.top) < min(box.bottom, band.bottom)
        ]
        pieces = [_parts(band.match, place, band.place(self.size[1])) for band, place in rows]
        return Match(
            [torch.cat([piece.offsets[k] for piece in pieces], dim=-2).int() for k in range(3)],
            [torch.cat([piece.scores[k] for piece in pieces], dim=-2).float() for k in range(3)],
            _joined([piece.fraction for piece in pieces]),
            _joined([piece.distance for piece in pieces]),
        )

    def reach_down(self, bottom: int) -> None:
        """Match all rows above ``bottom``."""
        while self.rows and self.rows[0][0] < bottom:
            top, end = self.rows.pop(0)
            for source in self.sources:
                self.bands[source].append(self._band(source, top, end))

    def forget(self, top: int) -> None:
        """Let go of the rows above ``top``."""
        for source in self.sources:
            self.bands[source] = [
                band.below(top // 4 * 4, self.size[1]) for band in self.bands[source] if band.bottom > top
            ]

    def _band(self, source: int, top: int, bottom: int) -> _Band:
        row = Box(top, 0, bottom, self.size[1])
        parts: Match | None = None
        fits = partial(self._fits, *self.centers[source], self.size)
        for core in (part for tile in tiled(row, self.side, 4) for part in fitting(tile, 4, fits)):
            found = self._tile(source, core)
            give_back()
            if parts is None:
                parts = _empty(found, row)
            for out, value, step in _pairs(parts, found):
                core._replace(top=core.top - top, bottom=core.bottom - top).at(step).of(out).copy_(value)
        assert parts is not None
        return _Band(top, bottom, parts)

    def _fits(self, there: Tensor | None, back: Tensor | None, size: tuple[int, int], core: Box) -> bool:
        """Whether no more is matched at once for a tile of a picture of ``size`` than may be."""
        return self.most is None or _around(self.config, core, there, back, size).area <= self.most

    def _tile(self, source: int, core: Box) -> Match:
        """The match in a box, with small numbers."""
        network, stride = self.network, self.config.stride
        center, back = self.centers[source]
        box = _around(self.config, core, center, back, self.size)
        begin, end = (None if c is None else box.at(4).of(c).int() for c in (center, back))
        if self.config.match_features == "encoder":
            seen = network._look(self.crop(box.times(stride)), self.times)
            found = network._match_around(network._encoded(seen, source), begin, end)
        else:
            level = network._masked_at(self.times, source)
            pictures = self._pictures([source, MEDIUM], box)
            pyramids = network._pictured(pictures, level)
            found = network._match_around(pyramids, begin, end)
            if source == SHORT:
                found = network._with_flow(found, pyramids, pictures, level)
        found = _parts(found, core, box)
        return Match(
            [x.to(self.small) for x in found.offsets],
            [x.to(self.score) for x in found.scores],
            None if found.fraction is None else found.fraction.to(self.fraction),
            None if found.distance is None else found.distance.to(self.fraction),
        )

    def _pictures(self, exposures: list[int], box: Box) -> list[Tensor]:
        """(1, 3, h, w) radiance of each of these exposures in a box, pixels of the network."""
        ldr = self.crop(box.times(self.config.stride), exposures)
        radiance = to_radiance(ldr, self.times[:, exposures], self.config.gamma)
        return [averaged(picture, self.config.stride) for picture in radiance.unbind(1)]

    def _begin(self, source: int, halves: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """What :meth:`APNTFusion._search_smaller` finds, of pictures that are never held at full size."""
        if halves is None:
            return None, None
        level = self.network._masked_at(self.times, source)
        return self._quarter(self._search([halves[:, k] for k in (source, MEDIUM)], level), self.size)

    @property
    def _far(self) -> bool:
        """Whether smaller pictures are searched first."""
        return bool(self.config.reach) and max(self.size) > self.config.reach

    def _halves(self) -> Tensor:
        """(1, 3, 3, H / 2, W / 2) radiance of the exposures, padded to whole blocks."""
        height, width = self.size
        end = height // 2
        halves = self.times.new_empty((1, 3, 3, *(padded_side(side // 2, 4, 0) for side in self.size)))
        for top, bottom in cuts(0, height, max(4, (1 << 20) // width), 4):
            for k, rows in enumerate(self._pictures(list(EXPOSURES), Box(top, 0, bottom, width))):
                half = averaged(rows, 2)
                halves[:, k, :, top // 2 : bottom // 2] = F.pad(
                    half, (0, halves.shape[-1] - width // 2, 0, 0), mode="reflect"
                )
        missing = halves.shape[-2] - end  # as `pad` makes them, without a second copy of it all
        halves[..., end:, :] = halves[..., end - 1 - missing : end - 1, :].flip(-2)
        return halves

    def _search(self, halves: list[Tensor], level: Tensor) -> tuple[Tensor, Tensor | None]:
        """Offsets at half the size of these pictures, there and back, small."""
        height, width = size = (halves[0].shape[-2], halves[0].shape[-1])
        there: Tensor | None = None
        back: Tensor | None = None
        if max(size) > self.config.reach:
            smaller = [halved(picture) for picture in halves]
            there, back = self._quarter(self._search(smaller, level), size)
        found = [halves[0].new_empty((1, 2, height // 2, width // 2), dtype=self.small) for _ in range(2)]
        fits = partial(self._fits, there, back, size)
        for core in (part for tile in tiled(whole(size), self.side, 4) for part in fitting(tile, 4, fits)):
            box = _around(self.config, core, there, back, size)
            begin, end = (None if c is None else box.at(4).of(c).int() for c in (there, back))
            parts = self.network._search_around([box.of(picture) for picture in halves], level, begin, end)
            for out, part in zip(found, parts, strict=True):
                if part is not None:
                    core.at(2).of(out).copy_(core.at(2).of(part, box.at(2)))
        return found[0], found[1] if self.config.consistency else None

    @staticmethod
    def _quarter(
        found: tuple[Tensor, Tensor | None], size: tuple[int, int]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Of the picture above, without the rows that were padded."""
        rows, columns = -(-size[0] // 4), -(-size[1] // 4)
        there, back = found
        return there[..., :rows, :columns], None if back is None else back[..., :rows, :columns]


def _around(
    config: APNTConfig, core: Box, there: Tensor | None, back: Tensor | None, size: tuple[int, int]
) -> Box:
    """What the match of a box depends on, in the pixels of its picture.

    Args:
        config: of the network.
        core: the box.
        there, back: (1, 2, H / 4, W / 4), where the search begins; or None.
        size: height and width of the picture.
    """
    by = reach.search(config, began=there is not None)
    box = core = core.grown(reach.neighbours(config), 4, size)
    if there is not None:
        box = core.at(4).moved(core.at(4).of(there)).times(4).joined(core).grown(by, 4, size)
    elif config.consistency:
        box = core.grown(by, 4, size)
    if back is not None:
        box = box.at(4).moved(box.at(4).of(back)).times(4).joined(box)
    return box.grown(by + reach.matching_features(config), 4, size)


def _parts(match: Match, box: Box, outer: Box) -> Match:
    """What lies in a box, of the match of an outer one."""

    def cut(x: Tensor, step: int) -> Tensor:
        return x if not x.shape[-2] else box.at(step).of(x, outer.at(step))

    return Match(
        [cut(x, 1 << k) for k, x in enumerate(match.offsets)],
        [cut(x, 1 << k) for k, x in enumerate(match.scores)],
        None if match.fraction is None else cut(match.fraction, 1),
        None if match.distance is None else cut(match.distance, 2),
    )


def _joined(parts: list[Tensor | None]) -> Tensor | None:
    """Rows of several bands, as float32."""
    # Before they are joined: autocast to bfloat16 cannot join float16.
    whole = [part.float() for part in parts if part is not None]
    return torch.cat(whole, dim=-2) if whole else None


def _empty(like: Match, row: Box) -> Match:
    """A match of all columns of a row, in the types of one of its tiles."""

    def made(x: Tensor, step: int) -> Tensor:
        if not x.shape[-1]:  # a level below the finest that is matched
            return x
        return x.new_empty((*x.shape[:-2], row.height // step, row.width // step))

    return Match(
        [made(x, 1 << k) for k, x in enumerate(like.offsets)],
        [made(x, 1 << k) for k, x in enumerate(like.scores)],
        None if like.fraction is None else made(like.fraction, 1),
        None if like.distance is None else made(like.distance, 2),
    )


def _pairs(first: Match, second: Match) -> list[tuple[Tensor, Tensor, int]]:
    """The same tensors of two matches, each with the pixels that one of its own stands for."""
    pairs = [(a, b, 1 << k) for k, (a, b) in enumerate(zip(first.offsets, second.offsets, strict=True))]
    pairs += [(a, b, 1 << k) for k, (a, b) in enumerate(zip(first.scores, second.scores, strict=True))]
    for a, b, step in ((first.fraction, second.fraction, 1), (first.distance, second.distance, 2)):
        if a is not None and b is not None:
            pairs.append((a, b, step))
    return pairs
