"""Bytes a pixel that each part of the network takes in a tile, beside what the plan counts.

    python benchmarks/tile_memory.py [--weights default,fast] [--precision bf16,fp32] [--sides 384,768]
                                     [--markdown FILE]

Each row is of a process of its own, in which a made picture is one tile: all parts then see the same pixels,
and what each takes beyond what lay in memory before is the peak that Linux keeps (``VmHWM``), set back before
it. Sides are in pixels of the network. Bytes a pixel are those that the largest side takes beyond the
smallest; `once` are megabytes beside them, which a tile of any size takes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from functools import wraps
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from apnt.budget import resident
from apnt.data.procedural import procedural_bracket
from apnt.memory import ask_for_large_pages, give_back
from apnt.nn import APNTFusion
from apnt.nn.tile_memory import ONCE, TileMemory
from apnt.nn.tiled import Tiled, crop_of
from apnt.nn.tiled_match import TiledMatches

PARTS = ("match", "encode", "blend")


def peak() -> int:
    """The largest resident set since :func:`forget_peak`, bytes."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def forget_peak() -> None:
    """Have the peak begin with what lies in memory now."""
    Path("/proc/self/clear_refs").write_text("5")


class Watched:
    """The largest peaks of parts, bytes beyond what lay in memory before."""

    def __init__(self) -> None:
        self.taken = dict.fromkeys(PARTS, 0)
        self.before = 0

    def begin(self) -> None:
        """What comes is measured from here."""
        give_back()
        self.before = resident()
        forget_peak()

    def end(self, part: str) -> None:
        """It was this part."""
        self.taken[part] = max(self.taken[part], peak() - self.before)

    def around(self, owner: Any, name: str, part: str) -> None:
        """Measure a method as a part."""
        method: Callable[..., Any] = getattr(owner, name)

        @wraps(method)
        def measured(*args: Any, **options: Any) -> Any:
            self.begin()
            found = method(*args, **options)
            self.end(part)
            return found

        setattr(owner, name, measured)


def measure(weights: str, precision: str, side: int) -> dict[str, int]:
    """Bytes that parts take in a tile, by name."""
    network = APNTFusion.from_pretrained(weights)
    full = side * network.config.stride
    made = procedural_bracket(0, 512, 768)
    place = np.abs((np.arange(full - 2 * network.config.border) + 511) % 1022 - 511)
    frames = np.stack([frame[place][:, place] for frame in made.ldr[:, :, :512]])
    watched = Watched()
    watched.around(TiledMatches, "_tile", "match")
    decode, tile = Tiled._decode, Tiled._tile

    def encoded(self: Tiled, *args: Any) -> Any:
        forget_peak()
        found = decode(self, *args)
        watched.end("encode")
        forget_peak()
        return found

    def whole(self: Tiled, *args: Any) -> Any:
        watched.begin()
        part = tile(self, *args)
        watched.end("blend")
        return part

    Tiled._decode, Tiled._tile = encoded, whole  # type: ignore[method-assign]
    half = precision == "bf16"
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        crop = crop_of(frames, torch.device("cpu"), network.config.border)
        picture = Tiled(network, crop, torch.from_numpy(made.times), frames.shape[1:3])
        picture.prepare()
        parts = list(picture.run(full, full))
    if len(parts) != 1:
        raise RuntimeError(f"the picture must be one tile, got {len(parts)}")
    return watched.taken


def taken(weights: str, precision: str, side: int) -> dict[str, int]:
    """:func:`measure` in a process of its own."""
    # By its file: a source tree in the current folder has no benchmarks under apnt/.
    command = [sys.executable, __file__, "--one"]
    command += ["--weights", weights, "--precision", precision, "--sides", str(side)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def planned(weights: str, precision: str) -> dict[str, float]:
    """Bytes a pixel that the plan counts, beside those of a tile of any size, by name of the part."""
    config = APNTFusion.from_pretrained(weights).config
    counted = TileMemory(config, (1 << 14, 1 << 14), 2 if precision == "bf16" else 4)
    return {"match": counted.match, "encode": counted.encode, "blend": counted.blend}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", default="default,fast")
    parser.add_argument("--precision", default="bf16,fp32")
    parser.add_argument("--sides", default="384,768")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--one", action="store_true", help="print what one row takes, as JSON")
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(measure(chosen.weights, chosen.precision, int(chosen.sides))))
        return
    ask_for_large_pages()  # as the command does, in the processes that it starts
    sides = sorted(map(int, chosen.sides.split(",")))
    lines = [f"| weights | precision | | {' | '.join(PARTS)} |", "|---|---|---" + "|---:" * len(PARTS) + "|"]
    print(*lines, sep="\n", flush=True)

    def add(weights: str, precision: str, what: str, values: dict[str, float]) -> None:
        shown = " | ".join(f"{values[part]:.0f}" if part in values else "" for part in PARTS)
        lines.append(f"| {weights} | {precision} | {what} | {shown} |")
        print(lines[-1], flush=True)

    for weights, precision in product(chosen.weights.split(","), chosen.precision.split(",")):
        small, large = (taken(weights, precision, side) for side in (sides[0], sides[-1]))
        area = sides[0] ** 2
        pixel = {part: (large[part] - small[part]) / (sides[-1] ** 2 - area) for part in PARTS}
        add(weights, precision, "bytes a pixel", pixel)
        add(weights, precision, "planned", planned(weights, precision))
        once = {part: (small[part] - area * pixel[part]) / 1e6 for part in PARTS}
        add(weights, precision, "once, MB", once)
        add(weights, precision, "planned", dict.fromkeys(PARTS, ONCE / 1e6))
    if chosen.markdown:
        chosen.markdown.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
