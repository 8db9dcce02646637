"""One training process or several, started by ``torchrun``, and the data that they exchange."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from apnt.device import choose_device
from apnt.errors import InputError


@dataclass(frozen=True)
class Processes:
    """This process, one of those that train together; without arguments, the only one, on the CPU.

    Attributes:
        rank: its number; only number 0 writes files.
        world: their number.
        device: where it computes.
    """

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def distribute(self, network: nn.Module) -> nn.Module:
        """The network with gradients averaged over the processes; all start from the first one's weights."""
        if self.world == 1:
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=devices)

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the processes, in place."""
        if self.world > 1:
            dist.all_reduce(values)
            values /= self.world
        return values

    def broadcast_number(self, value: float) -> float:
        """The first process's number."""
        if self.world == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(shared, 0)
        return float(shared)

    def broadcast_bytes(self, content: bytes | None) -> bytes | None:
        """The first process's bytes, so that the others need no access to its files."""
        if self.world == 1:
            return content
        length = int(self.broadcast_number(-1 if content is None else len(content)))
        if length < 0:
            return None
        shared = torch.empty(length, dtype=torch.uint8, device=self.device)
        if self.first:
            assert content is not None
            shared.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        dist.broadcast(shared, 0)
        return shared.cpu().numpy().tobytes()


@contextmanager
def join(device: str | None = None) -> Iterator[Processes]:
    """The processes that ``torchrun`` started, or this one alone.

    Args:
        device: ``"cpu"``, ``"cuda"`` (with several processes each takes the one of its local rank), or, for
            one process, any device; None = CUDA where there is one.

    Raises:
        InputError: a device that cannot be used, one device for several processes, or variables that do not
            fit each other.
    """
    world = _number("WORLD_SIZE", 1) if "WORLD_SIZE" in os.environ else 1
    if "RANK" not in os.environ and world > 1:
        raise InputError(
            f"RANK must be set where WORLD_SIZE is {world}: start with torchrun, or unset WORLD_SIZE for one "
            "process"
        )
    if "WORLD_SIZE" not in os.environ or "RANK" not in os.environ:
        yield Processes(device=choose_device(device))
        return
    rank, local = _number("RANK", 0, world), _number("LOCAL_RANK", 0)
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda") and world > 1:
        raise InputError(
            f"device must be cpu or cuda where {world} processes each take their own, got {device}"
        )
    place = choose_device(f"cuda:{local}" if name == "cuda" else name)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    try:
        dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    except (ValueError, RuntimeError) as error:  # MASTER_ADDR is missing, nobody answers, ...
        raise InputError(
            f"WORLD_SIZE and RANK ask for {world} processes, which do not find each other ({error}): start "
            "them with torchrun, or unset the two for one process"
        ) from error
    try:
        yield Processes(rank, world, place)
    finally:
        dist.destroy_process_group()


def _number(variable: str, least: int, below: int | None = None) -> int:
    """A whole number of the environment; 0 where it is not set."""
    text = os.environ.get(variable, "0")
    limit = "" if below is None else f" and below {below}"
    if not text.isdecimal() or int(text) < least or (below is not None and int(text) >= below):
        raise InputError(
            f"{variable} must be a whole number from {least}{limit}, got {text!r}: start with torchrun, or "
            "unset it"
        )
    return int(text)
