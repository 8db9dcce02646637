"""Memory that the network takes for a tile: the largest of its parts, which come one after the other."""

from __future__ import annotations

from typing import NamedTuple

from apnt.nn import reach
from apnt.nn.boxes import Box
from apnt.nn.config import APNTConfig
from apnt.nn.tiled import Boxes
from apnt.nn.tiled_encode import encoded_from

# Bytes a pixel of the network: feature maps (each has the network's first channels, in the type that is
# computed in), and bytes for pictures, which stay float32. Measured by `benchmarks/tile_memory.py` for the
# packaged weights in bfloat16 and in float32, whose convolutions take other ways; a flow adds nothing.
_MATCH = {"learned": (4.75, 10), "vgg19": (33.0, 176), "encoder": (23.0, 286)}
_ENCODE = {2: (12.9, 240), 4: (12.1, 245)}
_BLEND = {2: (18.1, 390), 4: (18.3, 378)}
ONCE = 120 << 20
"""Bytes of a tile of any size: pages of 2 MB that arrays do not fill, and what first calls leave behind."""


class TileMemory(NamedTuple):
    """What is taken for tiles of a picture, beside the picture.

    Attributes:
        config: of the network.
        size: height and width of what the network sees of the picture, full-size pixels.
        item: bytes of a number in the network's features: 4, or 2 in half precision.
    """

    config: APNTConfig
    size: tuple[int, int]
    item: int

    @property
    def inner(self) -> tuple[int, int]:
        """Height and width in pixels of the network."""
        return self.size[0] // self.config.stride, self.size[1] // self.config.stride

    def whole(self) -> int:
        """Bytes of a picture that is not cut."""
        return int(self.inner[0] * self.inner[1] * self.blend + ONCE)

    def tile(self, core: Box, match: Box, encode: Box | None = None) -> int:
        """Bytes of a tile, and of what is matched at once, at the longest usual offsets.

        Args:
            core: the tile.
            match: what is matched at once.
            encode: what is encoded at once, where the whole picture is before the first tile.
        """
        matched = self.matched(match).area * self.match
        encoded = self.encoded(core, self._farthest).area * self.encode
        blended = Boxes.around(core, self.config, self.size).fused.area / self.config.stride**2 * self.blend
        work = max(matched, encoded, blended)
        if encode is not None:
            banded = self.encoded_whole(encode).area * self.encode
            work = max(matched, self.kept + max(banded, encoded, blended))
            if match.height < self.size[0]:  # else all matches are made before
                work = max(work, self.kept + matched)
        return int(max(self.halves + matched, self._bands(core, match) + work) + ONCE)

    def most(self, core: Box, match: Box, room: int, kept: bool = False) -> tuple[int, int]:
        """Pixels of the network that are encoded, and matched, at once in so many bytes.

        Args:
            core, match: see :meth:`tile`.
            room: bytes.
            kept: whether the features of the whole picture lie there.
        """
        bands, room = self._bands(core, match), room - ONCE
        encoding = room - (self.kept if kept else 0)
        matching = encoding if match.height < self.size[0] else room  # else all matches are made before
        return int((encoding - bands) / self.encode), int((matching - max(bands, self.halves)) / self.match)

    def matched(self, core: Box) -> Box:
        """Where the match of a box looks, pixels of the network."""
        by = reach.matching_features(self.config) + 2 * reach.search(self.config, began=False)
        by += reach.neighbours(self.config)
        return core.at(self.config.stride).grown(by, 4, self.inner)

    def encoded(self, core: Box, offset: int) -> Box:
        """Where a tile's features come from, pixels of the network, with offsets of up to so many."""
        decoded = Boxes.around(core, self.config, self.size).decoded.at(self.config.stride)
        return decoded.grown(reach.ENCODER + reach.LOOK + offset, 4, self.inner)

    def encoded_whole(self, band: Box) -> Box:
        """What is encoded for a band of the whole picture's features, pixels of the network."""
        return encoded_from(band.at(self.config.stride), self.inner)

    @property
    def kept(self) -> float:
        """Bytes of the whole picture's features."""
        height, width = self.inner
        return height * width * self.item * sum(c / 4**k for k, c in enumerate(self.config.channels))

    @property
    def _farthest(self) -> int:
        """The longest usual offset, with its patch."""
        if not self.config.transfer:
            return 0
        return reach.swap(self.config) + reach.search(self.config, began=False)

    @property
    def match(self) -> float:
        """Bytes of a match, for each pixel of the network that is matched."""
        return self._of(_MATCH[self.config.match_features])

    @property
    def encode(self) -> float:
        """Bytes of the encoder and what is before it, for each pixel that is encoded."""
        return self._of(_ENCODE[self.item])

    @property
    def blend(self) -> float:
        """Bytes of the fusion stream and what is given to it, for each pixel that it sees."""
        return self._of(_BLEND[self.item])

    def _of(self, part: tuple[float, int]) -> float:
        """Bytes a pixel of the network."""
        maps, pictures = part
        return maps * self.config.channels[0] * self.item + pictures * self.config.stride**2

    def _bands(self, core: Box, match: Box) -> float:
        """Bytes of matches that a row of tiles needs: as many rows as it sees, and what is matched at once.

        With them lies where their search began, as 16 bits at quarter size.
        """
        if not self.config.transfer:
            return 0
        boxes = Boxes.around(core, self.config, self.size)
        height, width = self.inner
        rows = min((boxes.lowest - boxes.highest + match.height) // self.config.stride, height)
        # Offsets of 16 bits and scores at three scales; with a switch, fractions or distances beside them.
        pixel = (2 * 2 + self.item) * (1 + 1 / 4 + 1 / 16)
        pixel += 2 * self.item * self.config.subpixel + self.item / 4 * self.config.consistency
        begins = 2 * 2 * height * width / 4**2 * (1 + self.config.consistency) if self.halves else 0
        return (rows * width * pixel + begins) * (2 if self.config.aligned else 1)

    @property
    def halves(self) -> float:
        """Bytes of the smaller pictures that are searched before the first tile, and then let go."""
        height, width = self.inner
        if not self.config.reach or max(height, width) <= self.config.reach:
            return 0
        # Three exposures of three colours in float32, two of them halved again and again; offsets.
        return height * width / 4 * (4 * (3 * 3 + 2 * 3 / 3) + 4 * 2)
