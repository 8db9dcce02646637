"""Global alignment against known motion.

    python benchmarks/alignment.py [--data DIR] [--count N] [--only WORD]

Brackets are rendered from radiance maps at twice the size, moved by a known homography, averaged down, and
photographed (noise, a camera curve, quantisation, JPEG). Real brackets are moved by a known homography.
Prints, for each kind, the error in pixels of the frames that were not refused, over the whole picture and at
the corners, how many frames were aligned, left as they are (still) and refused, and how many are wrong: not
refused, and off by more than three pixels. Then what is found in the real brackets as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from apnt.data.maps import list_radiance_maps
from apnt.data.synthetic import SensorNoise, expose
from apnt.io.radiance import read_radiance
from apnt.prepare.alignment.align import Alignment, align
from apnt.prepare.alignment.motion import corners, move, normalized

USUAL_NOISE = SensorNoise(2e-4, 1e-3)


@dataclass(frozen=True)
class Recipe:
    """How a kind of bracket is drawn.

    Attributes:
        stops: exposure of each frame in stops over the shortest.
        shift: largest translation, as a share of the width.
        rotation: largest rotation, degrees.
        perspective: largest displacement of a corner by perspective, as a share of the width.
        noise: of every frame.
        bits: 8 or 16.
        jpeg: quality, 0 = none.
        curve: strength of an S-curve, 0 = gamma 2.2.
        objects: share of the picture that moving objects cover.
        static: the background has texture.
    """

    stops: tuple[float, ...] = (0, 2, 4)
    shift: float = 0.08
    rotation: float = 2.0
    perspective: float = 0.01
    noise: SensorNoise = USUAL_NOISE
    bits: int = 8
    jpeg: int = 0
    curve: float = 0.0
    objects: float = 0.0
    static: bool = True


KINDS = {
    "2 stops": Recipe(),
    "3 stops": Recipe(stops=(0, 3, 6)),
    "0/4/8 stops": Recipe(stops=(0, 4, 8)),
    "shift only": Recipe(rotation=0, perspective=0),
    "16 bits, little noise": Recipe(bits=16, noise=SensorNoise(2e-5, 2e-4)),
    "strong noise": Recipe(noise=SensorNoise(2e-3, 8e-3)),
    "JPEG 85": Recipe(jpeg=85),
    "S-curve": Recipe(curve=1.0),
    "S-curve, 3 stops, JPEG 85": Recipe(stops=(0, 3, 6), curve=1.0, jpeg=85),
    "objects 20 %": Recipe(objects=0.2),
    "objects 40 %": Recipe(objects=0.4),
    "objects 40 %, 3 stops, S-curve": Recipe(stops=(0, 3, 6), objects=0.4, curve=1.0),
    "2 frames, 3 stops": Recipe(stops=(0, 3)),
    "7 frames of 2 stops": Recipe(stops=tuple(range(0, 14, 2))),
    "15 frames of 2/3 stop": Recipe(stops=tuple(k * 2 / 3 for k in range(15))),
    "tripod": Recipe(shift=0, rotation=0, perspective=0),
    "tripod, 0/4/8, JPEG 85": Recipe(stops=(0, 4, 8), shift=0, rotation=0, perspective=0, jpeg=85),
    "tripod, objects 40 %": Recipe(shift=0, rotation=0, perspective=0, objects=0.4),
    "tripod, strong noise": Recipe(shift=0, rotation=0, perspective=0, noise=SensorNoise(2e-3, 8e-3)),
    "crowd, no static texture": Recipe(objects=0.6, static=False),
}


MOVED = {
    "villa": [0, 1, 2],
    "desk_canon_s45": [5, 7, 9],
    "phone_cat": [8, 9, 10],
    "merianos_old_house": [0, 1, 2],
}
"""Real static brackets that are moved, and which of their frames."""


class Case(NamedTuple):
    """A bracket with its true motions (N, 3, 3), reference pixels to each frame's."""

    name: str
    ldr: np.ndarray
    times: np.ndarray
    reference: int
    motions: np.ndarray


def motion(rng: np.random.Generator, recipe: Recipe, size: tuple[int, int]) -> np.ndarray:
    """A random homography of pixels."""
    height, width = size
    angle = np.deg2rad(rng.uniform(-recipe.rotation, recipe.rotation))
    cos, sin = np.cos(angle), np.sin(angle)
    centre = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1.0]])
    rotation = centre @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ np.linalg.inv(centre)
    ends = corners(size)
    bent = ends + rng.uniform(-1, 1, ends.shape) * recipe.perspective * width
    bend = cv2.getPerspectiveTransform(ends.astype(np.float32), bent.astype(np.float32)).astype(np.float64)
    heading, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1) * recipe.shift * width
    step = np.array([[1, 0, far * np.cos(heading)], [0, 1, far * np.sin(heading)], [0, 0, 1.0]])
    return normalized(step @ rotation @ bend)


def photograph(light: np.ndarray, exposure: float, recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) radiance as one camera file, float32 in [0, 1]."""
    picture = expose(light, exposure, recipe.noise, 16, rng)
    if recipe.curve:
        s = recipe.curve * 4
        picture = (np.tanh(s * (picture - 0.45)) - np.tanh(-s * 0.45)) / (
            np.tanh(s * 0.55) - np.tanh(-s * 0.45)
        )
    steps = 2**recipe.bits - 1
    picture = (np.round(np.clip(picture, 0, 1) * steps) / steps).astype(np.float32)
    if recipe.jpeg:
        _, code = cv2.imencode(
            ".jpg", np.round(picture * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, recipe.jpeg]
        )
        picture = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), dtype=np.float32) / 255
    return picture


def rendered(maps: list[np.ndarray], kind: str, seed: int, size: tuple[int, int] = (320, 480)) -> Case:
    """One bracket of a kind."""
    recipe = KINDS[kind]
    rng = np.random.default_rng([zlib.crc32(kind.encode()), seed])
    height, width = size
    margin = int(0.2 * width)
    big = (2 * (height + 2 * margin), 2 * (width + 2 * margin))
    canvas = _canvas(maps[seed % len(maps)], rng, big)
    if not recipe.static:
        canvas = np.full_like(canvas, np.median(canvas))
    count = len(recipe.stops)
    reference = count // 2
    times = 2.0 ** np.array(recipe.stops)
    level = float(np.quantile(canvas.max(axis=-1), 1 - rng.uniform(0.03, 0.2)))
    canvas = np.minimum(canvas / (level * times[reference]), 4.0).astype(np.float32)
    motions = np.stack([np.eye(3) if k == reference else motion(rng, recipe, size) for k in range(count)])
    objects = _objects(maps, rng, recipe, size, times[reference])
    frames = []
    # Canvas pixel = 2 * (pixel + margin) + 1/2, of pixels that are areas.
    into = np.array([[2, 0, 2 * margin + 0.5], [0, 2, 2 * margin + 0.5], [0, 0, 1.0]])
    fine = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1.0]])
    for k in range(count):
        view = into @ np.linalg.inv(motions[k]) @ fine
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        light = cv2.warpPerspective(
            canvas, view, (2 * width, 2 * height), flags=flags, borderMode=cv2.BORDER_REFLECT
        )
        light = np.maximum(cv2.resize(light, (width, height), interpolation=cv2.INTER_AREA), 0)
        for draw in objects:
            draw(light, k - reference)
        frames.append(photograph(light, float(times[k]), recipe, rng))
    return Case(f"{kind} {seed}", np.stack(frames), times, reference, motions)


def _canvas(radiance: np.ndarray, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A crop near the horizon, enlarged to ``size``."""
    height, width = radiance.shape[:2]
    wide = min(width, int(height * 0.66 * size[1] / size[0]))
    tall = int(wide * size[0] / size[1])
    x = int(rng.integers(0, width - wide + 1))
    y = int(height * 0.17 + rng.integers(0, max(int(height * 0.66) - tall, 0) + 1))
    crop = np.maximum(radiance[y : y + tall, x : x + wide], 1e-6)
    return np.exp(cv2.resize(np.log(crop), (size[1], size[0]), interpolation=cv2.INTER_CUBIC))


def _objects(
    maps: list[np.ndarray], rng: np.random.Generator, recipe: Recipe, size: tuple[int, int], level: float
) -> list[Callable[[np.ndarray, int], None]]:
    """Textured discs that move along straight lines of their own until they cover the wished share."""
    objects: list[Callable[[np.ndarray, int], None]] = []
    cover = np.zeros(size, bool)
    yy, xx = np.mgrid[: size[0], : size[1]]
    while cover.mean() < recipe.objects:
        radius = rng.uniform(0.06, 0.16) * size[1]
        side = int(2 * radius) + 1
        texture = _canvas(maps[int(rng.integers(len(maps)))], rng, (side, side))
        texture = np.minimum(texture / np.median(texture) * rng.uniform(0.1, 0.6) / level, 4.0)
        start = rng.uniform(0, 1, 2) * (size[1], size[0])
        heading, speed = rng.uniform(0, 2 * np.pi), rng.uniform(4, 40)
        step = speed * np.array([np.cos(heading), np.sin(heading)])
        yy2, xx2 = np.mgrid[:side, :side] - radius
        alpha = np.clip(radius - np.hypot(xx2, yy2), 0, 1)[..., None].astype(np.float32)

        def draw(
            light: np.ndarray,
            moment: int,
            start: np.ndarray = start,
            step: np.ndarray = step,
            texture: np.ndarray = texture,
            alpha: np.ndarray = alpha,
        ) -> None:
            x, y = np.round(start + moment * step).astype(int) - len(alpha) // 2
            top, left = max(y, 0), max(x, 0)
            part = light[top : max(y + len(alpha), 0), left : max(x + len(alpha), 0)]
            here = (slice(top - y, top - y + part.shape[0]), slice(left - x, left - x + part.shape[1]))
            part += alpha[here] * (texture[here] - part)

        objects.append(draw)
        cover |= np.hypot(xx - start[0], yy - start[1]) < radius
    return objects


def shifted(folder: Path, name: str, chosen: list[int], seed: int) -> Case:
    """Frames of a real bracket, all but the middle one moved by a known homography.

    Tripods give way: the truth is the known motion after what is found in the frames as they are, which for
    ``phone_cat`` is 2.2 pixels (phase correlation of the full frames finds the same).
    """
    rng = np.random.default_rng([zlib.crc32(name.encode()), seed])
    ldr, times = real(folder / name, chosen)
    height, width = ldr.shape[1:3]
    margin = int(0.13 * width)
    offset = np.array([[1, 0, margin], [0, 1, margin], [0, 0, 1.0]])
    size = (height - 2 * margin, width - 2 * margin)
    reference = len(ldr) // 2
    found = align(ldr, times, reference)
    own = [np.linalg.inv(offset) @ frame.homography @ offset for frame in found.frames]
    motions, frames = [], []
    for k, frame in enumerate(ldr):
        true = np.eye(3) if k == reference else motion(rng, Recipe(), size)
        view = offset @ np.linalg.inv(true)
        moved = cv2.warpPerspective(
            frame, view, size[::-1], flags=cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )  # fmt: skip
        motions.append(normalized(true @ own[k]))
        frames.append(np.round(np.clip(moved, 0, 1) * 255) / np.float32(255))
    return Case(f"{name} {seed}", np.stack(frames), times, reference, np.stack(motions))


def real(folder: Path, chosen: list[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W, 3) frames of a bracket folder and their times; two stops apart where they are unknown."""
    about = json.loads((folder / "bracket.json").read_text())
    names = about["files_short_to_long"]
    chosen = list(range(len(names))) if chosen is None else chosen
    stops = about["ev_stops"] or [2.0 * k for k in range(len(names))]
    frames = [
        np.asarray(Image.open(folder / names[k]).convert("RGB"), dtype=np.float32) / 255 for k in chosen
    ]
    return np.stack(frames), 2.0 ** np.array([stops[k] for k in chosen])


def errors(case: Case, found: Alignment) -> list[tuple[str, np.ndarray]]:
    """Status, and (4 + 96,) distances in pixels at corners and grid, of every frame but the reference."""
    height, width = case.ldr.shape[1:3]
    grid = np.stack(np.meshgrid(np.linspace(0, width - 1, 12), np.linspace(0, height - 1, 8)), -1).reshape(
        -1, 2
    )
    points = np.concatenate([corners((height, width)), grid])
    return [
        (frame.status, np.hypot(*(move(frame.homography, points) - move(case.motions[k], points)).T))
        for k, frame in enumerate(found.frames)
        if k != case.reference
    ]


def row(cases: Iterator[Case]) -> list[str]:
    """One line of the table."""
    rows: list[tuple[str, np.ndarray]] = []
    for case in cases:
        rows += errors(case, align(case.ldr, case.times, case.reference))
    statuses = Counter(status for status, _ in rows)
    counts = [str(statuses[name]) for name in ("aligned", "still", "refused")]
    kept = [away for status, away in rows if status != "refused"]
    if not kept:
        return ["-"] * 4 + [*counts, "0"]
    away = np.stack(kept)
    wrong = int((away[:, 4:].mean(axis=1) > 3).sum())
    figures = [
        f(part) for part in (away[:, 4:], away[:, :4]) for f in (np.mean, lambda a: np.quantile(a, 0.95))
    ]
    return [*(f"{figure:.3f}" for figure in figures), *counts, str(wrong)]


def several(make: Callable[[int], Case], count: int) -> Iterator[Case]:
    """That many brackets of one kind."""
    return (make(seed) for seed in range(count))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("APNT_DATA"), help="default: APNT_DATA")
    parser.add_argument("--count", type=int, default=22, help="rendered brackets of each kind")
    parser.add_argument("--only", default="", help="kinds whose name holds this")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder with hdr/val and brackets: --data or APNT_DATA")
    maps = [read_radiance(path) for path in list_radiance_maps(options.data / "hdr" / "val")]
    brackets = options.data / "brackets"
    kinds: dict[str, Callable[[], Iterator[Case]]] = {}
    for kind in KINDS:
        kinds[kind] = partial(several, partial(rendered, maps, kind), options.count)
    for name, chosen in MOVED.items():
        kinds[f"{name} moved"] = partial(several, partial(shifted, brackets, name, chosen), 3)
    heads = ("whole", "95 %", "corners", "95 %", "aligned", "still", "refused", "wrong")
    line = "{:<34}" + "{:>9}" * len(heads)
    print(line.format("error in pixels, mean and 95 %", *heads), flush=True)
    for kind, cases in kinds.items():
        if options.only in kind:
            print(line.format(kind, *row(cases())), flush=True)
    if options.only in "real":
        as_they_are(brackets)


def as_they_are(brackets: Path) -> None:
    """Print what is found in every real bracket, against its middle frame."""
    line = "{:<20}{:>6}  {:<9}{:<12}{:>8}{:>10}{:>9}  {}"
    print(line.format("bracket", "frame", "status", "model", "shift", "residual", "support", "why"))
    for folder in sorted(path.parent for path in brackets.glob("*/bracket.json")):
        ldr, times = real(folder)
        for k, frame in enumerate(align(ldr, times, len(ldr) // 2).frames):
            if frame.status != "reference":
                figures = (f"{frame.shift:.2f}", f"{frame.residual:.2f}", f"{frame.support:.2f}")
                print(line.format(folder.name, k, frame.status, frame.model, *figures, frame.why), flush=True)


if __name__ == "__main__":
    main()
