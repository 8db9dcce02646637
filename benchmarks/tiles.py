"""Whether tiles take the time that the plan says, and as much a megapixel however large the picture is.

    python benchmarks/tiles.py [--megapixels 1.5,6,24] [--weights fast] [--memory 4GB] [--threads 1]

Seconds are the processors', also those of the windows that the plan's time comes from: other work on the
machine then changes little.
"""

from __future__ import annotations

import argparse
import time
from types import SimpleNamespace

import numpy as np
import torch

import apnt.nn.tiled
from apnt.bracket import Bracket
from apnt.budget import parse_bytes
from apnt.data.procedural import procedural_bracket
from apnt.memory import ask_for_large_pages, keep_freed
from apnt.methods import Options, load_method

_ASPECT = 1.5
_HEIGHT, _WIDTH = 512, 768  # of the made scene that is repeated, mirrored
PLANNED = 1.2
"""The plan's time is to be right by this factor."""
LINEAR = 1.15
"""Seconds a megapixel of the largest picture are to be at most so many times those of the smallest."""


class Watch:
    """What the plan says, and when.

    Attributes:
        seconds: that it expects.
        since: processor seconds of the process at that time.
        tiles: how many.
    """

    seconds, since, tiles = 0.0, 0.0, 0

    def __call__(self, description: str) -> None:
        """A step begins."""

    def planned(self, sentence: str, tiles: int, seconds: float) -> None:
        """The plan is there."""
        self.seconds, self.since, self.tiles = seconds, time.process_time(), tiles

    def tile(self) -> None:
        """One more tile is done."""


def bracket(megapixels: float) -> Bracket:
    """Three frames of a made scene, mirrored until they are as large."""
    made = procedural_bracket(0, _HEIGHT, _WIDTH)
    height = round((megapixels * 1e6 / _ASPECT) ** 0.5)
    rows, columns = _mirrored(height, _HEIGHT), _mirrored(round(height * _ASPECT), _WIDTH)
    return Bracket("made", np.stack([frame[rows][:, columns] for frame in made.ldr]), made.times)


def _mirrored(size: int, period: int) -> np.ndarray:
    place = np.arange(size) % (2 * period)
    return np.minimum(place, 2 * period - 1 - place)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megapixels", default="1.5,6,24")
    parser.add_argument("--weights", default="fast")
    parser.add_argument("--memory", help="such as 4GB; what is free if not given")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    (keep_freed if chosen.memory is None else ask_for_large_pages)()  # as the command does
    torch.set_num_threads(chosen.threads)
    apnt.nn.tiled.time = SimpleNamespace(perf_counter=time.process_time)  # type: ignore[assignment]
    watch = Watch()
    memory = None if chosen.memory is None else parse_bytes(chosen.memory)
    options = Options(chosen.weights, "cpu", "auto", None, memory, watch)
    method = load_method("apnt", options)
    method.fuse(bracket(0.6))  # the first calls
    print(
        f"{chosen.weights}, {chosen.memory or 'free memory'}, threads {chosen.threads}, processor seconds\n"
    )
    print("| megapixels | tiles | planned | taken | taken / planned | a megapixel | of the first |")
    print("|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    first = 0.0
    for text in chosen.megapixels.split(","):
        frames = bracket(float(text))
        before = time.process_time()
        method.fuse(frames)
        now = time.process_time()
        taken, each = now - watch.since, (now - before) / float(text)
        first = first or each
        print(
            f"| {text} | {watch.tiles} | {watch.seconds:.1f} | {taken:.1f} | {taken / watch.seconds:.2f} "
            f"| {each:.2f} | {each / first:.2f} |",
            flush=True,
        )
    print(f"\nTargets: taken / planned {1 / PLANNED:.2f} to {PLANNED}; of the first at most {LINEAR}")


if __name__ == "__main__":
    main()
