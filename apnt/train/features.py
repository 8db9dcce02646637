"""Train the matching features for correspondence on synthetic brackets whose motion is known.

At each scale, the loss makes every 3x3 patch of the target's features most similar to its true match among
the patches of the source's. The similarity is the cosine, by which :func:`apnt.ops.window_match` ranks them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apnt.errors import InputError
from apnt.nn.checkpoint import fit, write_tensors
from apnt.nn.domains import LONG, SHORT, matching_pair, to_radiance
from apnt.nn.features import MatchFeatures
from apnt.nn.flow import MatchFlow
from apnt.nn.matching import progressive_match
from apnt.tonemap import mu_law
from apnt.train.flow import flow_loss
from apnt.train.log import Log
from apnt.train.loop import Batch, Job, Status, train
from apnt.train.muon import Muon
from apnt.train.processes import Processes
from apnt.train.recipe import FeatureRecipe
from apnt.train.samples import training_samples
from apnt.train.state import identity_of, prepare_folder, seed_everything

Search = Mapping[str, Any]
"""Arguments of :func:`apnt.nn.matching.progressive_match`."""
FILE = "features.safetensors"
STATE = "features-state.pt"
WINDOW = 48
SAMPLES = 384
TEMPERATURE = 0.05


def correspondence_loss(
    source: Tensor,
    target: Tensor,
    motion: Tensor,
    valid: Tensor,
    generators: Sequence[torch.Generator] | None = None,
    saturated: Tensor | None = None,
    most: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Cross entropy of the true match among a window's patches, and the share matched within one pixel.

    Args:
        source, target: (N, C, h, w) features of one scale.
        motion: (N, 2, h, w) (dy, dx) from target to source, in pixels of this scale.
        valid: (N, h, w) bool.
        generators: N, on the CPU, that draw the window and its patches for each pair; None = torch's.
        saturated: (N, h, w) bool: areas of the target that are drawn from first; None = all areas alike.
        most: share of the patches that they give at most.

    Returns:
        Scalars: the loss, a mean over the N pairs, where one without valid pixels counts 0, and the accuracy.
    """
    n, _, height, width = target.shape
    h, w = min(WINDOW, height), min(WINDOW, width)
    # A sum over no valid pixel needs a gradient, too: the other processes wait for it.
    total_loss, hits, total = target.sum() * 0, motion.new_zeros(()), motion.new_zeros(())
    for i in range(n):
        g = None if generators is None else generators[i]
        y, x = (
            int(torch.randint(0, full - part + 1, (), generator=g))
            for full, part in ((height, h), (width, w))
        )
        window_motion = motion[i, :, y : y + h, x : x + w]
        usable = valid[i, y : y + h, x : x + w]
        if not usable.any():
            continue
        # The window in the source is moved by the median motion, as the windows of the finer scales are.
        shift = window_motion[:, usable].median(dim=1).values.round().long().tolist()
        sy = min(max(y + shift[0], 0), height - h)
        sx = min(max(x + shift[1], 0), width - w)
        target_patches = _patches(target[i, :, y : y + h, x : x + w])
        source_patches = _patches(source[i, :, sy : sy + h, sx : sx + w])
        grid = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")).to(window_motion)
        # The true matches, in pixels of the window in the source.
        match = window_motion + grid + window_motion.new_tensor([y - sy, x - sx])[:, None, None]
        usable = usable & (match >= 0).all(0) & (match[0] <= h - 1) & (match[1] <= w - 1)
        chosen = usable.flatten().nonzero()[:, 0]
        if not len(chosen):
            continue
        chosen = chosen[torch.randperm(len(chosen), generator=g).to(chosen.device)]
        if saturated is not None:
            inside = saturated[i, y : y + h, x : x + w].flatten()[chosen]
            first = chosen[inside][: int(most * SAMPLES)]
            chosen = torch.cat([first, chosen[~inside]])
        chosen = chosen[:SAMPLES]
        match = match.flatten(1)[:, chosen]
        logits = (target_patches[chosen] @ source_patches.T) / TEMPERATURE
        log_p = logits.log_softmax(dim=1)
        # The true match lies between pixels: its four neighbours share it bilinearly.
        low = match.floor().clamp(min=0)
        fraction = match - low
        loss = log_p.new_zeros(log_p.shape[0])
        for dy in (0, 1):
            for dx in (0, 1):
                share = (fraction[0] if dy else 1 - fraction[0]) * (fraction[1] if dx else 1 - fraction[1])
                index = (low[0] + dy).clamp(max=h - 1) * w + (low[1] + dx).clamp(max=w - 1)
                loss = loss - share * log_p.gather(1, index.long()[:, None])[:, 0]
        total_loss = total_loss + loss.mean()
        best = logits.detach().argmax(dim=1)
        miss = torch.maximum((best // w - match[0]).abs(), (best % w - match[1]).abs())
        hits, total = hits + (miss <= 1).sum(), total + miss.numel()
    return total_loss / n, hits / total.clamp(min=1)


def _patches(features: Tensor) -> Tensor:
    """(C, h, w) to (h * w, 9 * C) unit vectors of its 3x3 patches, zero outside."""
    return F.normalize(F.unfold(features[None], 3, padding=1)[0].T, dim=1, eps=1e-6)


def step(
    network: nn.Module, batch: dict[str, Tensor], recipe: FeatureRecipe, search: Search | None = None
) -> tuple[Tensor, list[Tensor]]:
    """Loss of one batch, summed over the three scales and the flow, and an accuracy of each.

    With ``recipe.part = "flow"`` the scales have no loss.

    The random draws for a sample depend on the recipe's seed and the sample's index, so that neither an
    interruption nor the number of processes changes them.
    """
    # Any two of these seeds differ, for fewer than 2**32 samples.
    seeds = [(recipe.seed << 32) + index for index in batch["index"].tolist()]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    pairs = [
        _pair(batch, exposure) for exposure in ((SHORT,) if recipe.exposures == "short" else (SHORT, LONG))
    ]
    pair = _Pair(*(torch.cat(parts) for parts in zip(*pairs, strict=True)))
    generators *= len(pairs)
    if recipe.halved and torch.rand((), generator=generators[0]) < recipe.halved:
        pair = pair.halved()
    features = network(torch.cat([pair.source, pair.target]))
    loss, accuracy = pair.source.new_zeros(()), []
    for level, maps in enumerate(features if recipe.part != "flow" else ()):
        motion, visible, saturated = pair.at(level)
        s, t = maps.float().chunk(2)
        inside = saturated if recipe.saturated else None
        level_loss, level_accuracy = correspondence_loss(
            s, t, motion, visible, generators, inside, recipe.saturated
        )
        loss = loss + level_loss
        accuracy.append(level_accuracy)
    if search is not None:
        flow = getattr(network, "module", network).flow
        assert isinstance(flow, MatchFlow)
        short = len(batch["ldr"])  # the flow is that to the short exposure; the long one's pairs come after
        maps = [level.detach() for level in features]
        flow_part, flow_accuracy = _flow_step(flow, [m.chunk(2) for m in maps], pair.first(short), search)
        loss, accuracy = loss + flow_part, [*accuracy, flow_accuracy]
    return loss, accuracy


def _flow_step(
    flow: MatchFlow, maps: list[tuple[Tensor, ...]], pair: _Pair, search: Search
) -> tuple[Tensor, Tensor]:
    """Loss and accuracy of the flow, whose matches are searched as the network does.

    Args:
        flow: the network.
        maps: features of source and target at three scales; of the first pairs those of ``pair`` are taken.
        pair: what is matched.
        search: of :func:`apnt.nn.matching.progressive_match`.
    """
    count = len(pair.source)
    source, target = ([level[k][:count] for level in maps] for k in (0, 1))
    with torch.no_grad():
        match = progressive_match(source, target, **search)
    pictures = pair.unmasked, pair.target
    flows, hints = flow.draw(source[2], target[2], match, *pictures)
    options = {key: search[key] for key in ("patch_size", "normalize")}
    moved, logits, _ = flow.choose(source[0], target[0], match, flows[-1], hints, *pictures, **options)
    known = pair.motion, pair.visible, pair.saturated, pair.unmasked
    return flow_loss(flows, moved, logits, match.offsets[0], *known)


class _Pair(NamedTuple):
    """Pictures that are matched, and what is known of their match.

    Attributes:
        source, target: (N, 3, H, W).
        motion: (N, 2, H, W) from target to source.
        visible: (N, H, W) bool: it leads to what the target shows.
        saturated: (N, H, W) bool, of the target.
        unmasked: (N, 3, H, W) the source as it came, after the mu-law.
    """

    source: Tensor
    target: Tensor
    motion: Tensor
    visible: Tensor
    saturated: Tensor
    unmasked: Tensor

    def first(self, count: int) -> _Pair:
        """The first ones alone."""
        return _Pair(*(part[:count] for part in self))

    def halved(self) -> _Pair:
        """At half the size; what is known holds for all four pixels."""
        source, target, unmasked = (F.avg_pool2d(x, 2) for x in (self.source, self.target, self.unmasked))
        visible, saturated = (
            F.avg_pool2d(x[:, None].float(), 2)[:, 0] == 1 for x in (self.visible, self.saturated)
        )
        return _Pair(source, target, F.avg_pool2d(self.motion, 2) / 2, visible, saturated, unmasked)

    def at(self, level: int) -> tuple[Tensor, Tensor, Tensor]:
        """Motion, in its pixels, visibility and saturation at a scale."""
        scale = 2**level
        places = slice(scale // 2, None, scale)
        motion = self.motion[..., places, places] / scale
        return motion, self.visible[:, places, places], self.saturated[:, places, places]


def _pair(batch: dict[str, Tensor], exposure: int) -> _Pair:
    """The medium exposure and the short or the long one."""
    end = "" if exposure == SHORT else "_long"
    source, target = matching_pair(batch["ldr"], batch["times"], exposure)
    saturated = target.amax(dim=1) >= 1
    times = batch["times"] / batch["times"].amin(dim=1, keepdim=True)
    unmasked = mu_law(to_radiance(batch["ldr"][:, [exposure]], times[:, [exposure]])[:, 0])
    return _Pair(source, target, batch[f"motion{end}"], batch[f"visible{end}"], saturated, unmasked)


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
    dilations: tuple[int, ...] = (1, 2, 4, 8),
    search: Search | None = None,
    init: Mapping[str, Tensor] | None = None,
    processes: Processes | None = None,
    tensorboard: bool | None = False,
    report: Callable[[Status, dict[str, float]], None] = lambda *_: None,
) -> Path:
    """Train :class:`MatchFeatures`, resuming from ``out``, and write ``out/features.safetensors``.

    Args:
        data: folder of radiance maps; brackets made from them have known motion.
        out: folder for the state of the run, its log and the result; the first process alone uses it.
        recipe: of the training.
        dilations: of :class:`MatchFeatures`.
        search: how the network searches its matches, :func:`apnt.nn.matching.progressive_match`, to train
            their flow as well; None = without.
        init: weights that it begins from as far as they fit (:func:`apnt.nn.checkpoint.fit`), those that
            ``recipe.init`` names; None = random ones.
        processes: that train together; None = this one alone, on the CPU.
        tensorboard: True = must be written, None = where it is installed.
        report: called with each logged line.

    Returns:
        The file with the features.

    Raises:
        InputError: ``data`` or ``out`` holds something else, or the recipe cannot be run.
        FloatingPointError: the loss is not finite.
    """
    processes = processes or Processes()
    seed_everything(recipe.seed)
    samples = training_samples(data, recipe)
    if "motion" not in samples[0]:
        raise InputError(
            "data must be radiance maps to train matching features, since only brackets made from those have "
            f"a known motion, and {data} holds others: take features='default', or features trained before"
        )
    if processes.first:
        prepare_folder(out)
    if recipe.part == "flow" and (search is None or init is None):
        raise InputError("part must be '' unless the model has flow = true and init names features")
    network = MatchFeatures(dilations=dilations, flow=search is not None)
    if init is not None:
        network.load_state_dict(fit(init, network.state_dict())[0])
    if recipe.part == "flow":
        network.requires_grad_(False).flow.requires_grad_(True)
    network.to(processes.device)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    scales = () if recipe.part == "flow" else ("full", "half", "quarter")

    def loss(module: nn.Module, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        value, accuracy = step(module, batch, recipe, search)
        return value, [value, *accuracy]

    def schedule(optimiser: torch.optim.Optimizer, number: int, progress: float) -> None:
        # Where the clock ends the run, progress by time is ahead of progress by steps.
        now = max(float(number), progress * (recipe.steps - 1))
        for group in optimiser.param_groups:
            rate, beta = one_cycle(now, recipe.steps, recipe.lr)
            group["lr"], group["betas"] = rate, (beta, 0.999)

    optimiser: torch.optim.Optimizer
    if recipe.optimiser == "muon":
        optimiser = Muon(weights, lr=recipe.lr)
    else:
        optimiser = torch.optim.AdamW(weights, lr=recipe.lr, weight_decay=1e-4)
    job = Job(
        network=network,
        loss=loss,
        measures=(
            "loss",
            *(f"within_a_pixel_{scale}" for scale in scales),
            *(("flow_within_0.6_pixels",) if search is not None else ()),
        ),
        optimiser=optimiser,
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
        report=report,
    )
    if processes.first:
        write_tensors(network.state_dict(), out / FILE)
        (out / STATE).unlink()  # the result replaces it
    return out / FILE
