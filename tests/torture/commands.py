"""Commands of apnt run in forked children, so that a try does not cost an import of PyTorch."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

RECIPE = """\
[model]
channels = [4, 4, 4]
mef_blocks = 1
reduction = 2
radii = [1, 1, 2]
transfer = false
[network]
steps = {steps}
batch = 1
crop = 32
workers = 0
save_minutes = 0.0
log_steps = 1
"""


BRACKETS = 3
"""Of the folder that ``apnt batch`` is killed in."""


def prepare() -> None:
    """Import everything before the first fork; the trial by which a batch tells its time is short."""
    from apnt import _fuse  # noqa: F401
    from apnt.batch import pace

    pace._SIDES = ((64, 96), (64, 96))


def make_inputs(folder: Path) -> None:
    """Three exposures, a small network, and radiance maps to train on."""
    import torch

    from apnt import APNTFusion
    from apnt.io.radiance import write_radiance
    from apnt.nn import APNTConfig

    rng = np.random.default_rng(0)
    light = np.kron(rng.gamma(1.0, 0.2, (8, 10, 3)), np.ones((8, 8, 1))).astype(np.float32) + 0.01
    for index, stop in enumerate((0, 2, 4)):
        values = np.clip(light * 2.0 ** (stop - 2), 0, 1) ** (1 / 2.2)
        Image.fromarray(np.round(255 * values).astype(np.uint8)).save(folder / f"{index}.png")
    torch.manual_seed(0)
    APNTFusion(APNTConfig(channels=(2, 2, 2), mef_blocks=1, reduction=2)).save(folder / "w.safetensors")
    maps = folder / "maps"
    maps.mkdir()
    for index in range(2):
        write_radiance(maps / f"{index}.exr", np.kron(light, np.ones((2, 2, 1), np.float32)))


def fuse(folder: Path, output: Path) -> list[str]:
    """The command line that fuses the exposures of :func:`make_inputs`."""
    frames = [str(folder / f"{index}.png") for index in range(3)]
    return [
        "fuse",
        *frames,
        "--stops",
        "0,2,4",
        "--weights",
        str(folder / "w.safetensors"),
        "--force",
        "-o",
        str(output),
    ]


def batch(folder: Path, output: Path) -> list[str]:
    """The command line that fuses :data:`BRACKETS` brackets, each of the exposures turned another way."""
    many = folder / "many"
    many.mkdir()
    groups = []
    for turn in range(BRACKETS):
        names = [f"{turn}_{index}.png" for index in range(3)]
        for index, name in enumerate(names):
            with Image.open(folder / f"{index}.png") as exposure:
                Image.fromarray(np.rot90(np.asarray(exposure), turn)).save(many / name)
        groups.append(f"[[bracket]]\nfiles = {names}\nstops = [0, 2, 4]\n")
    (folder / "groups.toml").write_text("\n".join(groups))
    weights = str(folder / "w.safetensors")
    return [
        "batch",
        str(many),
        "--groups",
        str(folder / "groups.toml"),
        "--weights",
        weights,
        "-o",
        str(output),
    ]


def start(arguments: Sequence[str], log: Path, limits: Callable[[], None] | None = None) -> int:
    """Fork, and run a command with its output in ``log``; returns the child's number."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        if limits is not None:
            limits()
        from apnt.cli import app

        try:
            app(list(arguments), prog_name="apnt", standalone_mode=True)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except BaseException:
            import traceback

            traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(pid: int, seconds: float = 60.0) -> int | None:
    """The exit code of a child, negative for a signal; None where it had to be killed after ``seconds``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def limit_file_size(size: int) -> Callable[[], None]:
    """Files of the child may grow to ``size`` bytes: writes beyond fail as they do on a full disk."""

    def limits() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limits


def leftovers(folder: Path) -> list[str]:
    """Unfinished files in a folder, which need not exist."""
    if not folder.is_dir():
        return []
    return [path.name for path in folder.iterdir() if path.name.startswith(".apnt-")]
