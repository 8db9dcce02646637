"""What gpu_check.sh asks of a GPU, a line of JSON at a time: what is done stays when time runs out.

    python benchmarks/gpu_steps.py facts|once|profile|bench --out FILE [--device cuda] [--backend cuda]
    [--scale 1]

``facts``: the GPU, the driver, and what the library says. ``once``: every kind of kernel once on a small map,
compared with the reference, each in a process of its own, so that one that hangs or faults takes no other
with it. ``profile``: the time of each kernel of a match and of a transfer, by the profiler, in float32 and
bfloat16, for features that lie channel by channel and channels-last, at two widths. ``bench``: whole calls,
by the device's own clock.

With ``--device cpu --backend cpp --scale 0.05`` all of it runs without a GPU, which is how it is tested.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
ONCE = {
    "match-float32": {"dtype": torch.float32, "radius": 8},
    "match-float32-centres": {"dtype": torch.float32, "radius": 2, "centres": True},
    "match-tf32": {"dtype": torch.float32, "radius": 8, "tf32": True},
    "match-tf32-centres": {"dtype": torch.float32, "radius": 2, "centres": True, "tf32": True},
    "match-bfloat16": {"dtype": torch.bfloat16, "radius": 8},
    "match-bfloat16-centres": {"dtype": torch.bfloat16, "radius": 2, "centres": True},
    "match-float16": {"dtype": torch.float16, "radius": 8},
    "match-float16-centres": {"dtype": torch.float16, "radius": 2, "centres": True},
    "match-direct": {"dtype": torch.float64, "radius": 2},
    "swap-float32": {"dtype": torch.float32},
    "swap-bfloat16": {"dtype": torch.bfloat16},
}


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


def ask(name: str, place: Place) -> None:
    """One of :data:`ONCE`, forwards and backwards, compared with the reference.

    Raises:
        AssertionError: the answer is wrong.
    """
    torch.manual_seed(0)
    case = ONCE[name]
    if case.get("tf32"):
        torch.backends.cuda.matmul.fp32_precision = "tf32"
    source, target = torch.randn(2, 1, 19, 37, 53).to(case["dtype"])
    backend = testing.Backend(place.backend)
    if name.startswith("swap"):
        moved = centres(37, 53, "cpu")
        testing.check_patch_swap(backend.patch_swap(source, moved), source, moved)
        return
    center = centres(37, 53, "cpu") if case.get("centres") else None
    found = backend.window_match(source, target, center, radius=case["radius"])
    tolerance = testing.TF32_SCORE_TOLERANCE if case.get("tf32") else None
    testing.check_window_match(*found, source, target, center, radius=case["radius"], tolerance=tolerance)


def once(place: Place) -> Iterator[dict[str, Any]]:
    for name in ONCE:
        options = ["--device", place.device, "--backend", place.backend]
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
        yield {"once": name, "result": result, "seconds": round(time.monotonic() - start, 1)}


def seconds(work: Callable[[], Any], place: Place, rounds: int = 20) -> dict[str, float]:
    """Time of a call, by events on the device: the host's clock would also measure the launch."""
    for _ in range(3):
        work()
    place.synchronize()
    found = []
    for _ in range(rounds):
        if place.device == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
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
                yield (
                    f"transfer, C = 64, {size[0]} x {size[1]}, {name}, {layout}",
                    swap(*size, dtype, layout, place),
                )


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
    with options.out.open("w") as out:
        for line in STEPS[options.step](place):
            out.write(json.dumps(line) + "\n")
            out.flush()
            print(json.dumps(line), flush=True)
            wrong += line.get("result", "right") != "right"
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
