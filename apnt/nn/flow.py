"""A smooth motion out of matches, also where nothing can be matched. Beyond the paper.

Matches are found pixel by pixel. Inside a saturated area only the surroundings tell where a pixel comes from,
and a third of the matches are off by more than a pixel there, each another way. A small network sees them all
at quarter size, with the features at both ends and the short exposure as it came, and takes of each pixel's
surroundings what fits.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apnt.nn.blocks import resize
from apnt.nn.matching import Match, neighbours

AROUND = (1, 3, 6)
"""Distances of the eight neighbours whose motion a pixel may take; pixels of quarter size."""
ROUNDS = 2
"""How often it does."""
_DILATIONS = (1, 2, 4)
REACH = ROUNDS * (1 + sum(_DILATIONS) + max(AROUND))
"""How far it sees, pixels of quarter size."""
_FARTHEST = 2.0  # pixels of quarter size that a round may add to what it takes
SLACK = int(ROUNDS * _FARTHEST)
"""How much farther than all matches around it a flow may lead, pixels of quarter size."""
_UNIT = 4.0  # pixels of quarter size by which differences of motion are scaled; twice as large ones are cut
_SIMILAR = 8.0  # factor of unit features, whose numbers are small


class MatchFlow(nn.Module):
    """Optical flow from the medium exposure to the short one, from matches.

    In each round every pixel takes a mean of the motions of its surroundings and of its matches at all three
    scales, with weights that convolutions find, and a small correction. Means follow any motion, however far.

    Args:
        features: channels of the matching features at quarter size.
        channels: of the convolutions.
    """

    def __init__(self, features: int = 64, channels: int = 48):
        super().__init__()
        half = channels // 2
        self.target, self.difference = nn.Conv2d(features, half, 1), nn.Conv2d(features, half, 1)
        self.still = nn.Conv2d(half + 12, channels, 3, padding=1)
        self.moved = nn.Conv2d(half + 11 + 16 * len(AROUND), channels, 3, padding=1)
        self.context = nn.ModuleList(
            [nn.Conv2d(channels, channels, 3, padding=by, dilation=by) for by in _DILATIONS]
        )
        self.choices = 4 + 8 * len(AROUND)
        self.head = nn.Conv2d(channels, self.choices + 2, 1)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)
        self.head.bias.data[0] = 3.0  # at first a pixel keeps most of its own

    def forward(
        self, source: Tensor, target: Tensor, match: Match, short: Tensor, medium: Tensor
    ) -> list[Tensor]:
        """The flow after each round.

        Args:
            source, target: matching features at quarter size, (N, C, H / 4, W / 4).
            match: of all three scales.
            short: (N, 3, H, W) the short exposure as it came, after the mu-law.
            medium: (N, 3, H, W) the medium one as it was matched: 1 is where it saturates.

        Returns:
            (N, 2, H / 4, W / 4) float32 (dy, dx) each, in pixels of quarter size.
        """
        source, target = (F.normalize(f.float(), dim=1) for f in (source, target))
        finest, finer, coarsest = (offsets.float() for offsets in match.offsets)
        # The pixel after the middle of its 4x4, as training reads known motion.
        own = _sampled(finest, 4) / 4, F.avg_pool2d(finer, 2) / 2, coarsest
        scores = [
            F.avg_pool2d(score[:, None].float(), size) if size > 1 else score[:, None].float()
            for score, size in zip(match.scores, (4, 2, 1), strict=True)
        ]
        saturated = F.avg_pool2d((medium.amax(dim=1, keepdim=True) >= 1).float(), 4)
        shown = _shown(short)
        still = [self.target(target * _SIMILAR), shown, _shown(medium), *scores, saturated]
        base = self.still(torch.cat(still, dim=1))
        flow, flows = own[0], []
        for _ in range(ROUNDS):
            there = _taken(torch.cat([source, shown], dim=1), flow.detach())
            found, seen = there[:, : source.shape[1]], there[:, source.shape[1] :]
            around = [motion for by in AROUND for motion in _around(flow, by)]
            terms = [self.difference((found - target) * _SIMILAR)]
            terms += [(found * target).sum(dim=1, keepdim=True), seen]
            terms += [((motion - flow) / _UNIT).clamp(-2, 2) for motion in (*around, *own)]
            x = base + self.moved(torch.cat(terms, dim=1))
            for convolution in self.context:
                x = x + convolution(F.relu(x))
            head = self.head(F.relu(x)).float()
            shares = head[:, : self.choices].softmax(dim=1)
            correction = _FARTHEST * torch.tanh(head[:, self.choices :] / 4)
            choices = [flow, *own, *around]
            flow = sum((shares[:, k, None] * choice for k, choice in enumerate(choices)), correction)
            flows.append(flow)
        return flows


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


def _taken(x: Tensor, flow: Tensor) -> Tensor:
    """(N, C, h, w) at the nearest pixels to which the flow (N, 2, h, w) leads, in the picture."""
    height, width = x.shape[-2:]
    whole = flow.round()
    rows = (torch.arange(height, device=x.device)[:, None] + whole[:, 0]).clamp(0, height - 1).long()
    columns = (torch.arange(width, device=x.device) + whole[:, 1]).clamp(0, width - 1).long()
    place = (rows * width + columns).flatten(1)[:, None].expand(-1, x.shape[1], -1)
    return x.flatten(2).gather(2, place).unflatten(2, (height, width))
