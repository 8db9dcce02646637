"""One process that fuses for long, and many threads and processes at once: nothing grows, nothing differs."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import commands
import numpy as np
import torch
from results import Row, descriptors, resident, timed
from torch import Tensor

import apnt
from apnt import ops

_GROWTH = 24.0  # MiB that may be added after the first tenth: allocators keep some
_WARM = 8


def growth(total: int, seed: int) -> list[Row]:
    """Fuses in one process, from files to files; descriptors and memory before and after."""
    row = Row("fuses in one process: descriptors and memory stay")
    with tempfile.TemporaryDirectory(prefix="torture-") as name, timed(row):
        folder = Path(name)
        commands.make_inputs(folder)
        model = apnt.APNTFusion.from_pretrained(folder / "w.safetensors")
        from apnt.io.radiance import write_radiance

        frames = [str(folder / f"{index}.png") for index in range(3)]
        first, open_before, memory_before = None, 0, 0.0
        for turn in range(total):
            image = apnt.fuse(frames, stops=[0, 2, 4], model=model)
            write_radiance(folder / f"a{('.exr', '.hdr', '.tif')[turn % 3]}", image)
            first = image if first is None else first
            row.tries += 1
            if not np.array_equal(first, image):
                row.fault(f"fuse {turn} differs from the first")
            if turn == max(_WARM, total // 10):
                open_before, memory_before = descriptors(), resident()
        if total > 2 * _WARM:
            if descriptors() != open_before:
                row.fault(f"{descriptors() - open_before} more files are open")
            if resident() - memory_before > _GROWTH:
                row.fault(f"{resident() - memory_before:.1f} MiB more memory")
    return [row]


def _inputs(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    source, target = (torch.randn(1, 8, 40, 50, generator=generator) for _ in range(2))
    return source, target


def work(seed: int) -> list[np.ndarray]:
    """Both ops and a gradient; in any thread or process."""
    source, target = _inputs(seed)
    source.requires_grad_()
    offset, score = ops.window_match(source, target, radius=2)
    moved = ops.patch_swap(source, offset)
    (grad,) = torch.autograd.grad(score.sum() + moved.square().sum(), source)
    return [x.detach().numpy() for x in (offset, score, moved, grad)]


def _same(row: Row, what: str, found: list[list[np.ndarray]], expected: list[list[np.ndarray]]) -> None:
    for seed, (a, b) in enumerate(zip(found, expected, strict=True)):
        row.tries += 1
        if not all(np.array_equal(x, y) for x, y in zip(a, b, strict=True)):
            row.fault(f"{what}: case {seed} differs")


class Dataset(torch.utils.data.Dataset[list[np.ndarray]]):
    """Results of :func:`work`, made by a worker of a DataLoader."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> list[np.ndarray]:
        return work(index)


def _plain(batch: list[list[np.ndarray]]) -> list[np.ndarray]:
    return batch[0]


def concurrency(total: int, seed: int) -> list[Row]:
    """The ops in threads, in forked and spawned processes, in DataLoader, with other numbers of threads."""
    count = max(2, total // 6)
    sys.path.insert(0, str(Path(__file__).parent))  # for the children that begin anew
    expected = [work(index) for index in range(count)]
    rows = []
    for what in ("threads", "fork", "spawn", "DataLoader", "2 threads inside", "3 threads inside"):
        row = Row(f"ops in parallel, equal to the bit: {what}")
        with timed(row):
            found: list[list[np.ndarray]]
            if what == "threads":
                with ThreadPoolExecutor(4) as executor:
                    found = list(executor.map(work, range(count)))
            elif what in ("fork", "spawn"):
                # Fork while OpenMP's threads of this process exist would hang in any library: one thread.
                with multiprocessing.get_context(what).Pool(2) as processes:
                    found = processes.map_async(work, range(count)).get(timeout=300)
            elif what == "DataLoader":
                loader = torch.utils.data.DataLoader(
                    Dataset(count), num_workers=2, collate_fn=_plain, timeout=120
                )
                found = list(loader)
            else:
                before = torch.get_num_threads()
                torch.set_num_threads(int(what[0]))
                try:
                    found = [work(index) for index in range(count)]
                finally:
                    torch.set_num_threads(before)
            _same(row, what, found, expected)
        rows.append(row)
    return rows


def one_thread() -> None:
    """Before anything computes: children that are forked later find no threads that they lack."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
