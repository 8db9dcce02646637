"""A smooth motion out of matches, also where nothing can be matched. Beyond the paper.

Matches are found pixel by pixel. Inside a saturated area only the surroundings tell where a pixel comes from,
and a third of the matches are off by more than a pixel there, each another way. A small network sees them all
at quarter size, with the features at both ends and the short exposure as it came, and takes of each pixel's
surroundings what fits. Where there is texture, and at the edges of what moves, matches are better.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apnt.nn.blocks import mean5x5, resize
from apnt.nn.convolution import as_convolved, join
from apnt.nn.matching import Match, neighbours, taken
from apnt.nn.rows import by_rows, takes_strips
from apnt.ops import window_match

AROUND = (1, 3, 6)
"""Distances of the eight neighbours whose motion a pixel may take; pixels of quarter size."""
ROUNDS = 2
"""How often it does."""
_DILATIONS = (1, 2, 4)
REACH = ROUNDS * (1 + sum(_DILATIONS) + max(AROUND))
"""How far it sees, pixels of quarter size."""
_FARTHEST = 2.0  # pixels of quarter size that a round may add to what it takes
_CHOICE = 1 + 2 + 1  # of its convolutions
CHOICE = 4 + 2 + _CHOICE
"""How far the choice sees beyond that, pixels: flow between pixels of quarter size, means."""
SLACK = int(ROUNDS * _FARTHEST)
"""How much farther than all matches around it a flow may lead, pixels of quarter size."""
_INSIDE = 0.999  # share of 5x5 pixels that are saturated: all, but for rounding
_UNIT = 4.0  # pixels of quarter size by which differences of motion are scaled; twice as large ones are cut
_SIMILAR = 8.0  # factor of unit features, whose numbers are small


class MatchFlow(nn.Module):
    """Optical flow from the medium exposure to the short one, from matches, and the choice between the two.

    In each round every pixel takes a mean of the motions of its surroundings and of its matches at all three
    scales, with weights that convolutions find, and a small correction. Means follow any motion, however far.
    At full size, where the edges are, each pixel inside a saturated area then takes its match or its flow.

    Args:
        features: channels of the matching features at quarter size.
        channels: of the convolutions.
    """

    def __init__(self, features: int = 64, channels: int = 48):
        super().__init__()
        half, hints = channels // 2, channels // 4
        self.target, self.difference = nn.Conv2d(features, half, 1), nn.Conv2d(features, half, 1)
        self.still = nn.Conv2d(half + 12, channels, 3, padding=1)
        self.moved = nn.Conv2d(half + 11 + 16 * len(AROUND), channels, 3, padding=1)
        self.context = nn.ModuleList(
            [nn.Conv2d(channels, channels, 3, padding=by, dilation=by) for by in _DILATIONS]
        )
        self.choices = 4 + 8 * len(AROUND)
        self.head = nn.Conv2d(channels, self.choices + 2, 1)
        self.hint = nn.Conv2d(channels, hints, 1)
        self.choice = nn.Sequential(
            nn.Conv2d(16 + hints, half, 3, padding=1), nn.ReLU(),
            nn.Conv2d(half, 16, 3, padding=2, dilation=2), nn.ReLU(),
            nn.Conv2d(16, 1, 3, padding=1),
        )  # fmt: skip
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)
        self.head.bias.data[0] = 3.0  # at first a pixel keeps most of its own

    def forward(
        self,
        source: list[Tensor],
        target: list[Tensor],
        match: Match,
        short: Tensor,
        medium: Tensor,
        **options: Any,
    ) -> Match:
        """The match with the flow in its stead where that is chosen, at all three scales, and its fractions.

        Args:
            source, target: matching features of the short and of the medium exposure, (N, C_l, H_l, W_l).
            match: of all three scales.
            short: (N, 3, H, W) the short exposure as it came, after the mu-law.
            medium: (N, 3, H, W) the medium one as it was matched: 1 is where it saturates.
            options: of :func:`apnt.ops.window_match`.
        """
        # Beside what is not saturated matches are exact, and a flow of quarter size is not.
        inside = saturated_around(medium) > _INSIDE
        if takes_strips(short) and not inside.any():
            return match._replace(fraction=torch.zeros_like(match.offsets[0], dtype=torch.float32))
        flows, hints = self.draw(source[2], target[2], match, short, medium)
        moved, logits, score = self.choose(
            source[0], target[0], match, flows[-1], hints, short, medium, **options
        )
        chosen = ((logits > 0) & inside).float()
        offsets, scores = [], []
        for level, (offset, old) in enumerate(zip(match.offsets, match.scores, strict=True)):
            size = 2**level
            here = chosen if level == 0 else F.avg_pool2d(chosen, size) >= 0.5
            new = (moved if level == 0 else F.avg_pool2d(moved, size) / size).round().to(torch.int32)
            offset = torch.where(here > 0, new, offset)
            if level > 0:
                _, score = window_match(source[level], target[level], offset, radius=0, **options)
            offsets.append(offset)
            scores.append(torch.where(here[:, 0] > 0, score, old))
        fraction = (moved - moved.round()) * chosen
        return match._replace(offsets=offsets, scores=scores, fraction=fraction)

    def draw(
        self, source: Tensor, target: Tensor, match: Match, short: Tensor, medium: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """The flow after each round, and what is known of it.

        Args:
            source, target: features at quarter size, (N, C, H / 4, W / 4).
            match, short, medium: as above.

        Returns:
            (N, 2, H / 4, W / 4) float32 (dy, dx) of each round, in pixels of quarter size, and hints for
            :meth:`choose`, (N, C, H / 4, W / 4).
        """
        source, target = (F.normalize(f.float(), dim=1) for f in (source, target))
        finest, finer, coarsest = match.offsets
        # The pixel after the middle of its 4x4, as training reads known motion.
        own = _sampled(finest, 4).float() / 4, F.avg_pool2d(finer.float(), 2) / 2, coarsest.float()
        scores = [
            F.avg_pool2d(score[:, None].float(), size) if size > 1 else score[:, None].float()
            for score, size in zip(match.scores, (4, 2, 1), strict=True)
        ]
        shown = _shown(short)
        still = [target, shown, _shown(medium), *scores, F.avg_pool2d(_saturated(medium), 4)]
        base = by_rows(self._still, still, 1, self.still.out_channels)
        flow, flows, x = own[0], [], base
        for _ in range(ROUNDS):
            found, seen = (taken(f, flow.detach().round()) for f in (source, shown))
            around = [motion for by in AROUND for motion in _around(flow, by)]
            terms = [base, target, found, seen, flow, *around, *own]
            x = by_rows(self._moved, terms, 1, self.moved.out_channels)
            del found, seen, terms
            for convolution in self.context:
                x = x + convolution(F.relu(x))
            x = F.relu(x)
            flow = by_rows(self._followed, [x, flow, *own, *around], 0, 2)
            flows.append(flow)
        return flows, self.hint(x)

    def _still(self, target: Tensor, *terms: Tensor) -> Tensor:
        """What no round changes."""
        features: Tensor = self.still(join([self.target(target * _SIMILAR), *terms]))
        return features

    def _moved(
        self, base: Tensor, target: Tensor, found: Tensor, seen: Tensor, flow: Tensor, *motions: Tensor
    ) -> Tensor:
        """What a round sees: features where the flow leads, and motions that differ from it."""
        terms = [
            self.difference((found - target) * _SIMILAR),
            (found * target).sum(dim=1, keepdim=True),
            seen,
        ]
        terms += [((motion - flow) / _UNIT).clamp(-2, 2) for motion in motions]
        features: Tensor = base + self.moved(join(terms))
        return features

    def _followed(self, x: Tensor, *choices: Tensor) -> Tensor:
        """The mean of motions (N, 2, h, w) that features (N, C, h, w) choose, and a correction."""
        head = self.head(x).float()
        shares = head[:, : self.choices].softmax(dim=1)
        correction = _FARTHEST * torch.tanh(head[:, self.choices :] / 4)
        return sum((shares[:, k, None] * choice for k, choice in enumerate(choices)), correction)

    def choose(
        self,
        source: Tensor,
        target: Tensor,
        match: Match,
        flow: Tensor,
        hints: Tensor,
        short: Tensor,
        medium: Tensor,
        **options: Any,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The flow at full size, and whether a pixel takes it where it lies inside a saturated area.

        Args:
            source, target: features at full size, (N, C, H, W).
            match, short, medium, options: as above.
            flow, hints: from :meth:`draw`.

        Returns:
            (N, 2, H, W) float32, pixels; (N, 1, H, W) logits; and the scores (N, H, W) of the rounded flow.
        """
        size = short.shape[-2:]
        moved = upsampled(flow, size)
        tried = moved.detach().round().to(torch.int32)
        _, score = window_match(source, target, tried, radius=0, **options)
        if takes_strips(short):  # half of the bytes to move, and rounded once all the same
            short, hints = as_convolved(short), as_convolved(hints)
        else:
            hints = hints.float()
        terms = [moved, match.offsets[0], match.scores[0][:, None], score[:, None], medium]
        terms += [saturated_around(medium), taken(short, match.offsets[0]), taken(short, tried)]
        return moved, by_rows(self._choice, [*terms, resize(hints, size)], _CHOICE, 1), score

    def _choice(
        self,
        moved: Tensor,
        own: Tensor,
        score: Tensor,
        other: Tensor,
        medium: Tensor,
        around: Tensor,
        *seen: Tensor,
    ) -> Tensor:
        """Logits of some rows.

        Args:
            moved, own: (N, 2, H, W) motion of the flow and of the match, pixels.
            score, other: (N, 1, H, W) of the match and of the flow.
            medium: the medium exposure, and ``around`` of what share of 5x5 pixels it is saturated.
            seen: the short exposure where the match and where the flow leads, and hints.
        """
        if takes_strips(around) and not (around > _INSIDE).any():
            return torch.zeros_like(around)  # nobody asks
        apart = moved - own
        terms = [(apart / 4).clamp(-2, 2), apart.norm(dim=1, keepdim=True).clamp(max=16) / 8]
        terms += [score.float(), other.float(), _saturated(medium), around, *seen[:2], medium, seen[2]]
        logits: Tensor = self.choice(join(terms))
        return logits


def saturated_around(medium: Tensor) -> Tensor:
    """(N, 3, H, W) to (N, 1, H, W): the share of 5x5 pixels that are saturated."""
    return mean5x5(_saturated(medium))


def _saturated(medium: Tensor) -> Tensor:
    """(N, 1, H, W) of 0 and 1."""
    return (medium.amax(dim=1, keepdim=True) >= 1).float()


def upsampled(flow: Tensor, size: tuple[int, ...]) -> Tensor:
    """Flow of quarter size (N, 2, h, w) in the pixels of a picture of ``size``, bilinear."""
    factor = size[0] // flow.shape[-2]
    return resize(flow, size) * factor


def _shown(picture: Tensor) -> Tensor:
    """(N, 3, H, W) to (N, 4, H / 4, W / 4): means of 4x4 pixels and four times their deviation in gray."""
    gray = picture.mean(dim=1, keepdim=True)
    variance = F.avg_pool2d(gray.square(), 4) - F.avg_pool2d(gray, 4).square()
    return torch.cat([F.avg_pool2d(picture, 4), 4 * (variance.clamp_min(0) + 1e-6).sqrt()], dim=1)


def _around(x: Tensor, by: int) -> list[Tensor]:
    """Of each pixel the eight at a distance, along both axes; the border's are continued."""
    rows = [neighbours(x, 2, -by), x, neighbours(x, 2, by)]
    moved = [row if to == 0 else neighbours(row, 3, to) for row in rows for to in (-by, 0, by)]
    return moved[:4] + moved[5:]


def _sampled(x: Tensor, step: int) -> Tensor:
    """(N, C, H, W), of each block the pixel after its middle."""
    for dim in (2, 3):
        x = x.index_select(dim, torch.arange(x.shape[dim] // step, device=x.device) * step + step // 2)
    return x
