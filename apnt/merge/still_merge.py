"""Three frames averaged with a network's result where nothing moved; elsewhere that stays as it is."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from apnt import scratch
from apnt.bracket import Bracket
from apnt.doing import doing, part_done
from apnt.memory import give_back
from apnt.merge.compare import frame_of
from apnt.merge.noise import estimate_noise
from apnt.merge.still import at_full_size, still_map
from apnt.strips import Part, parts, rows_of

_NETWORK = 0.5  # share of the network's result where nothing moved: see docs/frames.md
_PIXELS = 1 << 17  # of a strip, about
_STRIP = _PIXELS * 500  # bytes that a strip takes, about
_HALO = 4  # rows beyond a strip that its own depend on, even
_MOST_THREADS = 4


def merge_still(bracket: Bracket, image: np.ndarray) -> np.ndarray:
    """Average the frames, each by its precision, and the network's result with them, where nothing moved.

    Args:
        bracket: prepared: aligned to its reference, linear after gamma 2.2.
        image: (H, W, 3) float32, the network's result on the bracket's scale.

    Returns:
        (H, W, 3) float32.
    """
    height, width = bracket.size
    doing("Looking for what moved")
    noise = estimate_noise(bracket)
    still = still_map(bracket, noise)
    out = scratch.empty((height, width, 3), np.float32)

    def run(rows: Part) -> None:
        own = image[rows.own]
        near = at_full_size(still, rows.own, slice(0, width))[..., None]
        if not near.any():
            out[rows.own] = own
            return
        total, precision = np.zeros_like(own), np.zeros_like(own)
        for k, time in enumerate(bracket.times):
            valid = None if bracket.valid is None else bracket.valid[k][rows.seen]
            frame = frame_of(bracket.ldr[k][rows.seen], float(time), noise, valid, shortest=k == 0)
            part = frame.precision[rows.inner]
            total += part * frame.radiance[rows.inner]
            precision += part
        average = np.divide(total, precision, out=own.copy(), where=precision > 0)
        out[rows.own] = own + (1 - np.float32(_NETWORK)) * near * (average - own)

    length = max(2, rows_of(width, _PIXELS) // 2 * 2)
    threads = scratch.at_once(min(_MOST_THREADS, os.cpu_count() or 1), _STRIP)
    strips = list(parts(height, length, _HALO))
    doing("Merging the frames", len(strips))
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(run, strips):
            part_done()
    give_back()
    return out
