"""Pictures of the looks beside enfuse and the medium frame, and a blind choice between them.

    python benchmarks/looks.py make --data BRACKETS --out OUT     fuse every bracket, write all pictures
    python benchmarks/looks.py render --out OUT                   write the looks anew, of what is fused
    python benchmarks/looks.py pairs --out OUT --sheets SHEETS --round 1   a sheet for each static bracket
    python benchmarks/looks.py count --sheets SHEETS              open the keys, count the answers

``make`` fuses each bracket at a reduced size and writes ``OUT/<bracket>/<name>.png``: the looks, the medium
frame as its camera wrote it, and ``enfuse`` of the same aligned frames (Debian's package ``enfuse``).

``pairs`` shuffles the order of the brackets and which side is which, by a seed that it draws; both stand in
``SHEETS/keys/roundN.json`` alone. The sheets are ``01.png``, ``02.png``, ..., with the two pictures and, half
as large, the medium frame; ``01_A.png`` and ``01_B.png`` are the pictures alone. They show nothing else, and
neither names nor metadata tell who made them. The judge writes ``SHEETS/roundN/answers.txt``, a line for
each sheet: ``01 A``, ``02 B`` or ``03 even``, and what they like after that. Only ``count`` reads the keys.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from apnt import _fuse, render
from apnt.io.photo import read_photo
from apnt.looks import LOOKS
from apnt.looks.colour import SRGB, luminance
from apnt.methods import Options, load_method
from apnt.prepare.pipeline import prepare
from apnt.prepare.shown import as_shown

WIDTH = 1000
MOVING = ("kalantari_002", "merianos_rovinia", "sculpture_garden", "stack_ghost")
"""Brackets in which too much moves for enfuse; the others are compared."""

SMALL = 600
"""Pixels: pictures whose longer side is shorter are shown twice as large."""

GAP = 12
"""Pixels between the pictures of a sheet."""

OURS, THEIRS = "local", "enfuse"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=("make", "render", "pairs", "count"))
    parser.add_argument("--data", type=Path, help="a folder of brackets, each with a bracket.json")
    parser.add_argument("--out", type=Path, help="the folder of pictures")
    parser.add_argument("--sheets", type=Path, help="the folder of rounds")
    parser.add_argument("--round", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="names of brackets")
    given = parser.parse_args()
    if given.step == "make":
        for folder in sorted(path.parent for path in given.data.glob("*/bracket.json")):
            if not given.only or folder.name in given.only:
                make(folder, given.out / folder.name)
    elif given.step == "render":
        for folder in sorted(path.parent for path in given.out.glob("*/radiance.npy")):
            if not given.only or folder.name in given.only:
                pictures(folder)
    elif given.step == "pairs":
        pairs(given.out, given.sheets, given.round)
    else:
        count(given.sheets)


def make(folder: Path, out: Path) -> None:
    """Fuse one bracket, and let enfuse fuse the same frames."""
    out.mkdir(parents=True, exist_ok=True)
    listed = json.loads((folder / "bracket.json").read_text())
    frames = [_reduced(read_photo(folder / name)) for name in listed["files_short_to_long"]]
    with tempfile.TemporaryDirectory() as work:
        paths = [Path(work) / f"{k:02}.png" for k in range(len(frames))]
        for path, frame in zip(paths, frames, strict=True):
            _save(path, frame)
        prepared = prepare(paths, stops=listed.get("ev_stops"))  # None: measured on the pixels
    fused = _fuse.fuse_bracket(prepared.bracket, load_method("apnt", Options()))
    np.save(out / "radiance.npy", fused.image)
    aligned = [as_shown(np.clip(frame, 0, 1), prepared.response) for frame in prepared.bracket.ldr]
    _save(out / "medium.png", frames[prepared.report.reference])
    if prepared.longer is not None:
        photo, stops = prepared.longer
        np.savez(out / "longer.npz", photo=photo, stops=stops)
    with tempfile.TemporaryDirectory() as work:
        names = [f"{k:02}.tif" for k in range(len(aligned))]
        for name, frame in zip(names, aligned, strict=True):
            _save(Path(work) / name, frame)
        command = ["enfuse", "--output=fused.tif", *names]
        subprocess.run(command, cwd=work, check=True, capture_output=True)
        Image.open(Path(work) / "fused.tif").convert("RGB").save(out / "enfuse.png")
    pictures(out)


def pictures(out: Path) -> None:
    """All looks of a fused bracket, and how bright they are beside the medium frame."""
    radiance = np.load(out / "radiance.npy")
    medium = np.asarray(Image.open(out / "medium.png"))
    longer = None
    if (out / "longer.npz").exists():
        with np.load(out / "longer.npz") as stored:
            longer = stored["photo"], float(stored["stops"])
    dark = luminance(SRGB.linear(medium / np.float32(255)))
    night = (dark <= np.percentile(dark, 50)) & (medium.max(axis=-1) > 3)
    for look in LOOKS:
        picture = render(radiance, like=medium, longer=longer, look=look)
        _save(out / f"{look}.png", picture)
        shown = luminance(SRGB.linear(picture))
        ratios = [
            np.log2(shown[where].mean() / dark[where].mean()) for where in (night, medium.max(-1) < 250)
        ]
        print(f"{out.name:18} {look:9} dark half {ratios[0]:+.2f} EV, unsaturated {ratios[1]:+.2f} EV")


def pairs(out: Path, sheets: Path, number: int) -> None:
    """A sheet for each static bracket, ours and enfuse's side by side, in an order nobody knows."""
    folder, keys = sheets / f"round{number}", sheets / "keys"
    folder.mkdir(parents=True, exist_ok=False)
    keys.mkdir(exist_ok=True)
    brackets = sorted(path.parent.name for path in out.glob("*/enfuse.png") if path.parent.name not in MOVING)
    seed = random.SystemRandom().randrange(2**32)
    shuffle = random.Random(seed)
    shuffle.shuffle(brackets)
    key = []
    for sheet, name in enumerate(brackets, 1):
        sides = [OURS, THEIRS]
        shuffle.shuffle(sides)
        key.append({"sheet": sheet, "bracket": name, "A": sides[0], "B": sides[1]})
        first, second, medium = (_tile(out / name / f"{side}.png") for side in (*sides, "medium"))
        first.save(folder / f"{sheet:02}_A.png")
        second.save(folder / f"{sheet:02}_B.png")
        _sheet(first, second, medium).save(folder / f"{sheet:02}.png")
    (keys / f"round{number}.json").write_text(json.dumps({"seed": seed, "key": key}, indent=1))


def _tile(path: Path) -> Image.Image:
    """The pixels of a picture alone; a small one twice as large."""
    tile = Image.fromarray(np.asarray(Image.open(path).convert("RGB")))
    if max(tile.size) < SMALL:
        tile = tile.resize((2 * tile.width, 2 * tile.height), Image.Resampling.BICUBIC)
    return tile


def _sheet(first: Image.Image, second: Image.Image, medium: Image.Image) -> Image.Image:
    """Two pictures, and the medium frame half as large; one below the other if they are wide."""
    width, height = first.size
    wide = width >= height
    half = medium.resize((width // 2, height // 2), Image.Resampling.BOX)
    size = (width, 2 * (height + GAP) + half.height) if wide else (2 * (width + GAP) + half.width, height)
    sheet = Image.new("RGB", size, "grey")
    draw = ImageDraw.Draw(sheet)
    for k, (tile, label) in enumerate(((first, "A"), (second, "B"), (half, "the photograph"))):
        corner = (0, k * (height + GAP)) if wide else (k * (width + GAP), 0)
        sheet.paste(tile, corner)
        place, font = (corner[0] + 8, corner[1] + 6), ImageFont.load_default(24)
        draw.text(place, label, fill="white", stroke_width=2, stroke_fill="black", font=font)
    return sheet


def count(sheets: Path) -> None:
    """Who was chosen, a bracket a line."""
    votes: dict[str, list[str]] = {}
    keys = sorted((sheets / "keys").glob("round*.json"))
    for path in keys:
        lines = (sheets / path.stem / "answers.txt").read_text().split("\n")
        answers = {int(sheet): answer for sheet, answer, *_ in map(str.split, filter(str.strip, lines))}
        for entry in json.loads(path.read_text())["key"]:
            answer = answers[entry["sheet"]]
            if answer not in ("A", "B", "even"):
                raise SystemExit(f"{path.stem}: sheet {entry['sheet']} must be A, B or even, got {answer!r}")
            votes.setdefault(entry["bracket"], []).append(entry.get(answer, answer))
    print(f"| bracket | {' | '.join(path.stem for path in keys)} |")
    for name, chosen in sorted(votes.items()):
        print(f"| {name} | {' | '.join(chosen)} |")
    for k, choices in enumerate(zip(*votes.values(), strict=True), 1):
        print(f"round {k}: {dict(Counter(sorted(choices, reverse=True)))}")


def _reduced(photo: np.ndarray) -> np.ndarray:
    scale = WIDTH / max(photo.shape[:2])
    if scale >= 1:
        return photo
    light = cv2.resize(SRGB.linear(photo), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.round(SRGB.encode(light) * 255).astype(np.uint8)


def _save(path: Path, picture: np.ndarray) -> None:
    if picture.dtype != np.uint8:
        picture = np.round(picture * 255).astype(np.uint8)
    Image.fromarray(picture).save(path)


if __name__ == "__main__":
    main()
