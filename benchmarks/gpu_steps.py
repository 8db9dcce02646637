"""What gpu_check.sh asks of a GPU, a line of JSON at a time: what is done stays when time runs out.

    python benchmarks/gpu_steps.py facts|once|profile|bench --out FILE [--device cuda] [--backend cuda]
    [--scale 1]

``facts``: the GPU, the driver, and what the library says. ``once``: every kernel on a small map, compared
with the reference, each kind in a process of its own, so that one that hangs or faults takes no other with
it. ``profile``: the time of each kernel of a match and of a transfer, and of their gradients, by the
profiler, in float32 and bfloat16, for features that lie channel by channel and channels-last, at two widths.
``bench``: whole calls, by the device's own clock.

With ``--device cpu --backend cpp --scale 0.05`` all of it runs without a GPU, which is how it is tested.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from apnt import ops, testing

LEVELS = {  # of a match of 1000 x 1500: share of the size, channels, radius
    "level 2": (4, 256, 8), "level 1": (2, 128, 2), "level 0": (1, 64, 2),
}  # fmt: skip
PACKAGED = {"level 2": (4, 64, 8), "level 1": (2, 32, 2), "level 0": (1, 16, 2)}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# (N, C, H, W); ALIGNED: channels-last features that no kernel copies.
SMALL, ALIGNED, CROWDED = (1, 19, 37, 53), (1, 32, 37, 53), (1, 8, 48, 97)


@dataclass(frozen=True)
class Question:
    """One of :data:`ONCE`.

    Attributes:
        match: or a transfer.
        fixed: the gradient is asked for too; summed in a fixed order, or by atomics. None: without it.
        crowded: all patches read one pixel, which many threads then sum.
    """

    dtype: torch.dtype = torch.float32
    match: bool = True
    radius: int = 2
    patch: int = 3
    centres: bool = False
    tf32: bool = False
    last: bool = False
    fixed: bool | None = None
    crowded: bool = False

    def inputs(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Source, target, and centres or, of a transfer, offsets."""
        torch.manual_seed(0)
        n, c, h, w = CROWDED if self.crowded else ALIGNED if self.last else SMALL
        layout = torch.channels_last if self.last else torch.contiguous_format
        source, target = (torch.randn(n, c, h, w).to(self.dtype, memory_format=layout) for _ in range(2))
        moved = centres(h, w, "cpu") if self.centres or not self.match else None
        if self.crowded:
            rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
            moved = torch.stack([h // 2 - rows, w // 3 - columns])[None].int()
        return source, target, moved


ONCE = {
    "match-float32": Question(radius=8),
    "match-float32-centres": Question(centres=True),
    "match-tf32": Question(radius=8, tf32=True),
    "match-tf32-centres": Question(centres=True, tf32=True, last=True),
    "match-bfloat16": Question(torch.bfloat16, radius=8, last=True),
    "match-bfloat16-centres": Question(torch.bfloat16, centres=True, last=True),
    "match-float16": Question(torch.float16, radius=8),
    "match-float16-centres": Question(torch.float16, centres=True),
    "match-direct": Question(torch.float64, radius=2),
    "match-gradient": Question(fixed=False),
    "match-gradient-fixed": Question(fixed=True),
    "swap-float32": Question(match=False),
    "swap-bfloat16": Question(torch.bfloat16, match=False),
    "swap-any-patch": Question(match=False, patch=5, fixed=False),
    "swap-bfloat16-last": Question(torch.bfloat16, match=False, last=True, fixed=False),
    "swap-gradient": Question(torch.bfloat16, match=False, fixed=False),
    "swap-gradient-fixed": Question(match=False, fixed=True, crowded=True),
    "swap-gradient-fixed-last": Question(match=False, fixed=True, crowded=True, last=True),
}
AT_ONCE = 4  # processes


@dataclass(frozen=True)
class Place:
    """Where the work runs: a device, a backend of the ops, and a share of the full size."""

    device: str
    backend: str
    scale: float

    def synchronize(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def facts(place: Place) -> Iterator[dict[str, Any]]:
    from apnt import info

    yield {"facts": info.collect()}
    if place.device == "cuda":
        found = torch.cuda.get_device_properties(0)
        yield {
            "gpu": {
                name: getattr(found, name) for name in dir(found) if isinstance(getattr(found, name), int)
            }
        }
        timed = seconds(lambda: torch.empty(1 << 28, device="cuda").zero_(), place)
        yield {"GB/s of a fill": 2**30 / timed["median"] / 1e9}


def centres(h: int, w: int, device: str) -> Tensor:
    """(1, 2, H, W): one for 2 x 2 pixels, up to two pixels from its neighbours'."""
    coarse = torch.randint(-2, 3, (1, 2, -(-h // 2), -(-w // 2)))
    return coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., :h, :w].int().contiguous().to(device)


@contextlib.contextmanager
def deterministic(fixed: bool) -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(fixed)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """float32 rounded to TF32 in matrix products."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32" if allowed else before
    try:
        yield
    finally:
        matmul.fp32_precision = before


def ask(name: str, place: Place) -> None:
    """One of :data:`ONCE`, and its gradient where it has one, compared with the reference.

    Raises:
        AssertionError: the answer is wrong.
    """
    q = ONCE[name]
    with deterministic(bool(q.fixed)), tf32(q.tf32):
        answer(q, place)


def answer(q: Question, place: Place) -> None:
    """Raises AssertionError where it is wrong."""
    backend, options = testing.Backend(place.backend), dict[str, Any](patch_size=q.patch)
    source, target, moved = q.inputs()
    leaves = [x.requires_grad_(q.fixed is not None) for x in (source, target)]
    if q.match:
        offset, out = backend.window_match(source, target, moved, radius=q.radius, **options)
        tolerance = testing.TF32_SCORE_TOLERANCE if q.tf32 else None
        testing.check_window_match(
            offset, out.detach(), source.detach(), target.detach(), moved,
            radius=q.radius, tolerance=tolerance, **options,
        )  # fmt: skip
    else:
        assert moved is not None
        out, leaves = backend.patch_swap(source, moved, **options), [source]
        testing.check_patch_swap(out.detach(), source.detach(), moved, **options)
    if q.fixed is None:
        return
    grad = torch.randn_like(out)
    grads = torch.autograd.grad(out, leaves, grad)
    if q.match:
        testing.check_window_match_gradient(grads, grad, source, target, offset, **options)
    else:
        assert moved is not None
        testing.check_patch_swap_gradient(grads[0], grad, source, moved, **options)


def once(place: Place) -> Iterator[dict[str, Any]]:
    """In the order in which they end."""
    options = ["--device", place.device, "--backend", place.backend]

    def one(name: str) -> dict[str, Any]:
        start = time.monotonic()
        try:
            done = subprocess.run(
                [sys.executable, "-P", str(Path(__file__).resolve()), "ask", "--case", name, *options],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            said = (done.stderr.strip().splitlines() or [""])[-1]
            result = "right" if done.returncode == 0 else f"exit code {done.returncode}: {said}"
        except subprocess.TimeoutExpired:
            result = "hangs: no answer in 60 s"
        return {"once": name, "result": result, "seconds": round(time.monotonic() - start, 1)}

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in as_completed([pool.submit(one, name) for name in ONCE]):
            yield done.result()


SLEEP = 4_000_000  # clocks of the device: two milliseconds


def seconds(work: Callable[[], Any], place: Place, rounds: int = 20) -> dict[str, float]:
    """Time of a call, by events on the device. It sleeps until the host has launched all of the call: one
    that is shorter than its launches would take as long as they do."""
    for _ in range(3):
        work()
    place.synchronize()
    found = []
    for _ in range(rounds):
        if place.device == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda._sleep(SLEEP)
            begin.record()
            work()
            end.record()
            end.synchronize()
            found.append(begin.elapsed_time(end) / 1e3)
        else:
            start = time.perf_counter()
            work()
            found.append(time.perf_counter() - start)
    found.sort()
    return {"median": found[len(found) // 2], "least": found[0], "most": found[-1]}


def work(place: Place) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Calls at full size, with what they are called."""
    for width in (1500, 1504):
        for name, dtype in DTYPES.items():
            for layout in ("channel by channel", "channels-last"):
                for kind, levels in (("VGG", LEVELS), ("packaged", PACKAGED)):
                    for level, (share, channels, radius) in levels.items():
                        h, w = (
                            max(8, int(1000 * place.scale) // share),
                            max(8, int(width * place.scale) // share),
                        )
                        label = f"{level}, {kind}, C = {channels}, {h} x {w}, {name}, {layout}"
                        yield label, match(channels, h, w, radius, dtype, layout, place)
                size = max(8, int(1000 * place.scale)), max(8, int(width * place.scale))
                label = f"C = 64, {size[0]} x {size[1]}, {name}, {layout}"
                yield f"transfer, {label}", swap(*size, dtype, layout, place)
                if width == 1500:
                    for fixed, how in ((False, "by atomics"), (True, "in a fixed order")):
                        for kind in ("transfer", "match"):
                            call = gradient(kind, *size, dtype, layout, fixed, place)
                            yield f"gradient of a {kind} {how}, {label}", call


def features(channels: int, h: int, w: int, dtype: torch.dtype, layout: str, place: Place) -> Tensor:
    found = torch.randn(1, channels, h, w, device=place.device).to(dtype)
    return found.contiguous(memory_format=torch.channels_last) if layout == "channels-last" else found


def match(
    channels: int, h: int, w: int, radius: int, dtype: torch.dtype, layout: str, place: Place
) -> Callable[[], Any]:
    source, target = (features(channels, h, w, dtype, layout, place) for _ in range(2))
    center = None if radius > 2 else centres(h, w, place.device)
    return lambda: ops.window_match(source, target, center, radius=radius, backend=place.backend)


def swap(h: int, w: int, dtype: torch.dtype, layout: str, place: Place) -> Callable[[], Any]:
    source, moved = features(64, h, w, dtype, layout, place), centres(h, w, place.device)
    return lambda: ops.patch_swap(source, moved, backend=place.backend)


def gradient(
    kind: str, h: int, w: int, dtype: torch.dtype, layout: str, fixed: bool, place: Place
) -> Callable[[], Any]:
    leaves = [features(64, h, w, dtype, layout, place).requires_grad_() for _ in range(2)]
    center = centres(h, w, place.device)
    if kind == "transfer":
        leaves = leaves[:1]
        out = ops.patch_swap(leaves[0], center, backend=place.backend)
    else:
        source, target = leaves
        _, out = ops.window_match(source, target, center, radius=2, backend=place.backend)
    grad = torch.randn_like(out)

    def call() -> None:
        with deterministic(fixed):
            torch.autograd.grad(out, leaves, grad, retain_graph=True)

    return call


def bench(place: Place) -> Iterator[dict[str, Any]]:
    for label, call in work(place):
        yield {"bench": label, "seconds": seconds(call, place)}


def profile(place: Place) -> Iterator[dict[str, Any]]:
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (place.device == "cuda")
    for label, call in work(place):
        call()
        place.synchronize()
        with profiler(activities=kinds) as found:
            for _ in range(5):
                call()
            place.synchronize()
        spent = {
            event.key: (event.device_time_total if place.device == "cuda" else event.cpu_time_total) / 5
            for event in found.key_averages()
        }
        yield {"profile": label, "us a call": {key: round(us, 1) for key, us in spent.items() if us > 0}}


@contextlib.contextmanager
def memory_left_as_it_is() -> Iterator[None]:
    """Deterministic algorithms fill new memory, else, and that would be timed."""
    settings: Any = torch.utils.deterministic
    before = settings.fill_uninitialized_memory
    settings.fill_uninitialized_memory = False
    try:
        yield
    finally:
        settings.fill_uninitialized_memory = before


STEPS = {"facts": facts, "once": once, "profile": profile, "bench": bench}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=[*STEPS, "ask"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--case", choices=list(ONCE))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--backend", default="cuda")
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args()
    place = Place(options.device, options.backend, options.scale)
    if options.step == "ask":
        ask(options.case, place)
        return 0
    wrong = 0
    with options.out.open("w") as out, memory_left_as_it_is():
        for line in STEPS[options.step](place):
            out.write(json.dumps(line) + "\n")
            out.flush()
            print(json.dumps(line), flush=True)
            wrong += line.get("result", "right") != "right"
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
