"""Train a network on brackets with truth: L1 in the mu-law domain (eq. 16), Adam, averaged weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from apnt.errors import InputError
from apnt.nn import APNTFusion
from apnt.nn.checkpoint import FILE, OURS, described
from apnt.nn.compared.base import ComparedNetwork
from apnt.tonemap import mu_law
from apnt.train.log import Log
from apnt.train.loop import Batch, Job, Status, autocast_dtype, train
from apnt.train.muon import Muon
from apnt.train.processes import Processes
from apnt.train.recipe import NetworkRecipe
from apnt.train.samples import training_samples
from apnt.train.state import identity_of, prepare_folder, seed_everything
from apnt.train.validation import Validation, validation_brackets

STATE = "state.pt"
_CONFIDENCE = 0.01  # of the likelihood beside the loss: its gradients end at the head, and share one clipping

Network = APNTFusion | ComparedNetwork[Any]
"""What can be trained: ours, and what it is compared with."""


def loss_in_mu_law(output: Tensor, truth: Tensor, l2_weight: float) -> Tensor:
    """Eq. 16, plus ``l2_weight`` times the squared error, which is what PSNR measures.

    Args:
        output, truth: (N, 3, H, W) linear radiance.
        l2_weight: 0 for eq. 16 alone.
    """
    error = mu_law(output) - mu_law(truth)
    return error.abs().mean() + l2_weight * error.square().mean()


def laplace_loss(expected: Tensor, error: Tensor) -> Tensor:
    """Negative log-likelihood of errors under Laplace's distribution, least where ``expected`` is their mean.

    Args:
        expected: (N, 1, H, W) expected absolute error, positive.
        error: (N, 3, H, W).
    """
    found = error.abs().mean(dim=1, keepdim=True)
    return (found / expected + expected.log()).mean()


def train_network(
    network: Network,
    data: Path,
    out: Path,
    recipe: NetworkRecipe,
    *,
    processes: Processes | None = None,
    validation_data: Path | None = None,
    tensorboard: bool | None = False,
    report: Callable[[Status, dict[str, float]], None] = lambda *_: None,
) -> Path:
    """Train, resuming from ``out`` where a run was interrupted, and write ``out/model.safetensors``.

    Args:
        network: with its matching features loaded; it is trained in place.
        data: folder of captured brackets or radiance maps, see :func:`apnt.train.brackets.brackets_for`.
        out: folder for the state of the run, its log and the result; the first process alone uses it.
        recipe: of the training.
        processes: that train together; None = this one alone, on the CPU.
        validation_data: folder of the brackets that the recipe validates on.
        tensorboard: True = must be written, None = where it is installed.
        report: called with each logged line.

    Returns:
        The file with the averaged weights.

    Raises:
        InputError: ``data`` or ``out`` holds something else, or the recipe cannot be run.
        FloatingPointError: the loss is not finite.
    """
    processes = processes or Processes()
    seed_everything(recipe.seed)
    network.train()
    network.to(processes.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.average))
    averaged = average.module
    assert isinstance(averaged, (APNTFusion, ComparedNetwork))

    def loss(module: nn.Module, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        maps: dict[str, list[Tensor]] = {}
        if isinstance(network, APNTFusion) and network.config.confidence:
            output, maps = module(batch["ldr"], batch["times"], return_maps=True)
        else:
            output = module(batch["ldr"], batch["times"])
        value = loss_in_mu_law(output, batch["truth"], recipe.l2_weight)
        with torch.no_grad():
            error = mu_law(output.detach().clamp(0, 1)) - mu_law(batch["truth"])
            psnr = -10 * torch.log10(error.square().mean(dim=(1, 2, 3)) + 1e-9)
        values = [value, psnr.mean()]
        if maps:
            value = value + _CONFIDENCE * laplace_loss(maps["error"][0], error)
        return value, values

    def schedule(optimiser: torch.optim.Optimizer, step: int, progress: float) -> None:
        decay = _cosine(progress) if recipe.schedule == "cosine" else 1.0
        for group in optimiser.param_groups:
            group["lr"] = recipe.lr * min(1.0, (step + 1) / max(recipe.warmup, 1)) * decay

    def write_result() -> None:
        averaged.save(out / FILE, {"training": json.dumps(asdict(recipe))})

    brackets = validation_brackets(recipe, data, validation_data) if processes.first else []
    samples = training_samples(data, recipe)
    if processes.first:  # after data that are missing were refused
        prepare_folder(out)
    dtype = autocast_dtype(recipe.precision, processes.device)
    weights = _trained(network, recipe.part)
    optimiser = Muon if recipe.optimiser == "muon" else torch.optim.Adam
    job = Job(
        network=network,
        loss=loss,
        measures=("loss", "psnr_mu"),
        optimiser=optimiser(weights, lr=recipe.lr, betas=recipe.betas),
        schedule=schedule,
        identity=identity_of(described(network.config, getattr(network, "name", OURS)), asdict(recipe)),
        average=average,
    )
    train(
        job,
        samples,
        recipe,
        out / STATE,
        processes=processes,
        open_log=lambda step: Log(out, "network", step, tensorboard),
        report=report,
        write_result=write_result,
        validate=Validation(averaged, brackets, recipe.validation, dtype) if brackets else None,
    )
    return out / FILE


def _trained(network: nn.Module, part: str) -> list[nn.Parameter]:
    """The weights that learn, whose names begin with ``part``; the others no longer ask for gradients.

    Raises:
        InputError: there is none.
    """
    for name, weight in network.named_parameters():
        weight.requires_grad_(weight.requires_grad and name.startswith(part))
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    if not weights:
        raise InputError(f"part must be how names of the network's weights begin, got {part!r}")
    return weights


def _cosine(progress: float) -> float:
    """From 1 to 0.01 along half a cosine."""
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))
