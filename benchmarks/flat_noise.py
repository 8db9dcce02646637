"""Noise of flat, still, well-exposed areas, against the best merge of the frames.

    python benchmarks/flat_noise.py [--weights default --weights fast] [--markdown FILE]

Bars of one light each, exposed at 1, 4 and 16 with shot and read noise, 8 bits, gamma 2.2. The best merge
weighs each frame that does not clip by the inverse of the variance that its light has there, measured: no
weights are better without looking at neighbours. A ratio below 1 means that neighbours were averaged too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from apnt._fuse import fused_image
from apnt.bracket import Bracket
from apnt.camera import GAMMA
from apnt.data.synthetic import SensorNoise, expose
from apnt.evaluate.tables import as_markdown
from apnt.methods import Options, load_method

TIMES = np.array([1.0, 4.0, 16.0])
LEVELS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.6)
"""Light, of what the short exposure holds."""
SIDE, HEIGHT = 64, 192
"""Width and height of a bar, pixels; a quarter of each side is left out of the measurement."""
NOISES = {"usual": SensorNoise(5e-4, 2e-3), "strong": SensorNoise(2e-3, 8e-3)}
_CLIPS = 0.98  # display-referred value


def bars() -> np.ndarray:
    """(H, W, 3) light."""
    steps = np.repeat(np.float32(LEVELS), SIDE)
    return cv2.GaussianBlur(np.tile(steps[None, :, None], (HEIGHT, 1, 3)), (0, 0), 1.0)


def inside(bar: int) -> tuple[slice, slice]:
    """Rows and columns of a bar that are measured."""
    return slice(HEIGHT // 4, -HEIGHT // 4), slice(bar * SIDE + SIDE // 4, (bar + 1) * SIDE - SIDE // 4)


def best_noise(frames: np.ndarray, bar: int) -> tuple[float, int]:
    """Standard deviation of the best merge in a bar, and of how many frames it is."""
    shown = [frame[inside(bar)] for frame in frames]
    light = [
        part.astype(np.float64) ** GAMMA / time
        for part, time in zip(shown, TIMES, strict=True)
        if part.max() < _CLIPS
    ]
    weights = np.array([1 / part.var() for part in light])
    return float(np.tensordot(weights / weights.sum(), np.stack(light), 1).std()), len(light)


def table(noise: SensorNoise, names: list[str]) -> list[list[str]]:
    """A row a level: how many frames do not clip; each method's noise over the best, and mean over truth."""
    truth, rng = bars(), np.random.default_rng(0)
    frames = np.stack([expose(truth, float(time), noise, 8, rng) for time in TIMES]).astype(np.float32)
    bracket = Bracket("bars", frames, TIMES, truth)
    methods = {name: load_method("apnt", Options(name, "cpu", "fp32")) for name in names}
    results = {name: fused_image(bracket, method) for name, method in methods.items()}
    results["weighted (eq. 1)"] = fused_image(bracket, load_method("weighted", Options()))
    rows = [["light", "frames", *(f"{name}: noise, mean" for name in results)]]
    for bar, level in enumerate(LEVELS):
        best, count = best_noise(frames, bar)
        cells = [
            f"{image[inside(bar)].std() / best:.2f}, {image[inside(bar)].mean() / level:.3f}"
            for image in results.values()
        ]
        rows.append([f"{level:g}", str(count), *cells])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--weights", action="append", help="of networks; default and fast where none is named"
    )
    parser.add_argument("--markdown", type=Path, help="where the tables are also written")
    given = parser.parse_args()
    parts = ["# Noise of flat areas, over that of the best merge\n"]
    for name, noise in NOISES.items():
        rows = table(noise, given.weights or ["default", "fast"])
        parts += [f"## {name.capitalize()} noise\n", f"{noise}\n", as_markdown(rows)]
    text = "\n".join(parts)
    print(text)
    if given.markdown:
        given.markdown.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
