"""A batch on a Ray cluster: actors that load the network once, and brackets that outlive them.

Files travel with the tasks, so that nodes need no folder in common; results are written here alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from apnt.batch.memory import network_of
from apnt.batch.nodes import Placement, placed
from apnt.batch.plan import Bracket
from apnt.batch.run import Expected, Outcome, Task, Tell, in_words, untold
from apnt.batch.settings import Settings
from apnt.errors import InputError
from apnt.io.exif import sidecars_of
from apnt.io.files import write_bytes
from apnt.io.inputs import check_regular
from apnt.methods import check_method
from apnt.text import duration

TRIES = 3
"""How often a bracket is begun whose worker dies."""

_PATIENCE = 300.0  # seconds until a worker is there, or the cluster has no place for one
_PREFIX, _LOCK = "apnt-batch-worker-", "lock"

Files = dict[str, np.ndarray]
"""Name -> (size,) uint8; arrays arrive read-only."""


class Worker:
    """What an actor is: a :class:`apnt.batch.job.Fuser` that is handed files and hands files back.

    Args:
        settings: of the batch.
        attached: content of files that settings name, as files named after the settings.
        threads: that PyTorch may use.
    """

    def __init__(self, settings: Settings, attached: Files, threads: int) -> None:
        import torch

        from apnt.batch.job import Fuser

        torch.set_num_threads(threads)
        self._folder, self._lock = _work_folder()
        for name, content in attached.items():
            path = Path(self._folder.name, name)
            path.write_bytes(content.data)
            settings = replace(settings, **{path.stem: str(path)})  # type: ignore[arg-type]  # fields of text
        self._settings, self._threads = settings, threads
        self._fuser = Fuser(settings)

    def ready(self) -> str:
        """Where this is."""
        import ray

        return ray.get_runtime_context().get_node_id()

    def fuse(
        self, name: str, frames: Sequence[Files], stops: Sequence[float] | None, limit: int | None = None
    ) -> tuple[dict[str, Any] | None, list[np.ndarray], str]:
        """Fuse one bracket.

        Args:
            name: of what is written, without a folder; the page shows it.
            frames: of each frame its file, and after it what belongs to it, such as XMP.
            stops: exposures; None = by EXIF, or the pixels.
            limit: see :meth:`apnt.batch.job.Fuser.fuse`.

        Returns:
            The report, and the content of what was written, in the order of
            :attr:`apnt.run.Outputs.files`; or None, nothing, and what went wrong.
        """
        import torch

        torch.set_num_threads(self._threads)  # of this task's thread
        with tempfile.TemporaryDirectory(dir=self._folder.name) as folder:
            *places, results = [Path(folder, str(n)) for n in range(len(frames) + 1)]
            try:
                paths = []
                for place, files in zip(places, frames, strict=True):
                    place.mkdir()
                    for file, content in files.items():
                        (place / file).write_bytes(content.data)
                    paths.append(place / next(iter(files)))
                results.mkdir()
                outputs = self._settings.outputs(results, name)
                report = self._fuser.fuse(paths, stops, outputs, limit)
            except Exception as error:
                words = in_words(error)
                for place in (*places, results):
                    words = words.replace(f"{place}{os.sep}", "")
                return None, [], words
            written = [np.fromfile(path, np.uint8) for path in outputs.files]
            return {**report, "node": self.ready()}, written, ""


def _work_folder() -> tuple[tempfile.TemporaryDirectory[str], int]:
    """A folder of this process, with its lock; those of workers that were killed go."""
    for old in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # It may be gone, in use, or another user's.
        with contextlib.suppress(OSError), (old / _LOCK).open("rb") as theirs:
            fcntl.flock(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(old, ignore_errors=True)
    folder = tempfile.TemporaryDirectory(prefix=_PREFIX)
    lock = os.open(Path(folder.name, _LOCK), os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return folder, lock


@dataclass
class _Running:
    actor: Any
    task: Task
    tries: int


class RayEngine:
    """Brackets on the actors of a cluster, as many as :func:`apnt.batch.nodes.placed` chooses.

    An actor that dies is replaced, and its bracket begun again, :data:`TRIES` times in all.

    Args:
        settings: of the batch.
        address: of a cluster; None = what RAY_ADDRESS names, or one that runs on this machine, or one that
            is started on it.
        jobs: how many actors; None = one a GPU, or else one a node.

    Raises:
        InputError: Ray is missing.
    """

    def __init__(self, settings: Settings, address: str | None = None, jobs: int | None = None) -> None:
        try:
            import ray
        except ImportError as error:
            raise InputError(
                "engine must be local where Ray is not installed: pip install 'apnt[ray]'"
            ) from error
        if jobs is not None and jobs < 1:
            raise InputError(f"jobs must be at least 1, got {jobs}")
        self._ray, self._settings, self._address, self._jobs = ray, settings, address, jobs
        self._ours = False

    def expect(self, brackets: Sequence[Bracket]) -> Expected:
        """See :class:`apnt.batch.run.Engine`; how fast workers are is not measured ahead.

        Raises:
            InputError: there is no such cluster, or too little memory on its nodes.
        """
        self._connect()
        place = self._placed(brackets)
        return Expected(place.need, None, place.count, place.wanted)

    def __call__(
        self, tasks: Sequence[Task], begin: Callable[[Task], None], tell: Tell = untold
    ) -> Iterator[Outcome]:
        """See :class:`apnt.batch.run.Engine`; how far a bracket is on its worker is not told."""
        if not tasks:
            return
        self._connect()
        try:
            place = self._placed([task.bracket for task in tasks])
            yield from _carried_out(self._ray, tasks, begin, self._settings, place)
        finally:
            if self._ours:
                self._ray.shutdown()

    def _connect(self) -> None:
        if not self._ray.is_initialized():
            _connect(self._ray, self._address)
            self._ours = True

    def _placed(self, brackets: Sequence[Bracket]) -> Placement:
        settings = self._settings
        return placed(
            [node["Resources"] for node in self._ray.nodes() if node["Alive"]],
            brackets,
            network_of(settings),
            jobs=self._jobs,
            gpu=settings.device in (None, "cuda"),
            memory=settings.memory,
        )


def _connect(ray: Any, address: str | None) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None and "RAY_ADDRESS" not in os.environ:
        options["include_dashboard"] = False
    try:
        ray.init(address, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(
            f"ray-address must be a Ray cluster that runs, and {address} is none: {error}"
        ) from error


def _carried_out(
    ray: Any, tasks: Sequence[Task], begin: Callable[[Task], None], settings: Settings, place: Placement
) -> Iterator[Outcome]:
    start, count = _starter(ray, settings, place), place.count
    limits = {
        task.key: settings.memory or limit for task, limit in zip(tasks, place.need.limits, strict=True)
    }
    waiting = deque((task, 1) for task in tasks)
    starting = {actor.ready.remote(): actor for actor in (start() for _ in range(count))}
    idle: list[Any] = []
    running: dict[Any, _Running] = {}
    died = (ray.exceptions.RayActorError, ray.exceptions.RaySystemError, ray.exceptions.WorkerCrashedError)
    never_started = 0
    while waiting or running:
        while idle and waiting:
            task, tries = waiting.popleft()
            try:
                begin(task)
                frames = [_files(path) for path in task.bracket.paths]
            except Exception as error:
                yield Outcome.failed(task, error)
                continue
            actor = idle.pop()
            name = Path(task.bracket.name).name
            begun = actor.fuse.remote(name, frames, task.bracket.stops, limits[task.key])
            running[begun] = _Running(actor, task, tries)
        if not waiting and not running:
            break
        ready, _ = ray.wait([*running, *starting], num_returns=1, timeout=None if running else _PATIENCE)
        if not ready:
            raise OSError(
                f"no worker started in {duration(_PATIENCE)}: the cluster has {ray.cluster_resources()}"
            )
        reference = ready[0]
        if reference in starting:
            actor = starting.pop(reference)
            try:
                ray.get(reference)
                idle.append(actor)
            except died as error:
                never_started += 1
                if never_started >= TRIES * count:
                    raise OSError(f"no worker starts on the cluster: {in_words(error)}") from error
                starting.update({(other := start()).ready.remote(): other})
            continue
        run = running.pop(reference)
        try:
            report, written, words = ray.get(reference)
        except died as error:
            starting.update({(other := start()).ready.remote(): other})
            if run.tries < TRIES:
                waiting.appendleft((run.task, run.tries + 1))
            else:
                yield Outcome(run.task, words=f"its worker died {TRIES} times, the last: {in_words(error)}")
            continue
        idle.append(run.actor)
        yield _written(run, report, written, words)


def _written(run: _Running, report: dict[str, Any] | None, written: list[np.ndarray], words: str) -> Outcome:
    if report is None:
        return Outcome(run.task, words=words)
    try:
        for path, content in zip(run.task.files, written, strict=True):
            write_bytes(path, content.tobytes())
    except OSError as error:
        return Outcome.failed(run.task, error)
    return Outcome(run.task, {**report, "tries": run.tries})


def _starter(ray: Any, settings: Settings, place: Placement) -> Callable[[], Any]:
    """What starts an actor."""
    actor = ray.remote(Worker).options(scheduling_strategy="SPREAD", **place.resources)
    attached = ray.put({n: np.fromfile(p, np.uint8) for n, p in _attached(settings).items()})
    if "num_gpus" not in place.resources:  # else the network's budget is of the GPU's memory
        settings = replace(settings, memory=place.need.there)
    return lambda: actor.remote(settings, attached, place.threads)


def _attached(settings: Settings) -> dict[str, Path]:
    """Files of this machine that settings name: field and suffix -> file."""
    from apnt.nn.checkpoint import find
    from apnt.packaged import packaged

    files = {"curve": Path(settings.curve)}
    if check_method(settings.method).has_weights and settings.weights not in packaged():
        files["weights"] = find(settings.weights) or Path()  # a Hub id: workers fetch it
    return {f"{name}{path.suffix}": path for name, path in files.items() if path.is_file()}


def _files(path: Path) -> Files:
    return {file.name: np.fromfile(check_regular(file), np.uint8) for file in (path, *sidecars_of(path))}
