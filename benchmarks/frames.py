"""Which three of many frames, what merging the others brings, and where: the tables of docs/frames.md.

python benchmarks/frames.py choice|plain|two|photos|zones --data FOLDER [--brackets 8]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from apnt._fuse import fuse_bracket
from apnt.benchmarks.real_cases import merged as merged_light
from apnt.bracket import Bracket
from apnt.data.synthetic import SensorNoise, expose
from apnt.data.val_v1 import SCENES, find_folder, val_v1
from apnt.io.radiance import read_radiance
from apnt.merge.merge import merge
from apnt.merge.noise import estimate_noise
from apnt.merge.three_frames import Choice, choose, network_scale, three_frames
from apnt.methods import Method, Options, load_method
from apnt.metrics import psnr_linear, psnr_mu, ssim_mu
from apnt.prepare.pipeline import prepare
from apnt.prepare.reference import choose_reference
from apnt.prepare.response import Response
from apnt.tonemap import mu_law

_SIZE = (256, 352)
_SATURATED = 0.1  # share of the reference
_NOISE = SensorNoise(2e-4, 1e-3)
_SCENES = ("old_hall.exr", "chinese_garden.hdr", "st_fagans_interior.hdr", "spree_bank.hdr")


def render(radiance: np.ndarray, stops: list[float], reference: int, seed: int) -> Bracket:
    """A bracket of any number of frames with a still camera; two discs move at a steady pace."""
    rng = np.random.default_rng(seed)
    height, width = _SIZE
    y, x = (radiance.shape[0] - height) // 2, int(rng.integers(0, radiance.shape[1] - width + 1))
    background = radiance[y : y + height, x : x + width].astype(np.float32)
    times = 2.0 ** (np.array(stops) - stops[0])
    level = np.quantile(background.max(axis=-1), 1 - _SATURATED) * times[reference]
    discs = [_disc(radiance, rng, 1 / times[reference]) for _ in range(2)]
    centres = rng.uniform(0.2, 0.8, (2, 2)) * _SIZE
    heading, speed = rng.uniform(0, 2 * np.pi, 2), rng.uniform(4, 24, 2)
    steps = speed[:, None] * np.stack([np.sin(heading), np.cos(heading)], axis=1)
    light, moving = [], np.zeros(_SIZE, bool)
    for k in range(len(stops)):
        frame = np.minimum(background / level, 4.0)
        for (texture, alpha), centre, step in zip(discs, centres, steps, strict=True):
            shift = np.column_stack([np.eye(2), np.round(centre + step * (k - reference))[::-1]])
            layer, cover = (
                cv2.warpAffine(image, shift, (width, height), flags=cv2.INTER_NEAREST)
                for image in (texture, alpha)
            )
            frame = frame * (1 - cover[..., None]) + layer * cover[..., None]
            moving |= cover > 0.5
        light.append(frame)
    ldr = np.stack([expose(f, float(t), _NOISE, 8, rng) for f, t in zip(light, times, strict=True)])
    return Bracket("rendered", ldr, times, np.clip(light[reference], 0, 1), moving, reference)


def _disc(radiance: np.ndarray, rng: np.random.Generator, top: float) -> tuple[np.ndarray, np.ndarray]:
    radius = int(rng.uniform(0.08, 0.16) * _SIZE[0])
    y, x = (int(rng.integers(0, n - 2 * radius)) for n in radiance.shape[:2])
    texture = radiance[y : y + 2 * radius + 1, x : x + 2 * radius + 1].astype(np.float32)
    level = top * np.exp(rng.uniform(np.log(0.05), np.log(3))) / max(float(np.median(texture.max(-1))), 1e-6)
    across = np.arange(2 * radius + 1) - radius
    alpha = np.clip(radius + 0.5 - np.hypot(across[:, None], across), 0, 1)
    return np.minimum(texture * np.float32(level), 4.0), alpha.astype(np.float32)


def rendered(
    data: Path, stops: list[float], reference: int, names: tuple[str, ...] = _SCENES
) -> Iterator[Bracket]:
    folder = find_folder(data)
    for seed, name in enumerate(names):
        assert name in SCENES
        made = render(read_radiance(folder / name), stops, reference, seed)
        yield replace(made, name=Path(name).stem)


def scores(image: np.ndarray, bracket: Bracket) -> list[float]:
    """PSNR-mu of all, dark still, moving and saturated pixels."""
    truth = bracket.truth
    assert truth is not None
    assert bracket.moving is not None
    dark = (truth.max(axis=-1) < np.quantile(truth.max(axis=-1), 0.3)) & ~bracket.moving
    return [psnr_mu(image, truth, m) for m in (None, dark, bracket.moving, bracket.saturated)]


def alone(bracket: Bracket, choice: Choice, method: Method) -> np.ndarray:
    """The network's result without the other frames."""
    scale = np.float32(network_scale(bracket, choice))
    return np.minimum(method.fuse(three_frames(bracket, choice)) * scale, 1)


def choice_table(data: Path, method: Method) -> None:
    """PSNR-mu of all, dark still, moving and saturated pixels, mean over the scenes."""
    print("| bracket | short, long | network alone | merged |\n|---|---|---|---|")
    for spacing, count in ((1, 7), (1, 9), (2, 7)):
        middle = count // 2
        brackets = list(rendered(data, [float(spacing * k) for k in range(count)], middle))
        for below, above in ((1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 2), (3, 3), (4, 4)):
            if below % spacing or above % spacing or max(below, above) > middle * spacing:
                continue
            rows = []
            for bracket in brackets:
                picked = _chosen(bracket, middle - below // spacing, middle + above // spacing)
                image = alone(bracket, picked, method)
                merged = np.clip(merge(bracket, image, picked, estimate_noise(bracket)).image, 0, 1)
                rows.append(scores(image, bracket) + scores(merged, bracket))
            mean = [f"{v:.2f}" for v in np.nanmean(rows, axis=0)]
            cells = f"{below}, {above} | {' / '.join(mean[:4])} | {' / '.join(mean[4:])}"
            print(f"| {count} frames, {spacing} apart | {cells} |", flush=True)


def _chosen(bracket: Bracket, below: int, above: int) -> Choice:
    stops = np.log2(bracket.times / bracket.times[bracket.reference])
    rest = sorted(set(range(len(bracket))) - {below, bracket.reference, above}, key=lambda k: abs(stops[k]))
    spacing = (-float(stops[below]), float(stops[above]))
    return Choice(below, bracket.reference, above, tuple(rest), spacing)


def plain_table(data: Path, method: Method, count: int) -> None:
    """Three frames at the spacing of the training: what raising blown spots and merging change."""
    rows: dict[str, list[list[float]]] = {"blown spots": [], "merged too": []}
    for bracket in islice(val_v1(data), count):
        before = _val(method.fuse(bracket), bracket)
        picked = choose(bracket)
        image = fuse_bracket(bracket, method).image
        merged = merge(bracket, image, picked, estimate_noise(bracket)).image
        for name, result in (("blown spots", image), ("merged too", np.clip(merged, 0, 1))):
            rows[name].append(list(np.subtract(_val(result, bracket), before)))
            print(bracket.name, name, np.round(rows[name][-1], 3), flush=True)
    for name, changes in rows.items():
        print(
            name, "mean", np.round(np.mean(changes, axis=0), 3), "worst", np.round(np.min(changes, axis=0), 3)
        )


def _val(image: np.ndarray, bracket: Bracket) -> list[float]:
    assert bracket.truth is not None
    whole = [measure(image, bracket.truth) for measure in (psnr_mu, psnr_linear, ssim_mu)]
    return [*whole, *(psnr_mu(image, bracket.truth, m) for m in (bracket.saturated, bracket.moving))]


def two_table(data: Path, method: Method) -> None:
    """Two frames, with either as the reference, against the three that they are part of."""
    print("| spacing | reference | medium alone | weighted | two frames | three frames |")
    others = [load_method(name) for name in ("medium", "weighted")]
    for spacing in (2, 3):
        for reference, name, missing in ((1, "short", 0), (2, "long", 3)):
            rows = []
            for whole in rendered(data, [float(spacing * k) for k in range(4)], reference):
                pair = _part(whole, [1, 2], reference - 1)
                results = [m.fuse(pair) for m in others]
                results.append(fuse_bracket(pair, method).image)
                trio = _part(whole, sorted({1, 2, missing}), 1)
                scale = np.float32(1 if missing else 2**spacing)
                results.append(np.clip(fuse_bracket(trio, method).image * scale, 0, 1))
                assert pair.truth is not None
                rows.append([psnr_mu(result, pair.truth) for result in results])
            cells = " | ".join(f"{v:.2f}" for v in np.mean(rows, axis=0))
            print(f"| {spacing} | {name} | {cells} |", flush=True)


def _part(bracket: Bracket, kept: list[int], reference: int) -> Bracket:
    times = bracket.times[kept] / bracket.times[kept[0]]
    assert bracket.truth is not None
    truth = np.clip(bracket.truth * np.float32(bracket.times[kept[0]]), 0, 1)
    return Bracket("some", bracket.ldr[kept], times, truth, bracket.moving, reference)


def photos_table(data: Path, method: Method) -> None:
    """Photographs: noise of flat dark blocks and the difference elsewhere, all frames against three."""
    for name in ("desk_canon_s45", "phone_cat"):
        bracket = photographs(data / "brackets" / name)
        found = fuse_bracket(bracket, method)
        picked = choose(bracket)
        image = alone(bracket, picked, method)
        frames = list(picked.taken)
        reference = Bracket(
            name, bracket.ldr[frames], bracket.times[frames] / bracket.times[frames[0]], reference=1
        )
        weighted = load_method("weighted").fuse(reference) / np.float32(bracket.times[frames[0]])
        print(f"{name}: frames {frames} of {len(bracket)}, shares {found.shares}")
        for label, result in (("three, network", image), ("three, weighted", weighted), ("all", found.image)):
            print(f"  {label}: noise of dark flat blocks {_block_noise(result, image):.4f}", flush=True)
        bright = image.max(axis=-1) > np.quantile(image.max(axis=-1), 0.3)
        ratio = np.abs(np.log2(np.maximum(found.image, 1e-7) / np.maximum(image, 1e-7)))[bright].max(axis=-1)
        print(f"  elsewhere: median change {np.median(ratio):.4f} stops, 99 % {np.quantile(ratio, 0.99):.3f}")


def photographs(folder: Path, longest: int = 640) -> Bracket:
    """A folder's frames, prepared as ``apnt fuse`` does, at most ``longest`` pixels wide and high."""
    about = json.loads((folder / "bracket.json").read_text())
    frames = [cv2.imread(str(folder / name))[..., ::-1] for name in about["files_short_to_long"]]
    scale = min(1.0, 1600 / max(frames[0].shape))
    large = [cv2.resize(f, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for f in frames]
    bracket = prepare(large, stops=about["ev_stops"]).bracket
    scale = longest / max(bracket.size)
    linear = [
        cv2.resize(f ** np.float32(2.2), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for f in bracket.ldr
    ]
    encoded = np.clip(np.stack(linear), 0, 1).astype(np.float32) ** np.float32(1 / 2.2)
    times = bracket.times / bracket.times[0]
    return Bracket(folder.name, encoded, times, reference=choose_reference(encoded, times))


_HELD_OUT = ("desk_canon_s45", "phone_cat", "stained_glass")
_ZONES = ("shadows", "middle", "highlights", "edges", "moving")


def zones_table(data: Path, method: Method) -> None:
    """Error by zone of all inputs merged, against the network's three: photographs, and rendered frames.

    Of photographs every other frame is an input, and the truth is merged of the others, by exposure and
    without what saturates. The merge's constants were chosen on the desk and on the scenes of the other
    tables: the phone, the church and the scenes rendered here are none of those.
    """
    print("# Error by zone: the network's three frames, and all frames merged\n")
    print("Root mean square difference after the mu-law, in percent of the range (docs/frames.md).\n")
    print("| bracket | frames | zone | three, network | all, merged | change |\n|---|---|---|---:|---:|---:|")
    for name in _HELD_OUT:
        whole = photographs(data / "brackets" / name)
        bracket, truth = _halves(whole)
        _zone_rows(name, bracket, truth, method)
    others = tuple(name for name in SCENES if name not in _SCENES)
    for bracket in rendered(data, [float(k) for k in range(9)], 4, others):
        assert bracket.truth is not None
        _zone_rows(bracket.name, bracket, bracket.truth, method)


def _halves(whole: Bracket) -> tuple[Bracket, np.ndarray]:
    """Every other frame as inputs, and (H, W, 3) radiance of the rest, on the inputs' scale."""
    count = len(whole)
    kept = list(range(1 - count % 2, count, 2))
    rest = [k for k in range(count) if k not in kept]
    times = whole.times / whole.times[kept[0]]
    response = Response("gamma22")
    light = [response.linear(whole.ldr[k]) for k in rest]
    truth = np.clip(merged_light(light, [np.full(3, times[k]) for k in rest], response), 0, 1)
    bracket = Bracket(whole.name, whole.ldr[kept], times[kept])
    return replace(bracket, reference=choose_reference(bracket.ldr, bracket.times)), truth


def _zone_rows(name: str, bracket: Bracket, truth: np.ndarray, method: Method) -> None:
    picked = choose(bracket)
    three, everything = alone(bracket, picked, method), fuse_bracket(bracket, method).image
    for zone, mask in zones(truth, bracket.moving).items():
        errors = [_mu_error(np.clip(image, 0, 1), truth, mask) for image in (three, everything)]
        change = errors[1] / errors[0] - 1
        print(
            f"| {name} | {len(bracket)} | {zone} | {errors[0]:.3f} | {errors[1]:.3f} | {change:+.0%} |",
            flush=True,
        )


def zones(truth: np.ndarray, moving: np.ndarray | None) -> dict[str, np.ndarray]:
    """(H, W) bool of each zone: by light, edges and what moves apart from it."""
    light = np.log2(cv2.GaussianBlur(truth.max(axis=-1).astype(np.float32), (0, 0), 1.0) + 1e-6)
    slope = np.hypot(cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1))
    edges = slope > np.quantile(slope, 0.85)
    low, high = np.quantile(light, (0.3, 0.85))
    apart = edges if moving is None else edges | moving
    masks = [light < low, (light >= low) & (light < high), light >= high]
    found = dict(zip(_ZONES, [mask & ~apart for mask in masks], strict=False))
    found["edges"] = edges if moving is None else edges & ~moving
    return found if moving is None else {**found, "moving": moving}


def _mu_error(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Root mean square difference after the mu-law, in percent of the range."""
    return float(100 * np.sqrt(np.mean((mu_law(image)[mask] - mu_law(truth)[mask]) ** 2)))


def _block_noise(image: np.ndarray, guide: np.ndarray, side: int = 8) -> float:
    """Median over the flattest dark blocks of the standard deviation of log2 radiance."""
    height, width = (n // side * side for n in image.shape[:2])

    def blocks(values: np.ndarray) -> np.ndarray:
        split = values[:height, :width].reshape(height // side, side, width // side, side)
        return split.swapaxes(1, 2).reshape(-1, side * side)

    smooth = blocks(cv2.GaussianBlur(guide.mean(axis=-1), (0, 0), 3.0))
    dark = smooth.mean(axis=1) < np.quantile(smooth.mean(axis=1), 0.3)
    texture = smooth.std(axis=1) / np.maximum(smooth.mean(axis=1), 1e-9)
    flat = dark & (texture <= np.quantile(texture[dark], 0.25))
    light = np.log2(np.maximum(image.mean(axis=-1), 1e-7))
    # Slopes are no noise.
    detail = blocks(light - cv2.GaussianBlur(light, (0, 0), 4.0))
    return float(np.median(detail[flat].std(axis=1)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=("choice", "plain", "two", "photos", "zones"))
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds hdr/val and brackets")
    parser.add_argument("--brackets", type=int, default=8, help="of val-v1")
    options = parser.parse_args()
    method = load_method("apnt", Options(device="cpu"))
    if options.table == "plain":
        plain_table(options.data, method, options.brackets)
    else:
        tables = {"choice": choice_table, "two": two_table, "photos": photos_table, "zones": zones_table}
        tables[options.table](options.data, method)


if __name__ == "__main__":
    main()
