"""Train the matching features for correspondence on synthetic brackets whose motion is known.

At each scale, every 3x3 patch of the medium exposure's features has to pick its true partner among the
patches of the masked short exposure by cosine similarity, which is what :func:`apnt.ops.window_match` ranks
them by.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from apnt.nn import exposure
from apnt.nn.checkpoint import write_tensors
from apnt.nn.features import MatchFeatures
from apnt.train.brackets import SyntheticBrackets
from apnt.train.recipe import FeatureRecipe

WINDOW = 48
SAMPLES = 384
TEMPERATURE = 0.05


def matching_pair(ldr: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """The two pictures that are matched, (N, 3, H, W) each: masked short, clipped medium exposure."""
    radiance = exposure.to_radiance(ldr, times)
    level = exposure.plateau(times, 1)
    short, medium = (exposure.ms_hdr(radiance[:, k], level) for k in (0, 1))
    return exposure.to_display(short, level), exposure.to_display(medium, level)


def correspondence_loss(
    source: Tensor, target: Tensor, motion: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor]:
    """Cross entropy of the true partner among a window's patches, and the share within one pixel.

    Args:
        source, target: (N, C, h, w) features of one scale.
        motion: (N, 2, h, w) (dy, dx) from target to source, in pixels of this scale.
        valid: (N, h, w) bool.

    Returns:
        Scalars: loss and accuracy.
    """
    n, _, height, width = target.shape
    h, w = min(WINDOW, height), min(WINDOW, width)
    losses, hits, total = [], motion.new_zeros(()), motion.new_zeros(())
    for i in range(n):
        y, x = (int(torch.randint(0, full - part + 1, ())) for full, part in ((height, h), (width, w)))
        mine = motion[i, :, y : y + h, x : x + w]
        ok = valid[i, y : y + h, x : x + w]
        if not ok.any():
            continue
        # The searched window follows the typical motion, as the finer scales' windows do.
        shift = mine[:, ok].median(dim=1).values.round().long().tolist()
        sy = min(max(y + shift[0], 0), height - h)
        sx = min(max(x + shift[1], 0), width - w)
        t = _patches(target[i, :, y : y + h, x : x + w])
        s = _patches(source[i, :, sy : sy + h, sx : sx + w])
        grid = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")).to(mine)
        where = mine + grid + mine.new_tensor([y - sy, x - sx])[:, None, None]
        ok = ok & (where >= 0).all(0) & (where[0] <= h - 1) & (where[1] <= w - 1)
        chosen = ok.flatten().nonzero()[:, 0]
        if not len(chosen):
            continue
        chosen = chosen[torch.randperm(len(chosen))[:SAMPLES]]
        where = where.flatten(1)[:, chosen]
        logits = (t[chosen] @ s.T) / TEMPERATURE
        log_p = logits.log_softmax(dim=1)
        # Subpixel truth: bilinear shares of the four neighbours.
        low = where.floor().clamp(min=0)
        part = where - low
        loss = log_p.new_zeros(log_p.shape[0])
        for dy in (0, 1):
            for dx in (0, 1):
                share = (part[0] if dy else 1 - part[0]) * (part[1] if dx else 1 - part[1])
                index = (low[0] + dy).clamp(max=h - 1) * w + (low[1] + dx).clamp(max=w - 1)
                loss = loss - share * log_p.gather(1, index.long()[:, None])[:, 0]
        losses.append(loss.mean())
        best = logits.detach().argmax(dim=1)
        miss = torch.maximum((best // w - where[0]).abs(), (best % w - where[1]).abs())
        hits, total = hits + (miss <= 1).sum(), total + miss.numel()
    if not losses:
        return target.sum() * 0, hits
    return torch.stack(losses).mean(), hits / total.clamp(min=1)


def _patches(features: Tensor) -> Tensor:
    """(C, h, w) to (h * w, 9 * C) unit vectors of its 3x3 patches, zero outside."""
    return F.normalize(F.unfold(features[None], 3, padding=1)[0].T, dim=1, eps=1e-6)


def step(network: MatchFeatures, batch: dict[str, Tensor]) -> tuple[Tensor, list[float]]:
    """Loss of one batch, summed over the three scales, and the three accuracies."""
    source, target = matching_pair(batch["ldr"], batch["times"])
    features = network(torch.cat([source, target]))
    loss, accuracy = source.new_zeros(()), []
    for level, maps in enumerate(features):
        scale = 2**level
        start = scale // 2
        motion = batch["motion"][:, :, start::scale, start::scale] / scale
        valid = batch["visible"][:, start::scale, start::scale]
        s, t = maps.float().chunk(2)
        level_loss, level_accuracy = correspondence_loss(s, t, motion, valid)
        loss = loss + level_loss
        accuracy.append(float(level_accuracy))
    return loss, accuracy


def train_features(data: Path, out: Path, recipe: FeatureRecipe, log: Callable[[str], None]) -> None:
    """Train :class:`MatchFeatures` on the radiance maps in ``data`` and write its weights to ``out``."""
    torch.manual_seed(recipe.seed)
    brackets = SyntheticBrackets(data, recipe.steps * recipe.batch, recipe.crop, recipe.brackets, recipe.seed)
    network = MatchFeatures()
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.lr, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.lr, total_steps=recipe.steps, pct_start=0.05
    )
    smooth = None
    for number, sample in enumerate(DataLoader(brackets, recipe.batch, num_workers=1), 1):
        loss, accuracy = step(network, sample)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        row = torch.tensor([float(loss.detach()), *accuracy])
        smooth = row if smooth is None else 0.98 * smooth + 0.02 * row
        if number % 50 == 0 or number == recipe.steps:
            shares = ", ".join(f"{v:.2f}" for v in smooth[1:].tolist())
            log(f"step {number}  loss {smooth[0]:.3f}  within a pixel at full, half, quarter size: {shares}")
    write_tensors(network.state_dict(), out)
