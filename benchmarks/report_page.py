"""The report of a CC0 scene as a picture for the docs, and the size of the report of a large bracket.

    python benchmarks/report_page.py picture --data DIR -o docs/images/report.jpg
    python benchmarks/report_page.py size --data DIR

``DIR`` holds the radiance maps of ``val-v1``. ``picture`` fuses its scene ``--scene`` and takes the top of
its page at 900 pixels width in a headless Chromium (it needs Playwright and a Chromium). ``size`` enlarges
the scene to 12 megapixels with the noise of photographs, takes the method ``medium`` and writes the page:
bytes, seconds, and what is shown.
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
from apnt.evaluate.sets import load_set
from apnt.info import processor

LARGE = (3000, 4000)
NOISE = 0.01  # standard deviation of display-referred values: a phone's at base ISO
STOPS = (0, 2, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("picture", "size"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--scene", default="st_fagans", help="how the scene's name begins")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images/report.jpg"))
    options = parser.parse_args()
    brackets, _ = load_set("val-v1", options.data)
    bracket = next(each for each in brackets if each.name.startswith(options.scene))
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
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
        view.screenshot(path=str(output), type="jpeg", quality=85)
        browser.close()


if __name__ == "__main__":
    main()
