"""The report of a CC0 scene as a picture for the docs, and the size of the report of a large bracket.

    python benchmarks/report_page.py picture --data DIR -o docs/images/report.jpg
    python benchmarks/report_page.py size --data DIR

``DIR`` holds two radiance maps of Poly Haven (CC0): the scene, and one that what moves is cut from.
``picture`` fuses the bracket that is made of them, and takes the top of its page at 900 pixels width, two
stops below the reference, in a headless Chromium (it needs Playwright and a Chromium). ``size`` enlarges the
bracket to 12 megapixels with the noise of photographs, takes the method ``medium`` and writes the
page: bytes, seconds, and what is shown.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import apnt
from apnt.data.synthetic import BracketRecipe, synthesize
from apnt.info import processor
from apnt.io import read_radiance

SCENE, OBJECTS = "st_fagans_interior", "rainforest_trail"
RECIPE = BracketRecipe(
    stops=(2,), saturated=(0.15, 0.15), shift=8.0, objects=(1, 1), object_speed=(20.0, 24.0)
)
LARGE = (3000, 4000)
NOISE = 0.01  # standard deviation of display-referred values: a phone's at base ISO
STOPS = (0, 2, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("picture", "size"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images/report.jpg"))
    options = parser.parse_args()
    light, objects = (read_radiance(options.data / f"{name}.hdr") for name in (SCENE, OBJECTS))
    bracket = synthesize(light[:, 40:740], [objects[::2, ::2]], np.random.default_rng(2), RECIPE, SCENE)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / f"{SCENE}.html"
        if options.what == "size":
            size(bracket.ldr, page, Path(folder))
        else:
            paths = written(bracket.ldr, Path(folder))
            apnt.fuse(paths, stops=list(np.log2(bracket.times)), curve="gamma22", report=page)
            picture(page, options.output)


def written(frames: np.ndarray, folder: Path) -> list[Path]:
    """The frames (N, H, W, 3) as photographs."""
    paths = []
    for name, frame in zip(("short", "medium", "long"), frames, strict=True):
        paths.append(folder / f"{name}.png")
        Image.fromarray(np.rint(255 * frame).astype(np.uint8)).save(paths[-1])
    return paths


def size(frames: np.ndarray, page: Path, folder: Path) -> None:
    rng = np.random.default_rng(0)
    large = []
    for frame in frames:
        big = cv2.resize(frame, LARGE[::-1], interpolation=cv2.INTER_CUBIC)
        large.append(np.clip(big + NOISE * rng.standard_normal(big.shape, np.float32), 0, 1))
    paths = written(np.stack(large), folder)
    steps: dict[str, float] = {}
    apnt.fuse(
        paths, stops=STOPS, method="medium", curve="gamma22", align="off", report=page,
        progress=lambda step: steps.setdefault(step, time.perf_counter()),
    )  # fmt: skip
    spent = time.perf_counter() - steps["report"]
    found = re.search(r"Shown at (\d+ × \d+) pixels", page.read_text(encoding="utf-8"))
    shown = found[1] if found else "its own size"
    taken = f"{page.stat().st_size / 1e6:.2f} MB, {spent:.1f} s, shown at {shown}"
    print(f"{LARGE[1]} x {LARGE[0]} pixels: {taken} ({processor()})")


def picture(page: Path, output: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        view = browser.new_page(viewport={"width": 900, "height": 1180})
        view.goto(page.as_uri())
        view.wait_for_selector(".stage[data-ready]")
        view.fill("#exposure", "-2")
        view.screenshot(path=str(output), type="jpeg", quality=85)
        browser.close()


if __name__ == "__main__":
    main()
