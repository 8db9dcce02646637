"""Train APNT-Fusion on synthetic brackets: L1 in the mu-law domain (eq. 16), Adam, averaged weights."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Subset

from apnt.device import use_bf16
from apnt.errors import InputError
from apnt.io.files import atomic_path
from apnt.nn import APNTFusion, checkpoint
from apnt.tonemap import mu_law
from apnt.train.brackets import SyntheticBrackets
from apnt.train.recipe import NetworkRecipe

STATE = "state.pt"


def loss_in_mu_law(output: Tensor, truth: Tensor, l2_weight: float) -> Tensor:
    """Eq. 16, and where asked for a squared term beside it, since PSNR squares what L1 does not."""
    error = mu_law(output) - mu_law(truth)
    return error.abs().mean() + l2_weight * error.square().mean()


def train_network(
    network: APNTFusion,
    data: Path,
    out: Path,
    recipe: NetworkRecipe,
    log: Callable[[int, float, float, float], None],
) -> Path:
    """Train, resuming from ``out`` where a run was interrupted, and write ``out/model.safetensors``.

    Args:
        network: with its matching features loaded; it is trained in place.
        data: folder of radiance maps.
        out: folder for the state of the run and the result.
        recipe: of the training.
        log: called every 20 steps with step, progress in [0, 1], mean loss since, and mean PSNR-mu since.

    Returns:
        The file with the averaged weights.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    network.train()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.average))
    bf16 = use_bf16(recipe.precision, torch.device("cpu"))
    weights = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(weights, lr=recipe.lr, betas=(0.9, 0.99))
    step, spent = _resume(out / STATE, network, average, optimiser)

    brackets = SyntheticBrackets(data, recipe.steps * recipe.batch, recipe.crop, recipe.brackets, recipe.seed)
    rest = Subset(brackets, range(step * recipe.batch, len(brackets)))
    loader = DataLoader(rest, recipe.batch, num_workers=recipe.workers)
    started, saved, losses, ratios = time.monotonic() - spent, time.monotonic(), [], []
    for batch in loader:
        elapsed = time.monotonic() - started
        progress = step / recipe.steps
        if recipe.minutes is not None:
            progress = max(progress, elapsed / (60 * recipe.minutes))
        if progress >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = recipe.lr * min(1.0, (step + 1) / recipe.warmup) * _cosine(progress)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            output = network(batch["ldr"], batch["times"])
        loss = loss_in_mu_law(output, batch["truth"], recipe.l2_weight)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, recipe.clip)
        optimiser.step()
        average.update_parameters(network)
        step += 1
        losses.append(float(loss.detach()))
        with torch.no_grad():
            error = mu_law(output.detach().clamp(0, 1)) - mu_law(batch["truth"])
            ratios += (-10 * torch.log10(error.square().mean(dim=(1, 2, 3)) + 1e-9)).tolist()
        if step % 20 == 0:
            log(step, progress, sum(losses) / len(losses), sum(ratios) / len(ratios))
            losses, ratios = [], []
        if time.monotonic() - saved > 60 * recipe.save_minutes:
            _save(out / STATE, network, average, optimiser, step, time.monotonic() - started)
            _keep(average, out, recipe)
            saved = time.monotonic()
    _save(out / STATE, network, average, optimiser, step, time.monotonic() - started)
    return _keep(average, out, recipe)


def _keep(average: AveragedModel, out: Path, recipe: NetworkRecipe) -> Path:
    """Write the averaged weights as a checkpoint that says how they came about."""
    network = average.module
    assert isinstance(network, APNTFusion)
    checkpoint.save(network, out / checkpoint.FILE, {"training": json.dumps(asdict(recipe))})
    return out / checkpoint.FILE


def _cosine(progress: float) -> float:
    """From 1 to 0.01 along half a cosine."""
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))


def _save(
    path: Path,
    network: APNTFusion,
    average: AveragedModel,
    optimiser: torch.optim.Optimizer,
    step: int,
    spent: float,
) -> None:
    state = {
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": step,
        "spent": spent,
    }
    with atomic_path(path) as partial:
        torch.save(state, partial)


def _resume(
    path: Path, network: APNTFusion, average: AveragedModel, optimiser: torch.optim.Optimizer
) -> tuple[int, float]:
    """Take up an interrupted run; returns its step and the seconds it has spent."""
    if not path.is_file():
        return 0, 0.0
    try:
        state = torch.load(path, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        return int(state["step"]), float(state["spent"])
    except Exception as error:  # torch raises half a dozen kinds for broken and foreign files
        raise InputError(
            f"out must hold an earlier state of this recipe, and {path} is not one: choose another folder, "
            f"or delete it to begin anew ({error})"
        ) from error
