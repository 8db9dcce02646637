"""Train the matching features for correspondence on synthetic brackets whose motion is known.

At each scale, every 3x3 patch of the medium exposure's features has to pick its true partner among the
patches of the masked short exposure by cosine similarity, which is what :func:`apnt.ops.window_match` ranks
them by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apnt.errors import InputError
from apnt.nn import exposure
from apnt.nn.checkpoint import write_tensors
from apnt.nn.features import MatchFeatures
from apnt.train.log import Log
from apnt.train.loop import Batch, Job, Status, train
from apnt.train.processes import Processes
from apnt.train.recipe import FeatureRecipe
from apnt.train.samples import training_samples
from apnt.train.state import identity_of, prepare_folder, seed_everything

FILE = "features.safetensors"
STATE = "features-state.pt"
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
    source: Tensor,
    target: Tensor,
    motion: Tensor,
    valid: Tensor,
    generators: Sequence[torch.Generator] | None = None,
) -> tuple[Tensor, Tensor]:
    """Cross entropy of the true partner among a window's patches, and the share within one pixel.

    Args:
        source, target: (N, C, h, w) features of one scale.
        motion: (N, 2, h, w) (dy, dx) from target to source, in pixels of this scale.
        valid: (N, h, w) bool.
        generators: N, on the CPU, that say which window and which patches of it are taken; None = torch's.

    Returns:
        Scalars: loss, the mean over the N pairs, where one without valid pixels counts 0, and accuracy.
    """
    n, _, height, width = target.shape
    h, w = min(WINDOW, height), min(WINDOW, width)
    # The sum of nothing still needs a gradient, which several processes wait for.
    total_loss, hits, total = target.sum() * 0, motion.new_zeros(()), motion.new_zeros(())
    for i in range(n):
        g = None if generators is None else generators[i]
        y, x = (
            int(torch.randint(0, full - part + 1, (), generator=g))
            for full, part in ((height, h), (width, w))
        )
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
        chosen = chosen[torch.randperm(len(chosen), generator=g)[:SAMPLES].to(chosen.device)]
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
        total_loss = total_loss + loss.mean()
        best = logits.detach().argmax(dim=1)
        miss = torch.maximum((best // w - where[0]).abs(), (best % w - where[1]).abs())
        hits, total = hits + (miss <= 1).sum(), total + miss.numel()
    return total_loss / n, hits / total.clamp(min=1)


def _patches(features: Tensor) -> Tensor:
    """(C, h, w) to (h * w, 9 * C) unit vectors of its 3x3 patches, zero outside."""
    return F.normalize(F.unfold(features[None], 3, padding=1)[0].T, dim=1, eps=1e-6)


def step(network: nn.Module, batch: dict[str, Tensor], seed: int) -> tuple[Tensor, list[Tensor]]:
    """Loss of one batch, summed over the three scales, and the three accuracies.

    What is drawn for a sample depends on ``seed`` and the sample's index, so that neither an interruption nor
    the number of processes changes it.
    """
    # Any two of these seeds differ, for fewer than 2**32 samples.
    generators = [torch.Generator().manual_seed((seed << 32) + index) for index in batch["index"].tolist()]
    source, target = matching_pair(batch["ldr"], batch["times"])
    features = network(torch.cat([source, target]))
    loss, accuracy = source.new_zeros(()), []
    for level, maps in enumerate(features):
        scale = 2**level
        start = scale // 2
        motion = batch["motion"][:, :, start::scale, start::scale] / scale
        valid = batch["visible"][:, start::scale, start::scale]
        s, t = maps.float().chunk(2)
        level_loss, level_accuracy = correspondence_loss(s, t, motion, valid, generators)
        loss = loss + level_loss
        accuracy.append(level_accuracy)
    return loss, accuracy


def one_cycle(step: float, steps: int, peak: float) -> tuple[float, float]:
    """Learning rate and Adam's first beta at ``step``, from 0, as ``OneCycleLR(pct_start=0.05)`` has them.

    The rate rises from a 25th of its peak and falls to almost nothing, along half cosines; beta mirrors it.
    """
    top, end = 0.05 * steps - 1, steps - 1
    rising = step <= top
    share = step / top if rising and top > 0 else min(1.0, (step - top) / max(end - top, 1))
    bend = (1 + math.cos(math.pi * share)) / 2  # from 1 to 0
    low, last = peak / 25, peak / 25e4
    if rising:
        return peak + (low - peak) * bend, 0.85 + 0.1 * bend
    return last + (peak - last) * bend, 0.95 - 0.1 * bend


def train_features(
    data: Path,
    out: Path,
    recipe: FeatureRecipe,
    *,
    processes: Processes | None = None,
    tensorboard: bool | None = False,
    show: Callable[[Status, dict[str, float]], None] = lambda *_: None,
) -> Path:
    """Train :class:`MatchFeatures`, resuming from ``out``, and write ``out/features.safetensors``.

    Args:
        data: folder of radiance maps; the motion of brackets made from them is known.
        out: folder for the state of the run, its log and the result; the first process alone uses it.
        recipe: of the training.
        processes: that train together; None = this one alone, on the CPU.
        tensorboard: True = must be written, None = where it is installed.
        show: called with each logged line.

    Returns:
        The file with the features.

    Raises:
        InputError: ``data`` or ``out`` holds something else, or the recipe cannot be run.
        FloatingPointError: the loss is not finite.
    """
    processes = processes or Processes()
    if processes.first:
        prepare_folder(out)
    seed_everything(recipe.seed)
    samples = training_samples(data, recipe)
    if "motion" not in samples[0]:
        raise InputError(
            "data must be radiance maps to train matching features, since only brackets made from those have "
            f"a known motion, and {data} holds others: take features='default', or features trained before"
        )
    network = MatchFeatures().to(processes.device)

    def loss(module: nn.Module, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        value, accuracy = step(module, batch, recipe.seed)
        return value, [value, *accuracy]

    def schedule(optimiser: torch.optim.Optimizer, number: int, progress: float) -> None:
        # The clock may be ahead of the steps.
        now = max(float(number), progress * (recipe.steps - 1))
        for group in optimiser.param_groups:
            rate, beta = one_cycle(now, recipe.steps, recipe.lr)
            group["lr"], group["betas"] = rate, (beta, 0.999)

    job = Job(
        network=network,
        loss=loss,
        measures=("loss", "within_a_pixel_full", "within_a_pixel_half", "within_a_pixel_quarter"),
        optimiser=torch.optim.AdamW(network.parameters(), lr=recipe.lr, weight_decay=1e-4),
        schedule=schedule,
        identity=identity_of({}, asdict(recipe)),
    )
    train(
        job,
        samples,
        recipe,
        out / STATE,
        processes=processes,
        open_log=lambda number: Log(out, "features", number, tensorboard),
        show=show,
    )
    if processes.first:
        write_tensors(network.state_dict(), out / FILE)
        (out / STATE).unlink()  # the result is there
    return out / FILE
