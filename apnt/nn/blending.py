"""Progressive texture blending (eq. 10-13) and the output (eq. 14)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from apnt.nn.attention import ScaleAttention
from apnt.nn.blocks import cabs
from apnt.nn.convolution import Convolution
from apnt.nn.rows import by_rows
from apnt.tonemap import mu_law_inverse

Term = tuple[Tensor, Tensor | None]
"""Features (N, C_i, H, W), and what they are multiplied with: (N, C_i, H, W), None = nothing."""


class TextureBlending(nn.Module):
    """Bring the decoder's scales to full size and find their weights by scale attention (eq. 10-12)."""

    def __init__(self, channels: tuple[int, int, int], enabled: bool = True):
        super().__init__()
        c0, c1, c2 = channels
        self.up1 = nn.ConvTranspose2d(c1, c0, 2, stride=2)
        self.up2 = nn.ConvTranspose2d(c2, c0, 4, stride=4)
        self.attention1 = ScaleAttention(c0) if enabled else None
        self.attention0 = ScaleAttention(c0) if enabled else None

    def forward(self, decoded: list[Tensor], saturation: Tensor) -> tuple[list[Term], list[Tensor]]:
        """The scales and their weights.

        Args:
            decoded: three (N, C_l, H_l, W_l).
            saturation: (N, C0, H, W) A_sat^m, which is A_sc^2.

        Returns:
            Three terms of eq. 13, (N, C0, H, W) each, coarsest first, and ``[A_sc^0, A_sc^1]``.
        """
        fine, middle, coarse = decoded[0], self.up1(decoded[1]), self.up2(decoded[2])
        if self.attention1 is None or self.attention0 is None:
            ones = torch.ones_like(fine)
            return [(coarse, saturation), (middle, None), (fine, None)], [ones, ones]
        weight1, weight0 = self.attention1(coarse, middle), self.attention0(middle, fine)
        return [(coarse, saturation), (middle, weight1), (fine, weight0)], [weight0, weight1]


class FusionStream(nn.Module):
    """N_mef: 1x1 reduction, channel attention blocks, and a 3x3 convolution to ``outputs`` channels."""

    def __init__(self, inputs: int, channels: int, blocks: int, outputs: int, reduction: int):
        super().__init__()
        self.reduce = Convolution(inputs, channels, side=1)
        self.body = cabs(channels, blocks, reduction)
        self.head = Convolution(channels, outputs)

    def forward(self, terms: list[Term]) -> tuple[Tensor, Tensor]:
        """The head's output (N, outputs, H, W) and what it sees, (N, C, H, W)."""
        weighted = [weight is not None for _, weight in terms]
        parts = [x for term in terms for x in term if x is not None]
        x = by_rows(partial(self._reduced, weighted), parts, 0, self.reduce.out_channels)
        features = self.body(x).add_(x)
        return self.head(features), features

    def _reduced(self, weighted: list[bool], *parts: Tensor) -> Tensor:
        """Eq. 13's 1x1 convolution of terms, each of which is one part or, weighted, two."""
        rest = iter(parts)
        reduced: Tensor = self.reduce(*(next(rest) * next(rest) if two else next(rest) for two in weighted))
        return reduced


class PaperOutput(nn.Module):
    """Eq. 14 literally: ``H_m * (1 - w) + sigmoid(N_mef)``. Needs 3 head channels."""

    def forward(self, head: Tensor, weight: Tensor, medium: Tensor, candidates: list[Tensor]) -> Tensor:
        return medium * (1 - weight) + torch.sigmoid(head.float())


class ResidualOutput(nn.Module):
    """Eq. 14's form in the mu-law domain: the medium exposure, a mixture, and a correction.

    ``T(H_out) = T(H_m) * (1 - w) + w * sum_k softmax(logits)_k T(H_k) + tanh(residual)``. A head of zeros
    nearly returns H_m, because ``INITIAL`` is added to the first candidate's logit.
    """

    INITIAL = 4.0

    def forward(self, head: Tensor, weight: Tensor, medium: Tensor, candidates: list[Tensor]) -> Tensor:
        """Eq. 14.

        Args:
            head: (N, 3 + K, H, W).
            weight: (N, 1, H, W), F_wgt[A_sat^m].
            medium: (N, 3, H, W) radiance of the medium exposure; not used.
            candidates: K times (N, 3, H, W), T(H_k), the medium exposure first.

        Returns:
            (N, 3, H, W) radiance.
        """
        head, weight = head.float(), weight.float()
        logits = head[:, 3:].clone()
        logits[:, 0] += self.INITIAL
        share = logits.softmax(dim=1)
        # One exposure at a time: stacking would hold K more full-size pictures.
        mixture = share[:, :1] * candidates[0]
        for k, candidate in enumerate(candidates[1:], 1):
            mixture = mixture + share[:, k : k + 1] * candidate
        compressed = candidates[0] * (1 - weight) + weight * mixture + torch.tanh(head[:, :3].contiguous())
        return mu_law_inverse(compressed)
