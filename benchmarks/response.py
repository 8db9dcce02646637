"""How well the camera's response is recovered from a bracket, and how long it takes.

    python benchmarks/response.py [--data DIR] [--pictures DIR] [--count 40]

Prints:

- brackets made with random camera curves: error of the recovered linear values. The curves are drawn from
  families that the estimator's prior does not hold (``train/tone.py``'s cosines, a film's rational curve,
  smoothstep blends, gammas), each channel with a deviation of its own; frames have sensor noise, moving
  objects, for half of the scenes a moving camera, and 8 bits, half of them as JPEG of quality 85;
- exposures that nobody says: how often what is measured keeps the error that is stated with it;
- named curves: how often each is recognised;
- time and memory for three frames of 12 megapixels.

"as it is" compares linear light directly, 1 = the value 1. "relative" sets one factor aside that all channels
share: it changes no radiance relative to another.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from apnt.benchmarks.measure import extra_memory, machine
from apnt.camera import GAMMA
from apnt.data.procedural import procedural_scene
from apnt.data.synthetic import SensorNoise, expose, synthesize
from apnt.data.val_v1 import RECIPE, SCENES, find_folder
from apnt.evaluate.tables import as_markdown
from apnt.io.files import write_text
from apnt.io.radiance import read_radiance
from apnt.prepare.estimate import Estimate, estimate_response
from apnt.prepare.exposures import measure_exposures
from apnt.prepare.response import NAMED, Response
from apnt.train.tone import tone_curve

LEVELS = np.arange(256, dtype=np.float32) / 255
GREYS = np.stack([LEVELS] * 3, axis=-1)
SIZE = (384, 512)


class Scene(NamedTuple):
    """A bracket: (3, H, W, 3) values that are gamma 2.2 with 16 bits, and (3,) relative times."""

    name: str
    ldr: np.ndarray
    times: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, help="folder with hdr/val and brackets; without, procedural scenes"
    )
    parser.add_argument("--pictures", type=Path, help="folder for one picture of curves a bracket")
    parser.add_argument("--markdown", type=Path, help="where the tables are also written")
    parser.add_argument("--count", type=int, default=40, help="number of random curves")
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
    scenes = list(linear_brackets(options.data, options.count, options.seed))
    tables = [
        random_curves(scenes, options.seed, options.pictures),
        two_frames(scenes, options.seed),
        unknown_exposures(scenes, options.seed),
        named_curves(scenes[:22]),
        cost(),
    ]
    publish(tables, f"Response of random cameras, seed {options.seed}", options.markdown)


def publish(tables: Sequence[Table], title: str, markdown: Path | None) -> None:
    """Print tables, and write them as a page."""
    what = ", ".join(f"{name} {value}" for name, value in machine(torch.device("cpu")).items())
    console, page = Console(), [f"# {title}", "", f"{what}.", ""]
    for table in tables:
        console.print(table)
        heads = [str(column.header) for column in table.columns]
        rows = zip(*([str(cell) for cell in column.cells] for column in table.columns), strict=True)
        page += [f"## {table.title}", "", as_markdown([heads, *map(list, rows)])]
        if table.caption:
            page += [f"{table.caption}.", ""]
    if markdown is not None:
        write_text(markdown, "\n".join(page).rstrip() + "\n")


def linear_brackets(data: Path | None, count: int, seed: int) -> Iterator[Scene]:
    """Brackets on which other curves can be put without loss."""
    maps = {}
    if data:
        folder = find_folder(data)
        maps = {name: read_radiance(folder / name) for name in SCENES}
    recipe, names = replace(RECIPE, bits=(16,), camera=0.5), list(maps)
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        if not maps or index % 4 == 3:
            yield _procedural(seed + index, rng)
            continue
        name = names[index % len(names)]
        need = [n + 2 * recipe.margin for n in SIZE]
        missing = [max(0, n - have) for n, have in zip(need, maps[name].shape[:2], strict=True)]
        whole = np.pad(maps[name], [(s // 2, s - s // 2) for s in missing] + [(0, 0)], mode="reflect")
        y, x = (whole.shape[0] - need[0]) // 2, int(rng.integers(0, whole.shape[1] - need[1] + 1))
        others = [cv2.resize(maps[n], None, fx=0.5, fy=0.5) for n in names if n != name]
        window = whole[y : y + need[0], x : x + need[1]]
        made = synthesize(window, others, rng, recipe)
        yield Scene(Path(name).stem, made.ldr, made.times)


def _procedural(seed: int, rng: np.random.Generator) -> Scene:
    times = 2.0 ** (rng.choice([2, 3]) * np.arange(3))
    noise = SensorNoise(10 ** rng.uniform(-4.3, -3), 10 ** rng.uniform(-3.5, -2.5))
    radiance = procedural_scene(seed, *SIZE).radiance
    frames = [expose(r, float(t), noise, 16, rng) for r, t in zip(radiance, times, strict=True)]
    return Scene(f"procedural_{seed}", np.stack(frames), times)


def draw_curve(kind: int, rng: np.random.Generator) -> tuple[str, Response]:
    """A random camera curve; each channel deviates from it by a few percent."""
    x = np.linspace(0, 1, 4097)
    if kind == 0:
        gamma = rng.uniform(1.8, 2.6)
        name, value = f"gamma {gamma:.2f}", x ** (GAMMA / gamma)
    elif kind == 1:
        name, value = "cosines", np.interp(x, np.linspace(0, 1, 1025), tone_curve(rng, 0.5))
    elif kind == 2:
        strength = rng.uniform(0.2, 0.9)
        name, value = f"S-curve {strength:.2f}", (1 - strength) * x + strength * x * x * (3 - 2 * x)
    else:
        power, half = rng.uniform(1.0, 1.6), rng.uniform(0.3, 0.6)
        name, value = f"film {power:.2f} {half:.2f}", x**power / (x**power + half**power)
        value = value / value[-1]
    levels = np.linspace(0, 1, 1025)
    channels = [np.interp(value, levels, tone_curve(rng, 0.05)) for _ in range(3)]
    return name, Response(name, np.stack([np.interp(LEVELS, c, x) for c in channels]))


def photographed(bracket: Scene, response: Response, jpeg: bool) -> np.ndarray:
    """The bracket as this camera writes it: 8 bits, or JPEG of quality 85."""
    encoded = [np.round(response.encode(frame.astype(np.float64) ** GAMMA) * 255) for frame in bracket.ldr]
    if jpeg:
        encoded = [_through_jpeg(frame.astype(np.uint8)) for frame in encoded]
    return np.stack(encoded).astype(np.float32) / np.float32(255)


def _through_jpeg(frame: np.ndarray) -> np.ndarray:
    _, code = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))[..., ::-1]


def log_light(response: Response) -> np.ndarray:
    """(3, 256) log of the linear light of the 8-bit values; that of 0 is minus infinity."""
    with np.errstate(divide="ignore"):
        return np.log(response.linear(GREYS).T.astype(np.float64))


def errors(found: Response, truth: Response) -> dict[str, float]:
    """Median relative errors of the linear values of all channels."""
    log_truth = log_light(truth)
    with np.errstate(invalid="ignore"):
        difference = log_light(found) - log_truth
    linear = (log_truth >= np.log(0.02)) & (log_truth <= np.log(0.9))
    value = np.broadcast_to((LEVELS >= 0.02) & (LEVELS <= 0.9), linear.shape)
    out = {}
    for name, inside in (("linear", linear), ("value", value)):
        here = difference[inside]
        out[name] = float(np.expm1(np.median(np.abs(here))))
        out[f"{name}, relative"] = float(np.expm1(np.median(np.abs(here - np.median(here)))))
    return out


def random_curves(scenes: list[Scene], seed: int, pictures: Path | None) -> Table:
    rows, expected, ratio, assumed = [], [], [], []
    for index, scene in enumerate(scenes):
        name, truth = draw_curve(index % 4, np.random.default_rng([seed, index, 1]))
        estimate = estimate_response(photographed(scene, truth, jpeg=index // 4 % 2 == 1), scene.times)
        rows.append(errors(estimate.response, truth))
        assumed.append(errors(Response("gamma22"), truth))
        expected.append(estimate.error)
        ratio.append(rows[-1]["linear, relative"] / estimate.error)
        if pictures:
            curves = {"true": log_light(truth), "estimated": log_light(estimate.response)}
            draw(pictures / f"curve_{index:02d}.png", f"{scene.name}: {name}", curves)
    heads = ("2 % to 90 % of", "median", "quartiles", "worst", "below 4 %", "gamma 2.2")
    table = Table(*heads, title="Random curves")
    for key in rows[0]:
        found = np.array([row[key] for row in rows])
        low, middle, high = np.percentile(found, (25, 50, 75))
        table.add_row(
            key if "relative" in key else f"{key}, as it is",
            f"{middle:.1%}", f"{low:.1%} to {high:.1%}", f"{found.max():.1%}",
            f"{(found < 0.04).sum()} of {len(found)}",
            f"{np.median([row[key] for row in assumed]):.1%}",
        )  # fmt: skip
    low, middle, high, most = np.percentile(ratio, (25, 50, 75, 95))
    table.caption = (
        f"error over expected error: median {middle:.2f}, quartiles {low:.2f} to {high:.2f}, "
        f"95 % below {most:.1f}; expected {np.median(expected):.1%} in the median"
    )
    return table


def two_frames(scenes: list[Scene], seed: int) -> Table:
    """The middle and the long frame alone, and the camera's sRGB with an S-curve."""
    table = Table(
        "kind", "linear, as it is", "linear, relative", "brackets", title="Two frames, and sRGB with an S"
    )
    rows: dict[str, list[dict[str, float]]] = {}
    for index, scene in enumerate(scenes[: len(scenes) // 2]):
        _, truth = draw_curve(index % 4, np.random.default_rng([seed, index, 1]))
        pair = estimate_response(photographed(scene, truth, jpeg=False)[:2], scene.times[:2])
        rows.setdefault("two frames", []).append(errors(pair.response, truth))
        strength = np.random.default_rng([seed, index, 2]).uniform(0.2, 0.8)
        camera = srgb_and_s(strength)
        for frames in (3, 2):
            ldr = photographed(scene, camera, jpeg=True)[:frames]
            found = estimate_response(ldr, scene.times[:frames]).response
            rows.setdefault(f"sRGB and S-curve, JPEG, {frames} frames", []).append(errors(found, camera))
    for kind, measured in rows.items():
        middles = [np.median([row[key] for row in measured]) for key in ("linear", "linear, relative")]
        table.add_row(kind, *(f"{m:.1%}" for m in middles), str(len(measured)))
    return table


def srgb_and_s(strength: float) -> Response:
    """What a camera does that writes sRGB with a contrast curve on top."""
    x = np.linspace(0, 1, 4097, dtype=np.float32)
    value = Response("srgb").encode(np.stack([x**GAMMA] * 3, -1))[:, 0].astype(np.float64)
    value = (1 - strength) * value + strength * value * value * (3 - 2 * value)
    return Response("srgb and S", np.stack([np.interp(LEVELS, value, x)] * 3))


def unknown_exposures(scenes: list[Scene], seed: int) -> Table:
    """Stops that are measured on the pixels of brackets with random curves, beside the true ones."""
    table = Table(
        "curves", "brackets", "within the stated error", "largest error of a step: median, 90 %",
        title="Exposures that nobody says",
    )  # fmt: skip
    kinds = {"random": False, "linear, 16 bits": True, "linear, from 8 bits": True}
    for kind, linear in kinds.items():
        kept, largest = [], []
        for index, scene in enumerate(scenes):
            _, truth = draw_curve(index % 4, np.random.default_rng([seed, index, 1]))
            ldr = photographed(scene, truth, jpeg=index // 4 % 2 == 1)
            if linear:
                written = [frame ** np.float32(GAMMA) for frame in scene.ldr]
                ldr = np.stack(written if "16" in kind else [truth.linear(frame) for frame in ldr])
            found = measure_exposures(list(ldr), linear)
            if found is None:
                continue
            off = np.abs(found.stops - np.log2(scene.times / scene.times[0]))
            kept.append(bool((off <= found.error * found.stops + 1e-9).all()))
            largest.append(float(np.abs(np.diff(found.stops) - np.diff(np.log2(scene.times))).max()))
        middle, most = np.percentile(largest, (50, 90))
        table.add_row(
            kind, f"{len(kept)} of {len(scenes)}", f"{sum(kept)}", f"{middle:.2f}, {most:.2f} stops"
        )
    return table


def named_curves(scenes: list[Scene]) -> Table:
    table = Table("curve", *NAMED, "estimated", title="Named curves: what is found, 8 bits")
    for name in NAMED:
        found = [
            estimate_response(photographed(s, Response(name), jpeg=False), s.times).response.name
            for s in scenes
        ]
        table.add_row(name, *(str(found.count(other)) for other in (*NAMED, "estimated")))
    return table


def cost() -> Table:
    work, _ = twelve_megapixels("cpu")
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    pixels = np.random.default_rng(0).random((3000, 4000, 3), dtype=np.float32)
    start = time.perf_counter()
    Response("table", np.stack([LEVELS] * 3)).linear(pixels)
    one_frame = time.perf_counter() - start
    table = Table("3 x 12 megapixels", "figure", title="Cost on this machine")
    table.add_row("estimate", f"{seconds:.1f} s")
    table.add_row("memory beside the pixels", f"{extra_memory(twelve_megapixels, 'cpu') / 2**20:.0f} MiB")
    table.add_row("one frame to linear light", f"{one_frame:.2f} s")
    return table


def twelve_megapixels(device: str) -> tuple[Callable[[], Estimate], int]:
    """The estimate from a procedural scene, enlarged, and the bytes of its result, which are few."""
    small = _procedural(0, np.random.default_rng(0))
    estimate_response(small.ldr, small.times)  # the prior is made once
    ldr = np.stack([np.clip(cv2.resize(frame, (4000, 3000)), 0, 1) for frame in small.ldr])
    return lambda: estimate_response(ldr, small.times), 0


def draw(path: Path, title: str, curves: dict[str, np.ndarray]) -> None:
    """Log light over value, red, green and blue side by side, the first curve thin and light."""
    measured = any("Debevec" in name for name in curves)  # which leaves a factor open
    picture = np.full((520, 3 * 420, 3), 255, np.uint8)
    shades = ((170, 170, 170), (0, 0, 0), (200, 120, 0))
    for channel, colour in enumerate(("red", "green", "blue")):
        left = channel * 420
        cv2.rectangle(picture, (left + 10, 50), (left + 410, 500), (220, 220, 220), 1)
        cv2.putText(
            picture, colour, (left + 20, 70), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (90, 90, 90), 1, cv2.LINE_AA
        )
        for (name, curve), shade in zip(curves.items(), shades, strict=False):
            aligned = curve[channel] - (curve[channel, 128] if measured else 0)
            span = (-6.0, 3.0) if measured else (-8.0, 0.5)
            y = 500 - (np.clip(aligned, *span) - span[0]) / (span[1] - span[0]) * 450
            points = np.stack([left + 10 + LEVELS * 400, y], axis=-1).round().astype(np.int32)
            cv2.polylines(
                picture, [points[1:, None]], False, shade, 4 if name == next(iter(curves)) else 1, cv2.LINE_AA
            )
    cv2.putText(picture, title, (10, 25), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 1, cv2.LINE_AA)
    for number, (name, shade) in enumerate(zip(curves, shades, strict=False)):
        place = (520 + 230 * number, 25)
        cv2.putText(picture, name, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, shade, 1, cv2.LINE_AA)
    cv2.imwrite(str(path), picture)


if __name__ == "__main__":
    main()
