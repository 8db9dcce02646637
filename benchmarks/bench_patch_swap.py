"""Time of ``patch_swap`` beside a copy of as many bytes and beside its peers, and the memory it takes.

    python benchmarks/bench_patch_swap.py [IMAGES --stops 0,3,6] [--device cuda] [--json FILE]

Without images the offsets are those of a procedural scene.

The copy is ``source.clone()``: it allocates its result in every call, as the op does. New memory arrives page
by page at its first write, and where that is slow it takes longer than either kernel and would be measured
instead of them. During these rows the process therefore keeps what it frees (:func:`kept_memory`): every call
of both sides writes to pages that exist. A program whose calls all get new memory waits for the pages on top,
for the copy as for the op.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from apnt import ops, reference, testing
from apnt.benchmarks import measure, peers, scenes
from apnt.benchmarks.backends import each_backend
from apnt.benchmarks.bench_window_match import HEIGHT, WIDTH
from apnt.benchmarks.measure import Row, Work

CHANNELS = 64
"""Of the paper's encoder at full size."""


def measure_patch_swap(
    images: Sequence[Path], stops: Sequence[float] | None, device: torch.device
) -> Iterator[Row]:
    """All rows of every backend, as they are found; nothing is timed of a backend that is not right."""
    offsets = scenes.pyramids(scenes.photographs(images, stops, HEIGHT, WIDTH)).offsets

    def measured() -> Iterator[Row]:
        with kept_memory():
            shares = bandwidth(offsets, device)
        yield from shares
        yield from memory(device)

    yield from each_backend(device, gate, measured)


def gate(backend: str) -> None:
    """Fail unless a backend gives the right answers to small inputs of the kinds that are timed."""
    torch.manual_seed(0)
    there = testing.Backend(backend)
    for dtype in (torch.float32, torch.bfloat16):
        for reach in (0, 5, 36):
            source, grad_out = (torch.randn(1, 64, 37, 53).to(dtype) for _ in range(2))
            offset = scenes.random_centers(37, 53, reach, 1)
            last = there.patch_swap(source.to(memory_format=torch.channels_last), offset)
            testing.check_patch_swap(last, source, offset)
            source.requires_grad_()
            out = there.patch_swap(source, offset)
            testing.check_patch_swap(out, source, offset)
            (grad,) = torch.autograd.grad(out, source, grad_out)
            testing.check_patch_swap_gradient(grad, grad_out, source, offset)


def kinds(offsets: list[Tensor]) -> dict[str, Tensor]:
    """Full-size offset fields (1, 2, H, W), from the tamest to the wildest."""
    constant = torch.zeros_like(offsets[0])
    constant[:, 0], constant[:, 1] = 3, -7
    return {
        "constant": constant,
        "of the picture": offsets[0],
        "random within 36 pixels": scenes.random_centers(HEIGHT, WIDTH, 36, 1),
        "random over the whole image": scenes.random_centers(HEIGHT, WIDTH, WIDTH, 1),
    }


@contextmanager
def kept_memory() -> Iterator[None]:
    """Let the C library keep freed memory of any size and give it out again, instead of returning it.

    Only glibc can; elsewhere nothing changes, nor on a GPU, where PyTorch does so by itself.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of malloc.h
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, 2**31 - 1)
    try:
        yield
    finally:  # glibc's own values
        libc.mallopt(mmap_max, 1 << 16)
        libc.mallopt(trim_threshold, 128 << 10)
        libc.malloc_trim(0)


def bandwidth(offsets: list[Tensor], device: torch.device) -> list[Row]:
    """Bytes that the op has to move a second (source and offset in, result out), over those of a copy."""
    channels = CHANNELS
    torch.manual_seed(0)
    source = torch.randn(1, channels, HEIGHT, WIDTH, device=device)
    last = source.to(memory_format=torch.channels_last)
    grad_out = torch.randn_like(source)
    moved = 8.0 * source.numel()
    floor = moved + 4.0 * offsets[0].numel()
    rows = []
    for name, field in kinds(offsets).items():
        offset = field.to(device)
        leaf = source.clone().requires_grad_()
        out = ops.patch_swap(leaf, offset)

        def gradient(out: Tensor = out, leaf: Tensor = leaf) -> object:
            return torch.autograd.grad(out, leaf, grad_out, retain_graph=True)

        seconds = measure.time_together(
            {
                "copy": source.clone,
                "forward": lambda offset=offset: ops.patch_swap(source, offset),
                "forward, channels last": lambda offset=offset: ops.patch_swap(last, offset),
                "backward": gradient,
            },
            device,
        )
        at_best = floor * seconds["copy"].median / moved
        note = f"{100 * scenes.coherence(field):.0f} % coherent"
        for what, least in (("forward", 0.6), ("forward, channels last", 0.6), ("backward", 0.4)):
            share = at_best / seconds[what].median
            row = Row(f"{what}, C = {channels}, {HEIGHT} x {WIDTH}, offsets {name}", seconds[what], note=note)
            # Offsets that no match can find are here to show what they would cost.
            if name.startswith("random"):
                row.figures["share of the copy's bandwidth"] = share
            else:
                row.at_least("share of the copy's bandwidth", share, least)
            rows.append(row)
        if name == "constant":
            rows.insert(
                0,
                Row(
                    "copy of the source",
                    seconds["copy"],
                    {"GB/s": moved / seconds["copy"].median / 1e9},
                    note="copy and op both allocate their result, from memory that the process has kept",
                ),
            )
        if name == "of the picture":
            rows += others(source, offset, seconds["forward"].median, device)
    return rows


def others(source: Tensor, offset: Tensor, own: float, device: torch.device) -> list[Row]:
    """The same swap in PyTorch."""
    works: dict[str, Work] = {
        "nine gathers in PyTorch (the reference)": lambda: reference.patch_swap(source, offset),
        "nine times grid_sample in PyTorch": lambda: peers.nine_grid_samples(source, offset),
    }
    expected = ops.patch_swap(source, offset)
    testing.assert_close("nine times grid_sample", peers.nine_grid_samples(source, offset), expected, 1e-4)
    rows = []
    for name, work in works.items():
        seconds = measure.time_once(work, device)
        rows.append(Row(name, seconds, {"over ours": seconds.median / own}))
    return rows


def forward_alone(device: str, shape: tuple[int, ...], reach: int) -> tuple[Work, int]:
    """Work of :func:`memory`, and the bytes of its outputs."""
    source = torch.randn(shape, device=device)
    offset = scenes.random_centers(*shape[2:], reach, 1).to(device)
    return lambda: ops.patch_swap(source, offset), source.numel() * 4


def backward_alone(device: str, shape: tuple[int, ...], reach: int) -> tuple[Work, int]:
    """Work of :func:`memory`, and the bytes of its outputs."""
    source = torch.randn(shape, device=device, requires_grad=True)
    offset = scenes.random_centers(*shape[2:], reach, 1).to(device)
    out = ops.patch_swap(source, offset)
    grad = torch.randn_like(out)
    return lambda: torch.autograd.grad(out, source, grad), source.numel() * 4


def memory(device: torch.device) -> list[Row]:
    """Peak memory beside inputs and outputs, as a share of the inputs."""
    rows = []
    for what, build in (("forward", forward_alone), ("backward", backward_alone)):
        for channels in (32, 64):
            for reach in (0, 36):
                shape = (1, channels, HEIGHT, WIDTH)
                extra = measure.extra_memory(build, device.type, shape, reach)
                inputs = 4 * HEIGHT * WIDTH * (channels + 2)
                offsets = "random offsets" if reach else "constant offset"
                rows.append(
                    Row(
                        f"extra memory, {what}, C = {channels}, {offsets}", None, {"MiB": extra / 2**20}
                    ).at_most("% of the inputs", 100 * extra / inputs, 10)
                )
    return rows


if __name__ == "__main__":
    from apnt.benchmarks.command import main

    main("patch_swap")
