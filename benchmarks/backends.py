"""Every backend that a benchmark times, one after the other; one that is wrong or fails stops no other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch

from apnt.benchmarks.measure import Row
from apnt.ops import _backend


def can_run(backend: str, device: torch.device) -> bool:
    """Whether ``backend`` takes tensors on ``device``."""
    return _backend.refusal(backend, torch.empty(1, 1, 1, 1, device=device)) is None


@contextmanager
def forced(backend: str) -> Iterator[None]:
    """Have the ops run on ``backend``."""
    before = os.environ.get(_backend.VARIABLE)
    os.environ[_backend.VARIABLE] = backend
    try:
        yield
    finally:
        if before is None:
            del os.environ[_backend.VARIABLE]
        else:
            os.environ[_backend.VARIABLE] = before


def each_backend(
    device: torch.device, gate: Callable[[str], None], measured: Callable[[], Iterable[Row]]
) -> Iterator[Row]:
    """Rows of each backend that takes tensors on ``device``, as they are found.

    Args:
        device: where the ops run.
        gate: raises if the backend of that name is not right; then nothing of it is timed.
        measured: the rows of the backend that is :func:`forced` at the time.

    Yields:
        The rows, named after the backend where there are several; of a backend that is not right, or that
        fails, one that says so and whose target is missed.
    """
    backends = [name for name in ("cpp", "cuda", "triton") if can_run(name, device)] or ["reference"]
    for backend in backends:
        label = f"{backend}: " if len(backends) > 1 else ""
        step = "right answers to small inputs"
        try:
            gate(backend)
            step = "every row"
            with forced(backend):
                for row in measured():
                    row.name = label + row.name
                    yield row
        except Exception as error:
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            yield Row(f"{backend} fails", target=step, met=False, note=why)
