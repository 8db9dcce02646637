"""The training loop: steps, precision, several processes, and exact resumption of a run that was stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset, Sampler

from apnt.device import use_bf16, warn_of_slow_bf16
from apnt.errors import InputError
from apnt.text import reason
from apnt.train.log import Log
from apnt.train.processes import Processes
from apnt.train.recipe import LoopRecipe
from apnt.train.state import random_state, read_state, restore_random_state, write_state

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Job:
    """A network and everything that its training needs.

    Attributes:
        network: trained in place, on its device.
        loss: (network, batch) -> the loss, and scalars to log, each a mean over the batch.
        measures: names of these scalars.
        optimiser: of the network's weights.
        schedule: (optimiser, step from 0, progress in [0, 1]) sets the learning rate; it has no state.
        identity: must equal that of a state on disk, see :func:`apnt.train.state.identity_of`.
        average: the moving average of the weights, or None.
    """

    network: nn.Module
    loss: Callable[[nn.Module, Batch], tuple[Tensor, list[Tensor]]]
    measures: tuple[str, ...]
    optimiser: torch.optim.Optimizer
    schedule: Callable[[torch.optim.Optimizer, int, float], None]
    identity: dict[str, Any]
    average: AveragedModel | None = None


@dataclass
class Status:
    """How far a run is.

    Attributes:
        step: steps done.
        spent: seconds of training, over all its parts.
        progress: in [0, 1], by steps or by the clock, whichever is ahead.
        validated: ``step`` and ``spent`` at the last validation.
    """

    step: int = 0
    spent: float = 0.0
    progress: float = 0.0
    validated: tuple[int, float] = (0, 0.0)


class StepBatches(Sampler[list[int]]):
    """Indices of the samples of one process, step by step.

    Step ``s`` consists of the samples from ``s * batch`` to ``(s + 1) * batch``, whatever the number of
    processes; each process takes an equal share of them.

    Raises:
        InputError: a batch that cannot be shared equally.
    """

    def __init__(self, start: int, steps: int, batch: int, processes: Processes, parts: int = 1):
        self.share, rest = divmod(batch, processes.world)
        if rest or self.share % parts:
            raise InputError(
                f"batch must be a multiple of processes times accumulate, {processes.world} x {parts}, "
                f"got {batch}: it counts the brackets of a step over all processes"
            )
        self.start, self.steps, self.batch, self.rank = start, steps, batch, processes.rank

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.start, self.steps):
            first = step * self.batch + self.rank * self.share
            yield list(range(first, first + self.share))

    def __len__(self) -> int:
        return max(0, self.steps - self.start)


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """The number format of mixed precision, or None for float32 alone."""
    if precision == "fp16":
        return torch.float16
    if not use_bf16(precision, device):
        return None
    warn_of_slow_bf16(device)
    return torch.bfloat16


def train(
    job: Job,
    samples: Dataset[Batch],
    recipe: LoopRecipe,
    state: Path,
    *,
    processes: Processes,
    open_log: Callable[[int], Log],
    report: Callable[[Status, dict[str, float]], None] = lambda *_: None,
    write_result: Callable[[], None] = lambda: None,
    validate: Callable[[Status, Log], bool] | None = None,
) -> Status:
    """Train, and resume from ``state`` where a run was interrupted.

    Args:
        job: the network and everything that its training needs.
        samples: training samples, at least ``recipe.steps * recipe.batch``; sample ``i`` must depend on ``i``
            alone.
        recipe: of the run.
        state: file of the run's state, read and written by the first process alone.
        processes: that train together.
        open_log: opens the log, given the step at which the run begins; called in the first process alone.
        report: called in the first process with each logged line.
        write_result: called in the first process after each save of the state.
        validate: validates if a validation is due, and returns whether it did; called in the first process
            after each step.

    Returns:
        How far the run came.

    Raises:
        InputError: a state of another run, or a batch that the processes cannot share.
        FloatingPointError: the loss is not finite; the state on disk is older.
    """
    device = processes.device
    # fp16 needs scaled losses on every GPU. A CPU can scale them, too: the tests use that.
    dtype = autocast_dtype(recipe.precision, device)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    status, totals, count = Status(), torch.zeros(len(job.measures), device=device), 0
    content = state.read_bytes() if processes.first and state.is_file() else None
    content = processes.broadcast_bytes(content)
    if content is not None:
        before = read_state(content, state, job.identity)
        try:
            _load(before, job, scaler, device)
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            raise InputError(
                f"out must hold an earlier state of this recipe, and {state} is not one: choose another "
                f"folder, or delete it to begin anew ({reason(error)})"
            ) from error
        status = Status(before["step"], before["spent"], before["progress"], tuple(before["looked"]))
        totals, count = before["totals"].to(device), before["count"]

    indices = StepBatches(status.step, recipe.steps, recipe.batch, processes, recipe.accumulate)
    # A loader draws a number when it starts, and a resumed run has started two: it has its own generator.
    loader = DataLoader(
        samples, batch_sampler=indices, num_workers=recipe.workers, generator=torch.Generator(),
        pin_memory=device.type == "cuda",
    )  # fmt: skip
    distributed = processes.distribute(job.network)
    weights = [p for p in job.network.parameters() if p.requires_grad]
    log = open_log(status.step) if processes.first else None
    begun, saved = time.monotonic() - status.spent, time.monotonic()

    def save() -> None:
        status.spent = time.monotonic() - begun
        _check_finite(totals, status.step)
        write_state(state, _dump(job, scaler, status, totals, count, device))
        write_result()

    # The log is closed whatever ends the run: TensorBoard's writer buffers lines for minutes.
    with closing(log) if log is not None else nullcontext():
        for batch in _with_plain_errors(loader):
            status.progress = status.step / recipe.steps
            if recipe.minutes is not None:
                spent = processes.broadcast_number(time.monotonic() - begun)
                status.progress = max(status.progress, spent / (60 * recipe.minutes))
                if status.progress >= 1:
                    break
            job.schedule(job.optimiser, status.step, status.progress)
            job.optimiser.zero_grad(set_to_none=True)
            measured = torch.zeros_like(totals)
            for number, part in enumerate(_parts(batch, recipe.accumulate, device), 1):
                alone = distributed is not job.network and number < recipe.accumulate
                with distributed.no_sync() if alone else nullcontext():  # type: ignore[operator]
                    with torch.autocast(device.type, dtype, enabled=dtype is not None):
                        loss, values = job.loss(distributed, part)
                    scaler.scale(loss / recipe.accumulate).backward()
                measured += torch.stack([v.detach().to(totals) for v in values]) / recipe.accumulate
            if recipe.clip:
                scaler.unscale_(job.optimiser)
                torch.nn.utils.clip_grad_norm_(weights, recipe.clip)
            scaler.step(job.optimiser)
            scaler.update()
            if job.average is not None:
                job.average.update_parameters(job.network)
            status.step += 1
            totals += processes.mean(measured)
            count += 1
            if status.step % recipe.log_steps == 0 or status.step == recipe.steps:
                _check_finite(totals, status.step)
                if log is not None:
                    status.spent = time.monotonic() - begun
                    line = dict(zip(job.measures, (totals / count).tolist(), strict=True))
                    rate = job.optimiser.param_groups[0]["lr"]
                    log.write(status.step, {**line, "lr": rate, "seconds": round(status.spent, 3)})
                    report(replace(status, progress=max(status.progress, status.step / recipe.steps)), line)
                totals, count = torch.zeros_like(totals), 0
            if log is not None:
                if validate is not None:
                    status.spent, pause = time.monotonic() - begun, time.monotonic()
                    if validate(status, log):
                        begun += time.monotonic() - pause  # the clock counts training alone
                        status.validated = (status.step, status.spent)
                if time.monotonic() - saved >= 60 * recipe.save_minutes:
                    save()
                    saved = time.monotonic()
        if log is not None:
            save()
    return status


def _with_plain_errors(loader: Iterable[Batch]) -> Iterator[Batch]:
    """Batches; an InputError of a worker loses the traceback that PyTorch adds to its message."""
    try:
        yield from loader
    except InputError as error:
        raise InputError(str(error).rpartition("InputError: ")[2].strip()) from error


def _parts(batch: Batch, count: int, device: torch.device) -> Iterator[Batch]:
    """A batch in equal parts, on the device."""
    for number in range(count):
        yield {key: value.chunk(count)[number].to(device, non_blocking=True) for key, value in batch.items()}


def _check_finite(totals: Tensor, step: int) -> None:
    if not bool(torch.isfinite(totals).all()):
        raise FloatingPointError(
            f"the loss is not finite after step {step}: the learning rate may be too high, or the precision "
            "too low; the last saved state is from before"
        )


def _dump(
    job: Job, scaler: torch.amp.GradScaler, status: Status, totals: Tensor, count: int, device: torch.device
) -> dict[str, Any]:
    return {
        "identity": job.identity,
        "network": job.network.state_dict(),
        "average": job.average.state_dict() if job.average is not None else None,
        "optimiser": job.optimiser.state_dict(),
        "scaler": scaler.state_dict(),
        "random": random_state(device),
        "step": status.step,
        "spent": status.spent,
        "progress": status.progress,
        "looked": list(status.validated),
        "totals": totals.cpu(),
        "count": count,
    }


def _load(state: dict[str, Any], job: Job, scaler: torch.amp.GradScaler, device: torch.device) -> None:
    job.network.load_state_dict(state["network"])
    if job.average is not None:
        job.average.load_state_dict(state["average"])
    job.optimiser.load_state_dict(state["optimiser"])
    scaler.load_state_dict(state["scaler"])
    restore_random_state(state["random"], device)
