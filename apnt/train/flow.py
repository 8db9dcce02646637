"""The loss of :class:`apnt.nn.flow.MatchFlow`, on brackets whose motion is known."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from apnt.nn.subpixel import resample

_FARTHEST = 6.0  # pixels: an error counts up to this, and a fiftieth of what is beyond
_ELSEWHERE = 0.1  # weight of what is not saturated, where matches are right
_PICTURES, _CHOSEN = 20.0, 60.0  # weights of the moved picture's error beside that of the motion, in pixels
_QUADRATIC = 0.03  # errors of the moved picture are squared below this, about


def flow_loss(
    flows: list[Tensor],
    moved: Tensor,
    logits: Tensor,
    matched: Tensor,
    motion: Tensor,
    visible: Tensor,
    saturated: Tensor,
    short: Tensor,
) -> tuple[Tensor, Tensor]:
    """Errors of the flow, of what it moves and of the choice, and how often the flow is right.

    The error of the picture that the flow moves counts once as it is, and once where it is smaller than that
    of the match: elsewhere it is not chosen. The choice counts by the error of what it takes.

    Args:
        flows: of each round, (N, 2, H / 4, W / 4), pixels of that size.
        moved: (N, 2, H, W) the last of them at full size, pixels.
        logits: (N, 1, H, W) of the choice between it and the match.
        matched: (N, 2, H, W) the finest matches.
        motion: (N, 2, H, W) true (dy, dx) from the medium to the short exposure, pixels.
        visible: (N, H, W) bool: it leads to what the medium exposure shows.
        saturated: (N, H, W) bool, of the medium exposure.
        short: (N, 3, H, W) what is moved, after the mu-law.

    Returns:
        Scalars: the loss, and the share of saturated pixels whose flow is right within 0.6 pixels.
    """
    weight = visible * (_ELSEWHERE + saturated.float())
    coarse = F.avg_pool2d(motion, 4)
    known = F.avg_pool2d(visible[:, None].float(), 4)[:, 0] == 1
    coarse_weight = known * (_ELSEWHERE + F.avg_pool2d(saturated[:, None].float(), 4)[:, 0])
    loss = motion.new_zeros(())
    for flow, counts in zip(flows, (*(0.25,) * (len(flows) - 1), 0.5), strict=True):
        loss = loss + counts * _mean(_distance(4 * flow, coarse), coarse_weight)
    far, far_other = (_distance(offset, motion) for offset in (moved, matched.float()))
    loss = loss + 0.5 * _mean(far, weight)
    ideal = resample(short, motion)
    error, other = (_difference(resample(short, offset), ideal) for offset in (moved, matched.float()))
    around, around_other = (F.avg_pool2d(x[:, None], 5, 1, 2)[:, 0] for x in (error, other))
    loss = loss + _PICTURES * _mean((error + torch.minimum(around, around_other)) / 2, weight)
    share = torch.sigmoid(logits[:, 0].float())
    # In flat places pictures do not tell which is better: the motion does.
    gain = error.detach() - other + 0.01 * (far.detach() - far_other)
    loss = loss + _CHOSEN * _mean(share * gain, weight)
    with torch.no_grad():
        judged = visible & saturated
        right = ((moved - motion).abs().amax(dim=1) <= 0.6) & judged
    return loss, right.sum() / judged.sum().clamp(min=1)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """(N, H, W) between vectors (N, 2, H, W); almost no more than it may count."""
    distance = ((a - b).square().sum(dim=1) + 0.01).sqrt()
    return torch.where(distance > _FARTHEST, _FARTHEST + (distance - _FARTHEST) / 50, distance)


def _difference(a: Tensor, b: Tensor) -> Tensor:
    """(N, H, W) of pictures (N, 3, H, W): squared where small."""
    difference = (a - b).abs()
    return (difference * difference / (difference + _QUADRATIC)).mean(dim=1)


def _mean(x: Tensor, weight: Tensor) -> Tensor:
    return (x * weight).sum() / weight.sum().clamp(min=1)
