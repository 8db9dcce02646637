"""Peak memory and time of ``apnt fuse`` under a budget, measured from outside the process.

    python benchmarks/memory.py [--megapixels 1,12,24,60] [--budgets 2GB,4GB] [--weights default,fast]
                                [--frames 3,7] [--rows N] [--no-preview] [--folder DIR] [--markdown FILE]

Makes brackets of JPEG photographs of a made scene in which a disc moves, fuses each in a process of its own,
and prints the largest resident set that the system saw, beside the budget, the plan that the command printed,
and what it took. Ends with 1 if a peak is more than 2 % above its budget, or a fuse failed. With ``--rows``
the network works on so many rows of tiles alone (:mod:`apnt.benchmarks.first_rows`): a star stands for
seconds that are then not those of the whole. A row joins the file as it is done, and is not measured again.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from apnt.budget import parse_bytes

ABOVE = 1.02
"""A peak may be so many times its budget."""
_ASPECT = 1.5
_STRIP = 512


class Run(NamedTuple):
    """One fuse: what the command says, and what the system saw."""

    code: int
    peak: int
    seconds: float
    cpu: float
    said: str


def bracket(folder: Path, megapixels: float, frames: int) -> tuple[list[Path], str]:
    """JPEG photographs of one scene, by ascending exposure, and their stops as the command takes them.

    Those that are in the folder stay as they are.
    """
    height = round((megapixels * 1e6 / _ASPECT) ** 0.5)
    width = round(height * _ASPECT)
    stops = [k * (4 if frames == 3 else 6) / (frames - 1) for k in range(frames)]
    rng = np.random.default_rng(0)
    coarse = rng.random((height // 64 + 2, width // 64 + 2, 3), np.float32)
    texture = rng.random((256, 256, 1), np.float32)
    paths = []
    for k, stop in enumerate(stops):
        paths.append(folder / f"{megapixels:g}mp_{k + 1}_of_{frames}.jpg")
        if paths[-1].exists():
            continue
        picture = np.empty((height, width, 3), np.uint8)
        for top in range(0, height, _STRIP):
            rows = np.arange(top, min(top + _STRIP, height))
            y, x = np.meshgrid(rows / 64, np.arange(width) / 64, indexing="ij")
            light = cv2.remap(coarse, x.astype(np.float32), y.astype(np.float32), cv2.INTER_CUBIC)
            light = np.clip(light, 0.02, 1) ** 3 * (
                0.5 + texture[rows[:, None] % 256, np.arange(width) % 256]
            )
            far = np.hypot(rows[:, None] - height / 2, np.arange(width) - width / 2 - 9 * k)
            light = np.where((far < height / 8)[..., None], np.float32(0.03), light)
            exposed = np.minimum(light * np.float32(2.0**stop / 8), 1) ** np.float32(1 / 2.2)
            picture[rows] = np.round(exposed * 255)
        cv2.imwrite(str(paths[-1]), picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
    return paths, ",".join(f"{stop:g}" for stop in stops)


def fused(
    paths: list[Path],
    stops: str,
    out: Path,
    weights: str,
    memory: str,
    *,
    rows: int = 0,
    preview: bool = True,
) -> Run:
    """Run the command and wait; the system keeps the peak of its resident set."""
    apnt = ["apnt.benchmarks.first_rows", str(rows)] if rows else ["apnt"]
    command = [sys.executable, "-m", *apnt, "fuse", *map(str, paths), "--stops", stops, "-o", str(out)]
    command += ["--weights", weights, "--memory", memory, "--force"]
    command += [] if preview else ["--no-preview"]
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    seconds = time.perf_counter() - start
    return Run(process.returncode, peak, seconds, usage.ru_utime + usage.ru_stime, text)


HEADER = (
    "| megapixels | frames | weights | budget | peak | of budget | seconds | CPU seconds | plan |",
    "|---:|---:|---|---:|---:|---:|---:|---:|---|",
)


def cells(line: str) -> list[str]:
    """Of a line of the table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def known(file: Path | None) -> dict[tuple[str, ...], str]:
    """Lines of a table that was begun, by what names a row: megapixels, frames, weights, budget."""
    if file is None or not file.exists():
        return {}
    lines = [line for line in file.read_text().splitlines() if line.startswith("|")]
    return {tuple(cells(line)[:4]): line for line in lines[len(HEADER) :]}


def measured(row: tuple[str, ...], folder: Path, out: Path, rows: int, preview: bool) -> str:
    """The line of a row."""
    size, count, weights, memory = row
    paths, stops = bracket(folder, float(size), int(count))
    run = fused(paths, stops, out, weights, memory, rows=rows, preview=preview)
    found = re.search(r"Plan +(?:the network takes the picture )?([^;]*)", run.said)
    plan = found[1] if found else "at once"
    if run.code:
        plan = f"failed: {run.said.strip().splitlines()[-1]}"
    tiles = re.search(r"in (\d+) tiles", plan)
    seconds = "*" if rows and tiles else f"{run.seconds:.0f}"
    return (
        f"| {' | '.join(row)} | {run.peak / 1e9:.2f} GB | {run.peak / parse_bytes(memory):.1%} "
        f"| {seconds} | {run.cpu:.0f} | {plan} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megapixels", default="1,12,24,60")
    parser.add_argument("--budgets", default="2GB,4GB")
    parser.add_argument("--weights", default="default,fast")
    parser.add_argument("--frames", default="3,7")
    parser.add_argument("--rows", type=int, default=0, help="of tiles that the network works on; 0 = all")
    parser.add_argument("--no-preview", action="store_true", help="without a tone-mapped picture")
    parser.add_argument("--folder", type=Path, help="of the photographs, which stay there for the next run")
    parser.add_argument("--markdown", type=Path, help="of the table; rows that it has are not measured again")
    chosen = parser.parse_args()
    names = [x.split(",") for x in (chosen.megapixels, chosen.frames, chosen.weights, chosen.budgets)]
    there = known(chosen.markdown)
    print(*HEADER, sep="\n", flush=True)
    with tempfile.TemporaryDirectory() as made:
        folder = chosen.folder or Path(made)
        for row in product(*names):
            if row not in there:
                there[row] = measured(row, folder, Path(made) / "out.exr", chosen.rows, not chosen.no_preview)
                if chosen.markdown:
                    lines = sorted(there.items(), key=lambda x: (float(x[0][0]), *x[0][1:]))
                    chosen.markdown.write_text("\n".join([*HEADER, *(line for _, line in lines)]) + "\n")
            print(there[row], flush=True)
    shares = [float(cells(there[row])[5].rstrip("%")) / 100 for row in product(*names)]
    return int(any(share > ABOVE for share in shares) or any("failed: " in line for line in there.values()))


if __name__ == "__main__":
    sys.exit(main())
